/** The table of docs/operations.md: what each fault, alone, costs. */
import type { Timing } from "./cluster.js";
import { type FaultName, faultsWith, type StoreKind } from "./plan.js";
import { type Cost, costOf, percentile } from "./recovery.js";
import { describeOutcome, play } from "./scenario.js";

const HEADER = [
  "| fault | times | tasks | lost | doubled | redelivered | recovery p50 | recovery max |",
  "|---|---:|---:|---:|---:|---:|---:|---:|",
];

export interface TableOptions {
  readonly seed: number;
  /** Runs of each fault. */
  readonly seeds: number;
  readonly store: StoreKind;
  readonly timing: Timing;
  readonly durationMs: number;
  readonly faults?: readonly FaultName[];
}

/** Prints as it goes; true when nothing was violated. */
export async function printTable(options: TableOptions, print: (line: string) => void): Promise<boolean> {
  const { seed, seeds, store, timing, durationMs, faults = faultsWith(store) } = options;
  let isGood = true;
  for (const line of HEADER) print(line);
  for (const fault of faults) {
    const costs: Cost[] = [];
    for (let turn = 0; turn < seeds; turn++) {
      // One at a time, far enough apart to see the end of each.
      const outcome = await play({
        seed: seed + turn,
        store,
        timing,
        faults: [fault],
        durationMs,
        gapMs: [2_500, 4_000],
      });
      costs.push(costOf(outcome.history));
      if (outcome.verdict.violations.length > 0) {
        isGood = false;
        print(`<!-- ${describeOutcome(outcome)} -->`);
      }
    }
    print(row(fault, costs));
  }
  return isGood;
}

function row(fault: FaultName, costs: readonly Cost[]): string {
  const sum = (figure: (cost: Cost) => number) => costs.reduce((total, cost) => total + figure(cost), 0);
  const recovery = costs.flatMap(({ recoveryMs }) => recoveryMs);
  const ms = (value: number) => (Number.isNaN(value) ? "–" : `${Math.round(value)} ms`);
  const cells = [
    fault,
    recovery.length,
    sum(({ tasks }) => tasks),
    sum(({ lost }) => lost),
    sum(({ doubled }) => doubled),
    sum(({ redelivered }) => redelivered),
    ms(percentile(recovery, 0.5)),
    ms(percentile(recovery, 1)),
  ];
  return `| ${cells.join(" | ")} |`;
}
