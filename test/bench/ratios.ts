/** Ours against the others, case by case, from the medians of one alternating run. */
import type { Row } from "./harness.js";
import { PEERS } from "./systems.js";

const OURS = "redis";

/** One line per case and peer: how many times theirs our figure is. Empty when no peer was measured. */
export function ratios(rows: readonly Row[], figure: string, reading: string): string[] {
  const labels = ({ of: { system: _, durability: __, ...others } }: Row) => others;
  const key = (row: Row) => JSON.stringify(labels(row));
  return rows
    .filter(({ of }) => of.system === OURS)
    .flatMap((ours) =>
      rows
        .filter((row) => PEERS.some((peer) => peer === row.of.system) && key(row) === key(ours))
        .map((theirs) => {
          const ratio = (ours.medians[figure] ?? Number.NaN) / (theirs.medians[figure] ?? Number.NaN);
          const where = Object.entries(labels(ours)).map(([name, value]) => `, ${name} ${value}`);
          return `${reading}: ours on Redis is ${ratio.toPrecision(3)} times that of ${theirs.of.system}${where.join("")}`;
        }),
    );
}
