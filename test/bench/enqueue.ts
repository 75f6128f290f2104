/** Enqueue alone: nobody works, tasks pile up. */
import { CPU_PER_TASK, OTHERS, RATE } from "./columns.js";
import { type Benchmark, runIfMain } from "./harness.js";
import { ratios } from "./ratios.js";
import { Stage } from "./stage.js";
import { durabilityOf, SYSTEM_NAMES, startSystem } from "./systems.js";

export const enqueue: Benchmark = {
  name: "enqueue",
  question: "how many tasks per second are accepted, while nobody works?",
  method: [
    "One producer process calls enqueue with at most so many calls unanswered. A task counts when the",
    "system has acknowledged it. A quarter as many tasks go in before, to warm up. At the end all of",
    "them must be waiting.",
  ],
  options: {
    unanswered: { default: "1,200,5000", help: "calls unanswered at once" },
    tasks: { default: "200000", help: "tasks measured; fewer when only few are unanswered at once" },
    payload: { default: "100", help: "bytes of a task's JSON arguments" },
    system: { default: "redis,embedded", help: "redis, embedded, or a peer" },
    call: { default: "one", help: "one: client.enqueue for each task; many: client.enqueueMany" },
  },
  columns: [RATE, ...CPU_PER_TASK, OTHERS],
  cases: (options) =>
    options.someOf("system", SYSTEM_NAMES).flatMap((name) =>
      options.numbers("payload").flatMap((payloadBytes) =>
        options.numbers("unanswered").map((unanswered) => ({
          of: { system: name, durability: durabilityOf(name, options.system), "payload B": payloadBytes, unanswered },
          async measure() {
            // One at a time is a matter of round trips: some thousands of them are enough.
            const tasks = Math.min(options.number("tasks"), unanswered * 10_000);
            await using system = await startSystem(name, options.system);
            const call = options.oneOf("call", ["one", "many"]);
            await using stage = await Stage.open(system, { payloadBytes, call, workerProcesses: 0 });
            await stage.send(Math.ceil(tasks / 4), unanswered);
            let seconds = 0;
            const figures = await stage.measureWhile(async () => {
              seconds = await stage.send(tasks, unanswered);
              return tasks;
            });
            await stage.verify({ waiting: true });
            return { ...figures, rate: tasks / seconds };
          },
        })),
      ),
    ),
  conclude: (rows) => ratios(rows, "rate", "tasks/s"),
};

await runIfMain(import.meta, enqueue);
