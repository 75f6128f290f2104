/** The sources of chance in the broker. */
import { randomBytes } from "node:crypto";

/** Whoever needs it is given it, and tests give their own. In [0, 1). */
export function random(): number {
  return Math.random();
}

const TEXT_BYTES = 9;
const POOL_TEXTS = 256;
/** Asking the system for random bytes costs more than all else about an id, so they are asked for in bulk. */
let pool: Buffer = Buffer.alloc(0);
let poolAt = 0;

/** 72 random bits in base64url: 12 characters. */
export function randomText(): string {
  if (poolAt >= pool.length) {
    pool = randomBytes(TEXT_BYTES * POOL_TEXTS);
    poolAt = 0;
  }
  const text = pool.toString("base64url", poolAt, poolAt + TEXT_BYTES);
  poolAt += TEXT_BYTES;
  return text;
}
