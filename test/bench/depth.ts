/** Whether a backlog slows the queue down. */
import { CPU_PER_TASK, OTHERS, RATE } from "./columns.js";
import { type Benchmark, runIfMain } from "./harness.js";
import { IN_FLIGHT_METHOD } from "./lifecycle.js";
import { Stage } from "./stage.js";
import { durabilityOf, STORES, startSystem } from "./systems.js";

const CONCURRENCY = 1_000;

export const depth: Benchmark = {
  name: "depth",
  question: "does the rate hold when a million tasks wait?",
  method: [
    ...IN_FLIGHT_METHOD.slice(0, 3),
    `Here the worker runs ${CONCURRENCY} tasks at once and the window is the depth more than that, so that`,
    "so many tasks wait all the time, and every task passes through the whole backlog.",
  ],
  options: {
    depths: { default: "1000,100000,1000000", help: "tasks waiting" },
    payload: { default: "100", help: "bytes of a task's JSON arguments" },
    system: { default: "redis,embedded", help: "redis, embedded" },
  },
  columns: [RATE, ...CPU_PER_TASK, OTHERS],
  cases: (options) =>
    options.someOf("system", STORES).flatMap((name) =>
      options.numbers("depths").map((waiting) => ({
        of: { system: name, durability: durabilityOf(name, options.system), waiting },
        async measure() {
          const payloadBytes = options.number("payload");
          await using system = await startSystem(name, options.system);
          await using stage = await Stage.open(system, { payloadBytes, concurrency: CONCURRENCY, workerProcesses: 0 });
          await stage.send(waiting);
          await stage.addWorker();
          await stage.window(waiting + CONCURRENCY);
          await stage.measure(options.number("warmup"));
          const figures = await stage.measure(options.number("seconds"));
          await stage.drained();
          await stage.verify();
          return figures;
        },
      })),
    ),
  conclude: (rows) =>
    rows.flatMap((row) => {
      const shallow = rows.find(({ of }) => of.system === row.of.system);
      if (shallow === row || shallow === undefined) return [];
      const percent = ((row.medians.rate ?? Number.NaN) / (shallow.medians.rate ?? Number.NaN)) * 100;
      return [
        `${row.of.system}: with ${row.of.waiting} waiting the rate is ${percent.toFixed(0)} % of that with ${shallow.of.waiting}`,
      ];
    }),
};

await runIfMain(import.meta, depth);
