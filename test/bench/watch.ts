/** What watchers cost the queue. */
import { CPU_PER_TASK, OTHERS, RATE } from "./columns.js";
import { type Benchmark, runIfMain } from "./harness.js";
import { IN_FLIGHT_METHOD } from "./lifecycle.js";
import type { WatcherConfig, WatcherState } from "./roles/watcher.js";
import { Stage } from "./stage.js";
import { durabilityOf, STORES } from "./systems.js";
import { Taskqueue } from "./taskqueue.js";

export const watch: Benchmark = {
  name: "watch",
  question: "what do watchers cost, and how much do they get to see?",
  method: [
    ...IN_FLIGHT_METHOD.slice(0, 3),
    "The watchers are one process, a Watch each without a filter. A life makes three events: enqueue,",
    "start, completion. seen %: events received by each, of those that were made. A broker tells a bounded",
    "number of events a second (--events-per-second), and its watchers share one of their own. gaps told:",
    "how often a watcher learned that it had missed some, all watchers together.",
  ],
  options: {
    watchers: { default: "0,1,50", help: "watchers" },
    "in-flight": { default: "1000", help: "the window" },
    system: { default: "redis,embedded", help: "redis, embedded" },
  },
  columns: [
    RATE,
    { figure: "events", title: "events/s each" },
    { figure: "seen", title: "seen %", digits: 1 },
    { figure: "gaps", title: "gaps told" },
    ...CPU_PER_TASK,
    { figure: "watcherCpu", title: "watchers % of a core" },
    OTHERS,
  ],
  cases: (options) =>
    options.someOf("system", STORES).flatMap((name) =>
      options.numbers("watchers").map((watchers) => ({
        of: { system: name, durability: durabilityOf(name, options.system), watchers },
        async measure() {
          const inFlight = options.number("in-flight");
          await using system = await Taskqueue.start({ ...options.system, store: name });
          await using stage = await Stage.open(system, { concurrency: inFlight });
          if (watchers === 0) {
            await stage.window(inFlight);
            await stage.measure(options.number("warmup"));
            const figures = await stage.measure(options.number("seconds"));
            await stage.drained();
            await stage.verify();
            return figures;
          }
          const config: WatcherConfig = { target: system.addresses, watchers };
          await using watcher = await system.startRole("watcher", "roles/watcher.ts", config);
          const look = () => watcher.ask<WatcherState>({ do: "state" });
          stage.others.push(watcher);
          await stage.window(inFlight);
          await stage.measure(options.number("warmup"));
          const before = await look();
          const figures = await stage.measure(options.number("seconds"));
          const after = await look();
          await stage.drained();
          await stage.verify();
          const events = (after.events - before.events) / watchers / options.number("seconds");
          const seen = (events / ((figures.rate ?? Number.NaN) * 3)) * 100;
          return { ...figures, events, seen, gaps: after.gaps - before.gaps };
        },
      })),
    ),
};

await runIfMain(import.meta, watch);
