import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromDuration, fromTimeout, toDuration } from "../../../server/grpc/time.js";
import { SEED } from "../../support/arbitraries.js";

const DAY = 86_400_000;

test("milliseconds go to the wire and come back", () => {
  fc.assert(
    fc.property(fc.nat(2 ** 45), (ms) => {
      const { seconds, nanos } = toDuration(ms);
      expect(Number.isInteger(seconds) && nanos >= 0 && nanos < 1e9).toBe(true);
      expect(fromDuration("f", { seconds, nanos }, 0, 2 ** 46)).toBe(ms);
    }),
    { seed: SEED },
  );
});

describe("a duration", () => {
  test.each([
    [{ seconds: 0, nanos: 499_999 }, 0],
    [{ seconds: 0, nanos: 500_000 }, 1],
    [{ seconds: 1, nanos: 1_499_999 }, 1_001],
    [{ seconds: 3_650 * 86_400, nanos: 0 }, 3_650 * DAY],
  ])("%j is %d ms", (duration, ms) => {
    expect(fromDuration("delay", duration, 0, 3_650 * DAY)).toBe(ms);
  });

  test.each([
    { seconds: -1, nanos: 0 },
    { seconds: 0, nanos: -1 },
    { seconds: 0, nanos: -400_000 },
    { seconds: 1, nanos: -1 },
    { seconds: -1, nanos: 1 },
    { seconds: 0, nanos: 1_000_000_000 },
    { seconds: 3_650 * 86_400, nanos: 1_000_000 },
    { seconds: Number.MAX_SAFE_INTEGER, nanos: 0 },
  ])("%j is refused", (duration) => {
    expect(() => fromDuration("delay", duration, 0, 3_650 * DAY)).toThrow(/^delay: must be/);
  });
});

describe("a timeout", () => {
  test("of 0 means none, and anything else is at least a millisecond", () => {
    expect(fromTimeout("t", { seconds: 0, nanos: 0 })).toBe(0);
    expect(fromTimeout("t", { seconds: 0, nanos: 1_000_000 })).toBe(1);
    expect(fromTimeout("t", { seconds: 24 * 86_400, nanos: 0 })).toBe(24 * DAY);
    for (const nanos of [1, 400_000, 999_999, -1]) {
      expect(() => fromTimeout("t", { seconds: 0, nanos }), `${nanos} ns`).toThrow(/^t: must be 1 ms to/);
    }
    expect(() => fromTimeout("t", { seconds: 24 * 86_400, nanos: 1_000_000 })).toThrow(/^t: must be/);
  });
});
