/**
 * Chaos from the command line: one seed after the other for so many minutes, or
 * the table of docs/operations.md.
 *
 *     make chaos SEED=7 MINUTES=10
 *     make chaos-table SEEDS=20
 *
 * A run that violates something is printed with its seed and the folder of its
 * record, and makes the exit code 1.
 */
import { parseArgs } from "node:util";
import { chooseSeed } from "../support/random.js";
import { faultsWith, isFaultName, kindOf, type StoreKind } from "./plan.js";
import { describeOutcome, play, type Scenario } from "./scenario.js";
import { printTable } from "./table.js";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    minutes: { type: "string", default: "1" },
    /** redis or embedded; default: in turns. */
    store: { type: "string" },
    /** rough or gentle; default: in turns. The table is made with the brokers' own defaults. */
    timing: { type: "string" },
    /** By name, separated by commas; default: all. */
    faults: { type: "string", default: "" },
    /** Seconds of faults in each run. */
    duration: { type: "string", default: "15" },
    /** Calls in a second, of each of two producers. */
    calls: { type: "string", default: "25" },
    /** Keep the records of good runs, too. */
    keep: { type: "boolean", default: false },
    table: { type: "boolean", default: false },
    seeds: { type: "string", default: "3" },
  },
});

const firstSeed = values.seed ? Number(values.seed) : chooseSeed();
const named = values.faults.split(",").filter(isFaultName);
const stores: readonly StoreKind[] =
  values.store === "redis" || values.store === "embedded" ? [values.store] : ["redis", "embedded"];
const durationMs = Number(values.duration) * 1_000;

function scenario(turn: number): Scenario {
  const store = stores[turn % stores.length] ?? "redis";
  const isGentle = values.timing === undefined ? turn % 4 >= 2 : values.timing === "gentle";
  const all = faultsWith(store).filter((fault) => !isGentle || kindOf(fault).sparesLeases);
  return {
    seed: firstSeed + turn,
    store,
    timing: isGentle ? "gentle" : "rough",
    faults: named.length > 0 ? named : all,
    durationMs,
    callsPerSecond: Number(values.calls),
  };
}

async function playOn(): Promise<boolean> {
  const endsAtMs = performance.now() + Number(values.minutes) * 60_000;
  let failed = 0;
  let turn = 0;
  do {
    const outcome = await play(scenario(turn), { keep: values.keep });
    const { history, verdict, plan, folder } = outcome;
    const { seed, store, timing } = outcome.scenario;
    const facts = `${plan.length} faults, ${history.length} records, ${verdict.excused.length} excused`;
    const violations = verdict.violations.length;
    print(`seed ${seed} on ${store}, ${timing}: ${violations === 0 ? "good" : `${violations} violations`} (${facts})`);
    if (violations > 0) print(describeOutcome(outcome));
    else if (folder) print(`the record is in ${folder}`);
    if (violations > 0) failed++;
    turn++;
  } while (performance.now() < endsAtMs);
  print(`${turn - failed} runs were good, ${failed} were not; the first seed was ${firstSeed}`);
  return failed === 0;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

const table = {
  seed: firstSeed,
  seeds: Number(values.seeds),
  durationMs,
  ...(named.length > 0 ? { faults: named } : {}),
};
const isGood = values.table
  ? await printTable({ ...table, store: stores[0] ?? "redis", timing: "default" }, print)
  : await playOn();
process.exit(isGood ? 0 : 1);
