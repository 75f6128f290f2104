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
import { type FaultName, faultsWith, isFaultName, kindOf, type StoreKind } from "./plan.js";
import { bundlePrograms } from "./programs.js";
import { describeOutcome, type PlayOptions, play, type Scenario } from "./scenario.js";
import { printTable } from "./table.js";

const HELP = `Faults against the promises.

  make chaos SEED=7 MINUTES=10 ARGS="..."     one seed after the other, all faults at once
  make chaos-table SEEDS=20 ARGS="..."        what each fault costs, alone: a table per store

  --seed N          the first seed; default: any
  --store NAME      redis or embedded; default: chaos both in turns, chaos-table one after the other
  --faults A,B      only these; default: all that are possible with the store
  --calls N         calls in a second, of each of two producers (25, in a table 20)
  --keep            keep the records of good runs, too
  --help            this

Of chaos alone:
  --minutes N       how long (1)
  --duration N      seconds of faults in each run (15)
  --timing NAME     rough or gentle patience of the brokers; default: in turns

Of chaos-table alone, which is made with the brokers' own defaults:
  --seeds N         runs of each fault (3)
  --jobs N          runs at once (2); the more, the longer the recoveries

Tables go to standard output, progress and violations to standard error.
Ends with 1 when something was violated.
`;

const { values } = parseArgs({
  options: {
    help: { type: "boolean", default: false },
    seed: { type: "string" },
    minutes: { type: "string", default: "1" },
    store: { type: "string" },
    timing: { type: "string" },
    faults: { type: "string", default: "" },
    duration: { type: "string", default: "15" },
    calls: { type: "string" },
    keep: { type: "boolean", default: false },
    table: { type: "boolean", default: false },
    seeds: { type: "string", default: "3" },
    jobs: { type: "string", default: "2" },
  },
});

const firstSeed = values.seed ? number("seed", values.seed) : chooseSeed();
const named = namedFaults();
const stores = namedStores();

function number(option: string, value: string): number {
  const parsed = Number(value);
  if (value === "" || !Number.isFinite(parsed) || parsed < 0) refuse(`--${option} must be a number, not "${value}"`);
  return parsed;
}

function namedFaults(): readonly FaultName[] {
  const names = values.faults.split(",").filter((name) => name !== "");
  for (const name of names) if (!isFaultName(name)) refuse(`there is no fault "${name}"; see plan.ts`);
  return names.filter(isFaultName);
}

function namedStores(): readonly StoreKind[] {
  const { store } = values;
  if (store === undefined) return ["redis", "embedded"];
  if (store === "redis" || store === "embedded") return [store];
  return refuse(`--store must be redis or embedded, not "${store}"`);
}

function refuse(problem: string): never {
  tell(problem);
  process.exit(2);
}

function scenario(turn: number): Scenario {
  const store = stores[turn % stores.length] ?? "redis";
  const isGentle = values.timing === undefined ? turn % 4 >= 2 : values.timing === "gentle";
  const all = faultsWith(store).filter((fault) => !isGentle || kindOf(fault).sparesLeases);
  return {
    seed: firstSeed + turn,
    store,
    timing: isGentle ? "gentle" : "rough",
    faults: named.length > 0 ? named : all,
    durationMs: number("duration", values.duration) * 1_000,
    callsPerSecond: number("calls", values.calls ?? "25"),
  };
}

async function playOn(options: PlayOptions): Promise<boolean> {
  const endsAtMs = performance.now() + number("minutes", values.minutes) * 60_000;
  let failed = 0;
  let turn = 0;
  do {
    const outcome = await play(scenario(turn), options);
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

async function tabulate(options: PlayOptions): Promise<boolean> {
  let isGood = true;
  for (const store of stores) {
    const possible = faultsWith(store);
    const table = {
      seed: firstSeed,
      seeds: number("seeds", values.seeds),
      store,
      faults: named.length > 0 ? possible.filter((fault) => named.includes(fault)) : possible,
      jobs: Math.max(1, number("jobs", values.jobs)),
      callsPerSecond: number("calls", values.calls ?? "20"),
    };
    isGood = (await printTable(table, { print, tell }, options)) && isGood;
    print("");
  }
  return isGood;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const programs = await bundlePrograms();
process.once("exit", () => programs[Symbol.dispose]());
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
const options = { keep: values.keep, programs };
const isGood = values.table ? await tabulate(options) : await playOn(options);
process.exit(isGood ? 0 : 1);
