import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULTS, LIMITS } from "../../../server/domain/limits.js";
import { backoffMs, decideFailure } from "../../../server/domain/retry.js";
import { SEED } from "../../support/arbitraries.js";

const backoffs = fc.record({
  initialMs: fc.nat(LIMITS.backoffMsMax),
  factor: fc.double({ min: 1, max: LIMITS.backoffFactorMax, noNaN: true }),
  maxMs: fc.nat(LIMITS.backoffMsMax),
  jitter: fc.double({ min: 0, max: 1, noNaN: true }),
});
const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const retries = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: LIMITS.numRetriesMax }));

describe("the backoff", () => {
  test("is a whole number of milliseconds, never negative, never beyond its maximum and jitter", () => {
    fc.assert(
      fc.property(backoffs, retries, randoms, (backoff, retry, random) => {
        const ms = backoffMs(backoff, retry, random);
        expect(Number.isSafeInteger(ms)).toBe(true);
        expect(ms).toBeGreaterThanOrEqual(0);
        expect(ms).toBeLessThanOrEqual(Math.ceil(backoff.maxMs * (1 + backoff.jitter)));
      }),
      { seed: SEED, numRuns: 1_000 },
    );
  });

  test("never shrinks from one retry to the next, jitter aside", () => {
    fc.assert(
      fc.property(backoffs, retries, (backoff, retry) => {
        const steady = { ...backoff, jitter: 0 };
        expect(backoffMs(steady, retry + 1, 0)).toBeGreaterThanOrEqual(backoffMs(steady, retry, 0));
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  test("doubles from a second to an hour by default, give or take a fifth", () => {
    const middle = [1, 2, 3, 12, 13, 1_000].map((retry) => backoffMs(DEFAULTS.backoff, retry, 0.5));
    expect(middle).toEqual([1_000, 2_000, 4_000, 2_048_000, 3_600_000, 3_600_000]);
    expect(backoffMs(DEFAULTS.backoff, 1, 0)).toBe(800);
    expect(backoffMs(DEFAULTS.backoff, 1, 0.999_999)).toBe(1_200);
  });

  test("of nothing is no waiting at all, also after many retries", () => {
    for (const retry of [1, 2_000, LIMITS.numRetriesMax]) {
      expect(backoffMs({ initialMs: 0, factor: 100, maxMs: 1_000, jitter: 0 }, retry, 0.5)).toBe(0);
    }
  });
});

describe("after a failure", () => {
  const policy = { numRetries: 2, backoff: { initialMs: 100, factor: 3, maxMs: 10_000, jitter: 0 } };

  test("a task is retried as often as it may be, then buried", () => {
    expect([1, 2, 3].map((failures) => decideFailure(policy, failures, {}, 0.5))).toEqual([
      { kind: "retry", delayMs: 100 },
      { kind: "retry", delayMs: 300 },
      { kind: "bury", reason: "retries_exhausted" },
    ]);
  });

  test("the processor's advice comes before the policy, but gives no retries that there are not", () => {
    expect(decideFailure(policy, 1, { retryDelayMs: 7 }, 0.5)).toEqual({ kind: "retry", delayMs: 7 });
    expect(decideFailure(policy, 1, { retryDelayMs: 0 }, 0.5)).toEqual({ kind: "retry", delayMs: 0 });
    expect(decideFailure(policy, 3, { retryDelayMs: 7 }, 0.5)).toEqual({ kind: "bury", reason: "retries_exhausted" });
    expect(decideFailure(policy, 1, { doNotRetry: true, retryDelayMs: 7 }, 0.5)).toEqual({
      kind: "bury",
      reason: "do_not_retry",
    });
  });
});
