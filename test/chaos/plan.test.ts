/** The schedule of faults: what a seed stands for, it stands for always. */
import { expect, test } from "vitest";
import { type FaultName, faultsWith, kindOf, type PlanOptions, planFaults } from "./plan.js";

const members = {
  broker: ["broker-1", "broker-2"],
  clock: ["broker-2"],
  worker: ["worker-1", "worker-2"],
  producer: ["producer-1"],
  store: ["store"],
};

function plan(seed: number, options: Partial<PlanOptions> = {}) {
  return planFaults(seed, {
    faults: faultsWith("redis"),
    durationMs: 60_000,
    gapMs: [100, 500],
    comaMs: [2_500, 3_500],
    members,
    ...options,
  });
}

test("a seed gives the same plan again, and another seed another one", () => {
  expect(plan(1)).toEqual(plan(1));
  expect(plan(1)).not.toEqual(plan(2));
});

test("no two faults hold the same process at once, and all begin in time", () => {
  for (let seed = 0; seed < 50; seed++) {
    const faults = plan(seed);
    expect(faults.every(({ atMs }) => atMs < 60_000)).toBe(true);
    for (const [index, one] of faults.entries()) {
      const next = faults.slice(index + 1).find(({ target }) => target === one.target);
      if (next) expect(next.atMs).toBeGreaterThanOrEqual(one.atMs + one.forMs);
    }
  }
});

test("every fault comes up, on the targets it is for", () => {
  const seen = new Set<FaultName>();
  for (let seed = 0; seed < 20; seed++) {
    for (const { fault, target } of plan(seed)) {
      seen.add(fault);
      expect(members[kindOf(fault).on]).toContain(target);
    }
  }
  expect([...seen].sort()).toEqual(faultsWith("redis").sort());
});

test("faults of Redis do not befall a broker on a folder", () => {
  expect(faultsWith("embedded").filter((fault) => /redis|store/.test(fault))).toEqual([]);
});
