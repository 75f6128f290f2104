/**
 * The one way for a test to wait for something that announces itself in no
 * other way: ask again and again, up to a deadline.
 *
 * Where there is an event or a promise, await that instead. A bare sleep is a
 * guess and fails test/tidy.test.ts.
 */
import { setTimeout as sleep } from "node:timers/promises";

export interface UntilOptions {
  /** How long to keep asking, in milliseconds. Default 5000. */
  timeoutMs?: number;
  /** The longest pause between two questions, in milliseconds. Default 50; the first pauses are shorter. */
  pauseMsMax?: number;
}

/**
 * Resolves with the first truthy answer of `predicate`. An exception counts as
 * "not yet"; the last one becomes the cause when the deadline passes.
 *
 * @param reason completes the sentence "waited in vain until …"
 */
export async function until<T>(
  reason: string,
  predicate: () => T | Promise<T>,
  { timeoutMs = 5000, pauseMsMax = 50 }: UntilOptions = {},
): Promise<NonNullable<T>> {
  const startedAtMs = performance.now();
  let pauseMs = 1;
  for (;;) {
    let cause: unknown;
    try {
      const answer = await predicate();
      if (answer) return answer;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() - startedAtMs > timeoutMs) {
      throw new Error(`waited ${timeoutMs} ms in vain until ${reason}`, { cause });
    }
    await sleep(pauseMs);
    pauseMs = Math.min(pauseMs * 2, pauseMsMax);
  }
}
