import fc from "fast-check";
import { expect, test } from "vitest";
import {
  fenceAt,
  leaseToken,
  parseLeaseToken,
  parseSessionId,
  parseTaskId,
  parseTopicName,
} from "../../../server/domain/ids.js";
import { SEED } from "../../support/arbitraries.js";

const PARSERS = { parseTopicName, parseTaskId, parseSessionId, parseLeaseToken };

test("whatever a parser accepts is safe to join into keys: no spaces, controls, braces or quotes", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."aZ09_.:/-@+=~ {}\"'\n\t\0é,;*%"), maxLength: 12 }), (text) => {
      for (const parse of Object.values(PARSERS)) {
        const name = parse(text);
        if (name === undefined) continue;
        expect(name).toBe(text);
        expect(text).toMatch(/^[\w.:/@+=~-]+$/);
      }
    }),
    { seed: SEED, numRuns: 1_000 },
  );
});

test.each<[keyof typeof PARSERS, number]>([
  ["parseTopicName", 128],
  ["parseTaskId", 128],
  ["parseSessionId", 64],
])("%s accepts 1 to %i characters", (parser, max) => {
  const parse = PARSERS[parser];
  expect(["", "a", "a".repeat(max), "a".repeat(max + 1)].map((text) => parse(text) !== undefined)).toEqual([
    false,
    true,
    true,
    false,
  ]);
});

test("fencing numbers rise from lease to lease, and never fall behind the time", () => {
  const now = Date.UTC(2026, 6, 1);
  const first = fenceAt(0, now) + 1;
  expect(fenceAt(first, now)).toBe(first);
  // The store forgot the leases of its last second.
  expect(fenceAt(first - 100_000, now + 1_000)).toBeGreaterThan(first + 100_000);
  expect(leaseToken(fenceAt(0, Date.UTC(2094, 0, 1)))).toHaveLength(12);
});

test("lease tokens rise as strings when their numbers do", () => {
  fc.assert(
    fc.property(fc.nat(2 ** 48 - 1), fc.nat(2 ** 48 - 1), (a, b) => {
      expect(parseLeaseToken(leaseToken(a))).toBe(leaseToken(a));
      expect(leaseToken(a) < leaseToken(b)).toBe(a < b);
    }),
    { seed: SEED },
  );
});
