/** The only place in the SDK that rolls dice. */
import { randomBytes } from "node:crypto";

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

const ID_BYTES = 15;
const POOL_IDS = 256;
let pool: Buffer = Buffer.alloc(0);
let poolAt = 0;

/** 20 characters of base64url: 120 random bits. */
export function randomId(): string {
  if (poolAt >= pool.length) {
    pool = randomBytes(ID_BYTES * POOL_IDS);
    poolAt = 0;
  }
  const id = pool.toString("base64url", poolAt, poolAt + ID_BYTES);
  poolAt += ID_BYTES;
  return id;
}
