/**
 * What happens after a failed attempt: whether the task runs again, and when.
 * Pure; the random number is an argument.
 */
import type { DeadReason } from "./states.js";

/** Exponential waiting times: `min(initialMs * factor^(n-1), maxMs)` before retry n, give or take `jitter`. */
export interface Backoff {
  readonly initialMs: number;
  readonly factor: number;
  readonly maxMs: number;
  /** The part that is random, 0 to 1. */
  readonly jitter: number;
}

/** How a processor's failure asks to be treated, on top of the task's policy. */
export interface FailureAdvice {
  /** Milliseconds before the next attempt, instead of the backoff's. */
  readonly retryDelayMs?: number | undefined;
  /** No further attempt, retries left or not. */
  readonly doNotRetry?: boolean | undefined;
}

export type FailureDecision =
  | { readonly kind: "retry"; readonly delayMs: number }
  | { readonly kind: "bury"; readonly reason: DeadReason };

/** Milliseconds to wait before retry `retry` (from 1). `random` is in [0, 1). Never negative, never overflows. */
export function backoffMs(backoff: Backoff, retry: number, random: number): number {
  // The power may be infinite, and 0 times that is no number.
  const grown = backoff.initialMs === 0 ? 0 : backoff.initialMs * backoff.factor ** (retry - 1);
  const capped = Math.min(grown, backoff.maxMs);
  const spread = capped * backoff.jitter;
  return Math.max(0, Math.round(capped - spread + 2 * spread * random));
}

/** Decides about a task whose attempt just failed, `failures` counting that attempt. */
export function decideFailure(
  policy: { readonly numRetries: number; readonly backoff: Backoff },
  failures: number,
  advice: FailureAdvice,
  random: number,
): FailureDecision {
  if (advice.doNotRetry) return { kind: "bury", reason: "do_not_retry" };
  if (failures > policy.numRetries) return { kind: "bury", reason: "retries_exhausted" };
  return { kind: "retry", delayMs: advice.retryDelayMs ?? backoffMs(policy.backoff, failures, random) };
}
