/** The only place in the SDK that knows what time it is, how to wait, and how to roll dice. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";

export type Timer = NodeJS.Timeout;

/** Milliseconds that only grow; for measuring. */
export function monotonicMs(): number {
  return performance.now();
}

/** Milliseconds since the epoch. */
export function wallMs(): number {
  return Date.now();
}

/** Node's timers hold no more; a longer wait fires after this and has to be started again. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export function after(ms: number, action: () => void): Timer {
  return setTimeout(action, Math.min(Math.max(0, ms), TIMER_MS_MAX));
}

export function cancelTimer(timer: Timer | undefined): void {
  clearTimeout(timer);
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    after(ms, resolve);
  });
}

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

/** Host name and process id: tells one worker of a fleet from another. */
export function processName(): string {
  return `${hostname()}:${process.pid}`.slice(-128);
}

/** A promise and the functions that settle it. */
export interface Deferred<Value> {
  readonly promise: Promise<Value>;
  readonly resolve: (value: Value | PromiseLike<Value>) => void;
  readonly reject: (reason: unknown) => void;
}

export function deferred<Value = void>(): Deferred<Value> {
  let resolve!: Deferred<Value>["resolve"];
  let reject!: Deferred<Value>["reject"];
  const promise = new Promise<Value>((ok, fail) => {
    resolve = ok;
    reject = fail;
  });
  return { promise, resolve, reject };
}

/** Whether `promise` settles within `ms`. Leaves no timer behind. */
export async function settlesWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: Timer | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = after(ms, () => resolve(false));
  });
  const settled = promise.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([settled, timeout]);
  } finally {
    cancelTimer(timer);
  }
}
