/** Whether many workers slow the queue down. */
import { CPU_PER_TASK, OTHERS, RATE } from "./columns.js";
import { type Benchmark, runIfMain } from "./harness.js";
import { IN_FLIGHT_METHOD, measureLifecycles } from "./lifecycle.js";
import { durabilityOf, STORES, startSystem } from "./systems.js";

export const workers: Benchmark = {
  name: "workers",
  question: "does the rate hold with 200 workers?",
  method: [
    ...IN_FLIGHT_METHOD.slice(0, 3),
    "The workers are one process, and a connection and a session each; together their concurrency is",
    "the window. All serve the one topic. Deliveries and reports get smaller as workers get more.",
  ],
  options: {
    workers: { default: "1,20,200", help: "workers" },
    "in-flight": { default: "1000", help: "the window" },
    payload: { default: "100", help: "bytes of a task's JSON arguments" },
    system: { default: "redis,embedded", help: "redis, embedded" },
  },
  columns: [RATE, ...CPU_PER_TASK, OTHERS],
  cases(options) {
    const [warmup, seconds] = [options.number("warmup"), options.number("seconds")];
    const load = { inFlight: options.number("in-flight"), payloadBytes: options.number("payload"), warmup, seconds };
    return options.someOf("system", STORES).flatMap((name) =>
      options.numbers("workers").map((count) => ({
        of: { system: name, durability: durabilityOf(name, options.system), workers: count },
        async measure() {
          await using system = await startSystem(name, options.system);
          return await measureLifecycles(system, { ...load, workers: count });
        },
      })),
    );
  },
};

await runIfMain(import.meta, workers);
