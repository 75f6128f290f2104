/**
 * The front door of the benchmarks, behind `make bench`:
 *
 *     make bench                                      a short selection, in 5 minutes
 *     make bench ARGS=all                             everything, in about an hour
 *     make bench ARGS="lifecycle --in-flight 200"     one, with its options
 *     make bench ARGS="lifecycle --help"              what its options are
 *
 * Each file of this folder that asks a question can also be run by itself.
 */
import { delay } from "./delay.js";
import { depth } from "./depth.js";
import { drain } from "./drain.js";
import { enqueue } from "./enqueue.js";
import { type Benchmark, giveUp, run } from "./harness.js";
import { idle } from "./idle.js";
import { lifecycle } from "./lifecycle.js";
import { load } from "./load.js";
import { memory } from "./memory.js";
import { pickup } from "./pickup.js";
import { recovery } from "./recovery.js";
import { scale } from "./scale.js";
import { sustained } from "./sustained.js";
import { topics } from "./topics.js";
import { unary } from "./unary.js";
import { watch } from "./watch.js";
import { workers } from "./workers.js";

type Run = readonly [benchmark: Benchmark, ...args: string[]];

const SHORT: readonly Run[] = [
  [lifecycle, "--in-flight", "200,1000", "--seconds", "4"],
  [pickup, "--tasks", "500"],
];

const ALL: readonly Run[] = [
  [lifecycle],
  [lifecycle, "--payload", "1024,65536", "--in-flight", "200,1000"],
  [lifecycle, "--system", "embedded", "--sync", "always", "--in-flight", "200,1000"],
  [enqueue],
  [drain],
  [unary],
  [pickup],
  [load],
  [delay],
  [depth],
  [sustained, "--rounds", "1"],
  [topics],
  [scale],
  [workers],
  [idle],
  [memory],
  [memory, "--tasks", "1000000", "--rounds", "1"],
  [watch],
  [recovery],
];

const byName = new Map([...ALL, ...SHORT].map(([benchmark]) => [benchmark.name, benchmark]));
const [name = "short", ...args] = process.argv.slice(2);

async function main(): Promise<void> {
  if (name === "short" || name === "all") {
    for (const [benchmark, ...own] of name === "all" ? ALL : SHORT) await run(benchmark, [...own, ...args]);
    return;
  }
  const benchmark = byName.get(name);
  if (benchmark === undefined)
    throw new Error(`there is no benchmark "${name}"; there are ${[...byName.keys()].join(", ")}`);
  await run(benchmark, args);
}

await main().catch(giveUp);
