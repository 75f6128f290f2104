/** The only place in the SDK that rolls dice. */
import { randomBytes } from "node:crypto";
import { wallMs } from "./clock.js";

/**
 * Exponential waiting time with full jitter: anything from 0 to
 * `baseMs * 2^failures`, capped. Spreads a fleet that lost its broker at once.
 */
export function jitteredBackoffMs(failures: number, baseMs: number, capMs: number): number {
  return Math.random() * Math.min(capMs, baseMs * 2 ** Math.min(failures, 30));
}

/** A whole number from 0 to below `bound`. */
export function randomBelow(bound: number): number {
  return Math.floor(Math.random() * bound);
}

const RANDOM_BYTES = 9;
const POOL_IDS = 256;
let pool: Buffer = Buffer.alloc(0);
let poolAt = 0;
let millis = 0;
let prefix = "";

/**
 * 20 characters: the moment in milliseconds (8, base 36), then 72 random bits in
 * base64url. A store that keeps ids sorted writes those of one time to the same
 * pages, which makes the embedded one half as fast again.
 */
export function timedId(): string {
  const now = wallMs();
  if (now !== millis) {
    millis = now;
    prefix = now.toString(36).padStart(8, "0");
  }
  if (poolAt >= pool.length) {
    pool = randomBytes(RANDOM_BYTES * POOL_IDS);
    poolAt = 0;
  }
  const id = prefix + pool.toString("base64url", poolAt, poolAt + RANDOM_BYTES);
  poolAt += RANDOM_BYTES;
  return id;
}
