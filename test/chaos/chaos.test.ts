/**
 * Faults against the promises, on every commit: a short run of each kind, from
 * a seed that is printed. TASKQUEUE_SEED plays one again; `make chaos` plays on.
 */
import { expect, test } from "vitest";
import { chooseSeed } from "../support/random.js";
import { faultsWith, kindOf } from "./plan.js";
import { describeOutcome, play, type Scenario } from "./scenario.js";

const seed = chooseSeed();
process.stdout.write(`chaos: TASKQUEUE_SEED=${seed}\n`);
const onRedis = faultsWith("redis");
const inFolder = faultsWith("embedded");

const RUNS: Record<string, Omit<Scenario, "seed">> = {
  "two brokers on Redis, every fault": { store: "redis", timing: "rough", faults: onRedis, durationMs: 6_000 },
  "two brokers on Redis, faults that must cost no lease": {
    store: "redis",
    timing: "gentle",
    faults: onRedis.filter((fault) => kindOf(fault).sparesLeases),
    durationMs: 4_000,
  },
  "one broker on a folder, every fault": { store: "embedded", timing: "rough", faults: inFolder, durationMs: 6_000 },
};

test.each(Object.entries(RUNS))("%s", async (_, run) => {
  const outcome = await play({ ...run, seed });
  expect(describeOutcome(outcome)).toBe("");
  expect(outcome.plan.length, "faults injected").toBeGreaterThan(0);
  expect(outcome.history.filter(({ kind }) => kind === "lease:settled").length, "attempts reported").toBeGreaterThan(0);
});
