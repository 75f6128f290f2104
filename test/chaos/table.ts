/**
 * The table of docs/operations.md: what each fault, alone, costs.
 *
 * Every run has a cluster of its own, with one fault, and goes on until all its
 * tasks have ended. Runs mostly wait, so several go at once; what they take
 * from each other is part of the recovery times, so the table says how many.
 */
import { type FaultName, faultsWith, type StoreKind } from "./plan.js";
import { type Cost, costOf, percentile } from "./recovery.js";
import { describeOutcome, type Outcome, type PlayOptions, play } from "./scenario.js";

export interface TableOptions {
  /** Of the first run of each fault; the next ones follow. */
  readonly seed: number;
  /** Runs of each fault. */
  readonly seeds: number;
  readonly store: StoreKind;
  /** Default: all that are possible with the store. */
  readonly faults?: readonly FaultName[];
  /** Runs at once. */
  readonly jobs: number;
  readonly callsPerSecond: number;
}

export interface Voice {
  /** A line of the document. */
  readonly print: (line: string) => void;
  /** A line for who waits for it. */
  readonly tell: (line: string) => void;
}

interface Result {
  readonly cost: Cost;
  readonly violations: number;
}

type Play = (...args: Parameters<typeof play>) => Promise<Outcome>;

/** From the start of everything to the fault: long enough for every worker to be at work. */
const FAULT_AT_MS = [700, 1_200] as const;
/** Long enough for some tasks to be enqueued and run when it is over. */
const CALM_MS = 1_000;

/** Prints rows as they are done; true when nothing was violated and no run broke off. */
export async function printTable(
  options: TableOptions,
  { print, tell }: Voice,
  playing: PlayOptions = {},
  playOne: Play = play,
): Promise<boolean> {
  const { seed, seeds, store, faults = faultsWith(store), jobs } = options;
  const queue = faults.flatMap((fault) => Array.from({ length: seeds }, (_, turn) => ({ fault, seed: seed + turn })));
  const results = new Map<FaultName, (Result | undefined)[]>(faults.map((fault) => [fault, []]));
  const unprinted = [...faults];
  const total = queue.length;
  const fromMs = performance.now();
  let done = 0;
  let bad = 0;
  for (const line of heading(options)) print(line);
  const work = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const result = await runOne(next.fault, next.seed);
      results.get(next.fault)?.push(result);
      done++;
      if (!result || result.violations > 0) bad++;
      const secondsLeft = ((performance.now() - fromMs) / done / 1_000) * (total - done);
      tell(`${store}: ${done} of ${total} runs, ${bad} bad, about ${Math.ceil(secondsLeft / 60)} minutes to go`);
      printDone();
    }
  };
  const runOne = async (fault: FaultName, runSeed: number): Promise<Result | undefined> => {
    const again = `make chaos-table SEED=${runSeed} SEEDS=1 ARGS="--store=${store} --faults=${fault}"`;
    try {
      const outcome = await playOne(scenario(options, fault, runSeed), playing);
      const violations = outcome.verdict.violations.length;
      if (violations > 0) tell(`${fault}: ${describeOutcome(outcome, again)}`);
      return { cost: costOf(outcome.history), violations };
    } catch (error) {
      tell(`${fault}: ${error instanceof Error ? `${error.message}: ${error.cause}` : error}\nagain: ${again}`);
      return undefined;
    }
  };
  const printDone = () => {
    for (let fault = unprinted[0]; fault; fault = unprinted[0]) {
      const ended = results.get(fault) ?? [];
      if (ended.length < seeds) return;
      print(
        row(
          fault,
          ended.filter((result) => result !== undefined),
        ),
      );
      unprinted.shift();
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  print("");
  print(`${total - bad} of ${total} runs violated nothing, in ${Math.round((performance.now() - fromMs) / 1_000)} s.`);
  return bad === 0;
}

function scenario({ store, callsPerSecond }: TableOptions, fault: FaultName, seed: number) {
  return {
    seed,
    store,
    // The brokers' own defaults.
    timing: "default" as const,
    faults: [fault],
    durationMs: FAULT_AT_MS[1],
    gapMs: FAULT_AT_MS,
    calmMs: CALM_MS,
    callsPerSecond,
  };
}

function heading({ store, seed, seeds, jobs, callsPerSecond }: TableOptions): string[] {
  const where = store === "redis" ? "Two brokers on Redis (`appendfsync everysec`)" : "One broker on `--data`";
  return [
    `${where}, three workers, two producers with ${callsPerSecond} calls a second each; seeds ${seed} to ` +
      `${seed + seeds - 1}, ${jobs} ${jobs === 1 ? "run" : "runs"} at once.`,
    "",
    "| fault | times | tasks | lost | doubled | of these excused | redelivered | recovery p50 | recovery max | violations |",
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
  ];
}

function row(fault: FaultName, results: readonly Result[]): string {
  const sum = (figure: (cost: Cost) => number) => results.reduce((total, { cost }) => total + figure(cost), 0);
  const recovery = results.flatMap(({ cost }) => cost.recoveryMs);
  const ms = (value: number) => (Number.isNaN(value) ? "–" : `${Math.round(value)} ms`);
  const cells = [
    fault,
    sum(({ faults }) => faults),
    sum(({ tasks }) => tasks),
    sum(({ lost }) => lost),
    sum(({ doubled }) => doubled),
    sum(({ excused }) => excused),
    sum(({ redelivered }) => redelivered),
    ms(percentile(recovery, 0.5)),
    ms(percentile(recovery, 1)),
    results.reduce((total, { violations }) => total + violations, 0),
  ];
  return `| ${cells.join(" | ")} |`;
}
