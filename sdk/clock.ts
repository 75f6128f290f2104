/** The only place in the SDK that knows what time it is, and how to wait. */

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

/**
 * Calls `action` before the event loop goes on, once the current callback and
 * all that follows from it have run: promises and ticks, but no input that
 * waits. Sooner than `setImmediate` by a turn of the loop, as what is written
 * to a stream in an immediate is sent in the turn after it.
 */
export function beforeNextInput(action: () => void): void {
  queueMicrotask(() => process.nextTick(action));
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    after(ms, resolve);
  });
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
