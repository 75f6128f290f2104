/** Pickup on an idle system: how long until a worker has it. */
import { LATENCY, latencyFigures, OTHERS } from "./columns.js";
import { type Benchmark, runIfMain } from "./harness.js";
import { ratios } from "./ratios.js";
import { Stage } from "./stage.js";
import { durabilityOf, SYSTEM_NAMES, startSystem } from "./systems.js";

const WARMUP_TASKS = 100;
/** asynq's idle worker sleeps a second between two looks. */
const SECONDS_MAX = 20;

export const pickup: Benchmark = {
  name: "pickup",
  question: "how long from the call of enqueue to the handler's entry, when nothing else is going on?",
  method: [
    "One task at a time: the next is enqueued a random pause after the last one was done. The time is",
    "taken in the producer before the call and in the worker, another process, at the handler's first",
    "line, on the clock that both share (CLOCK_MONOTONIC). Before it, the warm-up without pauses.",
  ],
  options: {
    tasks: { default: "1000", help: "tasks measured, or as many as 20 s allow" },
    pause: { default: "5", help: "mean pause between two tasks, in ms" },
    system: { default: "redis,embedded", help: "redis, embedded, or a peer" },
  },
  columns: [...LATENCY, OTHERS],
  cases: (options) =>
    options.someOf("system", SYSTEM_NAMES).map((name) => ({
      of: { system: name, durability: durabilityOf(name, options.system) },
      async measure() {
        const pauseMs = options.number("pause");
        await using system = await startSystem(name, options.system);
        await using stage = await Stage.open(system);
        await stage.window(1);
        await stage.measure(options.number("warmup"));
        await stage.drained();
        await stage.produce("singles", { count: WARMUP_TASKS, pauseMs, seconds: SECONDS_MAX / 4 });
        await stage.mark();
        const count = options.number("tasks");
        const { others = 0 } = await stage.measureWhile(async () => {
          await stage.produce("singles", { count, pauseMs, seconds: SECONDS_MAX });
          return count;
        });
        const { fromCall } = await stage.latencies();
        await stage.drained();
        await stage.verify();
        return { ...latencyFigures(fromCall), others };
      },
    })),
  conclude: (rows) => ratios(rows, "p50", "p50 (less is better)"),
};

await runIfMain(import.meta, pickup);
