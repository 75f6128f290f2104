/** The table, with runs made up. */
import { expect, test } from "vitest";
import { check } from "./checker.js";
import type { Outcome, Scenario } from "./scenario.js";
import { Story } from "./story.js";
import { printTable } from "./table.js";

const OPTIONS = { seed: 7, seeds: 3, store: "redis", jobs: 2, callsPerSecond: 20 } as const;

function outcome(scenario: Scenario, story: Story): Outcome {
  const { history } = story;
  return { scenario, history, verdict: check(history), plan: [], folder: "somewhere" };
}

function good(scenario: Scenario): Outcome {
  const story = new Story().enqueue("a").run("a", "1").fault("redis-restart").enqueue("b").run("b", "2");
  return outcome(scenario, story.finish({ a: {}, b: {} }));
}

/** Its lines, and what was told meanwhile. */
async function tabulate(
  faults: NonNullable<Parameters<typeof printTable>[0]["faults"]>,
  playOne: (scenario: Scenario) => Promise<Outcome>,
) {
  const lines: string[] = [];
  const told: string[] = [];
  const voice = { print: (line: string) => lines.push(line), tell: (line: string) => told.push(line) };
  const isGood = await printTable({ ...OPTIONS, faults }, voice, {}, playOne);
  return { isGood, rows: lines.filter((line) => /^\| [a-z]+-/.test(line)), document: lines.join("\n"), told };
}

test("every fault is played with every seed, so many at once, and has its row in order", async () => {
  const played: string[] = [];
  let atOnce = 0;
  let most = 0;
  const { rows, document, told } = await tabulate(["redis-kill", "worker-cut"], async (scenario) => {
    most = Math.max(most, ++atOnce);
    played.push(`${scenario.faults} ${scenario.seed}`);
    await new Promise((resolve) => setImmediate(resolve));
    atOnce--;
    return good(scenario);
  });
  expect(played.sort()).toEqual(["redis-kill", "worker-cut"].flatMap((fault) => [7, 8, 9].map((n) => `${fault} ${n}`)));
  expect(most).toBe(2);
  expect(rows.map((row) => row.split(" ")[1])).toEqual(["redis-kill", "worker-cut"]);
  expect(document).toMatch(/seeds 7 to 9, 2 runs at once/);
  expect(told.at(-1)).toMatch(/6 of 6 runs, 0 bad/);
});

test("what the store was allowed to forget is counted as lost, and said to be excused", async () => {
  const { isGood, rows } = await tabulate(["redis-forget"], async (scenario) =>
    outcome(scenario, new Story().enqueue("a").fault("redis-forget", 1_000).finish({}, { deleted: 1 })),
  );
  expect(rows).toEqual(["| redis-forget | 3 | 3 | 3 | 0 | 3 | 0 | – | – | 0 |"]);
  expect(isGood).toBe(true);
});

test("a violation is told with its seed, its record, and how to see it again", async () => {
  const { isGood, rows, told } = await tabulate(["redis-restart"], async (scenario) =>
    scenario.seed === 8
      ? outcome(scenario, new Story().enqueue("a").fault("redis-restart").finish({}, { deleted: 1 }))
      : good(scenario),
  );
  expect(isGood).toBe(false);
  expect(rows[0]).toMatch(/\| 1 \|$/);
  const violation = told.find((line) => line.includes("accepted-is-kept"));
  expect(violation).toContain("the record is in somewhere");
  expect(violation).toContain('make chaos-table SEED=8 SEEDS=1 ARGS="--store=redis --faults=redis-restart"');
});

test("a run that breaks off is told of, and the others go on", async () => {
  const { isGood, rows, told } = await tabulate(["redis-kill"], async (scenario) => {
    if (scenario.seed === 7) throw new Error("it broke off", { cause: new Error("for a reason") });
    return good(scenario);
  });
  expect(isGood).toBe(false);
  expect(rows[0]).toMatch(/^\| redis-kill \| 2 \|/);
  expect(told.join("\n")).toMatch(/it broke off: Error: for a reason/);
});
