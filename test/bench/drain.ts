/** Lease and complete alone: a backlog is worked off while nobody enqueues. */
import { CPU_PER_TASK, OTHERS, RATE } from "./columns.js";
import { type Benchmark, runIfMain } from "./harness.js";
import { ratios } from "./ratios.js";
import { Stage } from "./stage.js";
import { durabilityOf, SYSTEM_NAMES, startSystem } from "./systems.js";

export const drain: Benchmark = {
  name: "drain",
  question: "how fast is a backlog worked off, while nobody enqueues?",
  method: [
    "The tasks wait before the worker process starts. The rate is taken from the first handler's entry",
    "to the last completion confirmed, so a worker that has to warm up is part of it; its CPU time",
    "includes the start of its process.",
  ],
  options: {
    concurrency: { default: "25,200,1000", help: "tasks the worker runs at once" },
    tasks: { default: "200000", help: "the backlog" },
    payload: { default: "100", help: "bytes of a task's JSON arguments" },
    system: { default: "redis,embedded", help: "redis, embedded, or a peer" },
  },
  columns: [RATE, ...CPU_PER_TASK, OTHERS],
  cases: (options) =>
    options.someOf("system", SYSTEM_NAMES).flatMap((name) =>
      options.numbers("payload").flatMap((payloadBytes) =>
        options.numbers("concurrency").map((concurrency) => ({
          of: { system: name, durability: durabilityOf(name, options.system), "payload B": payloadBytes, concurrency },
          async measure() {
            const tasks = options.number("tasks");
            await using system = await startSystem(name, options.system);
            await using stage = await Stage.open(system, { payloadBytes, concurrency, workerProcesses: 0 });
            await stage.send(tasks);
            const figures = await stage.measureWhile(async () => {
              await stage.addWorker();
              await stage.drained();
              return tasks;
            });
            const [worker] = await stage.workerStates();
            await stage.verify();
            return { ...figures, rate: (tasks / ((worker?.settledUs ?? 0) - (worker?.firstUs ?? 0))) * 1e6 };
          },
        })),
      ),
    ),
  conclude: (rows) => ratios(rows, "rate", "tasks/s"),
};

await runIfMain(import.meta, drain);
