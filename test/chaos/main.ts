/**
 * Chaos from the command line: long runs of one seed after the other, and the
 * table of docs/operations.md.
 *
 *     make chaos SEED=7 MINUTES=10
 *     make chaos-table SEEDS=20
 */
import { chooseSeed } from "../support/random.js";
import { faultsWith, isFaultName, type StoreKind } from "./plan.js";
import { describeOutcome, play } from "./scenario.js";

const args = new Map(
  process.argv.slice(2).map((argument) => argument.replace(/^--/, "").split("=", 2) as [string, string]),
);
const seed = Number(args.get("seed") || chooseSeed());
const minutes = Number(args.get("minutes") || 1);
const stores: StoreKind[] =
  args.get("store") === "embedded" ? ["embedded"] : args.get("store") === "redis" ? ["redis"] : ["redis", "embedded"];
const named = (args.get("faults") ?? "").split(",").filter(isFaultName);
const until = performance.now() + minutes * 60_000;
let failed = 0;
for (let turn = 0; turn === 0 || performance.now() < until; turn++) {
  const store = stores[turn % stores.length] ?? "redis";
  const timing = args.get("timing") === "gentle" ? "gentle" : "rough";
  const faults = named.length > 0 ? named : faultsWith(store);
  const durationMs = Number(args.get("duration") || 15_000);
  const outcome = await play({ seed: seed + turn, store, timing, faults, durationMs }, { keep: args.has("keep") });
  const { violations, excused } = outcome.verdict;
  const quiet = outcome.history.find((record) => record.kind === "quiet");
  const line = `seed ${seed + turn} ${store} ${timing}: ${outcome.plan.length} faults, ${outcome.history.length} records, quiet after ${quiet && "afterMs" in quiet ? quiet.afterMs : "-"} ms, ${violations.length} violations, ${excused.length} excused`;
  process.stdout.write(
    `${line}\n${outcome.folder ? `record in ${outcome.folder}\n` : ""}${describeOutcome(outcome)}\n`,
  );
  if (violations.length > 0) failed++;
}
process.exit(failed > 0 ? 1 : 0);
