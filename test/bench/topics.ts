/** Whether many topics slow the queue down. */
import { CPU_PER_TASK, OTHERS, RATE } from "./columns.js";
import { type Benchmark, type Case, runIfMain } from "./harness.js";
import { IN_FLIGHT_METHOD, measureLifecycles } from "./lifecycle.js";
import type { Stage } from "./stage.js";
import { durabilityOf, STORES } from "./systems.js";
import { Taskqueue } from "./taskqueue.js";

/** What one worker may subscribe to. */
const TOPICS_PER_WORKER = 1_000;

export const topics: Benchmark = {
  name: "topics",
  question: "does the rate hold with 10,000 topics?",
  method: [
    ...IN_FLIGHT_METHOD.slice(0, 3),
    "served: tasks go round all topics in turn. A batch then holds few tasks of each topic, which is the",
    "dearest mix there is. A worker serves up to 1,000 topics, and there are as many workers for a few topics",
    "as for the most, all in one process. idle: traffic on one topic, while so many others hold a task that",
    "nobody serves.",
  ],
  options: {
    served: { default: "1,5,100,1000,10000", help: "topics in use" },
    idle: { default: "10000", help: "topics that only hold a task" },
    "in-flight": { default: "1000", help: "the window" },
    payload: { default: "100", help: "bytes of a task's JSON arguments" },
    system: { default: "redis,embedded", help: "redis, embedded" },
  },
  columns: [RATE, ...CPU_PER_TASK, OTHERS],
  cases(options) {
    const [warmup, seconds] = [options.number("warmup"), options.number("seconds")];
    const load = { inFlight: options.number("in-flight"), payloadBytes: options.number("payload"), warmup, seconds };
    return options.someOf("system", STORES).flatMap((name): Case[] => {
      const system = { system: name, durability: durabilityOf(name, options.system) };
      // The same for each number of topics, or two things would be compared at once.
      const workers = Math.ceil(Math.max(...options.numbers("served")) / TOPICS_PER_WORKER);
      const served = options.numbers("served").map((count) => ({
        of: { ...system, topics: count, use: "served", workers },
        async measure() {
          await using queue = await Taskqueue.start({ ...options.system, store: name });
          // Any one of the workers may have to take the whole window.
          const concurrency = load.inFlight * workers;
          // Not before every topic has had its first task.
          const primed = (stage: Stage) => stage.settled(count);
          return await measureLifecycles(queue, { ...load, topics: count, workers, concurrency }, primed);
        },
      }));
      const idle = options.numbers("idle").map((count) => ({
        of: { ...system, topics: count, use: "idle", workers: 1 },
        async measure() {
          await using queue = await Taskqueue.start({ ...options.system, store: name });
          for (let first = 0; first < count; first += 1_000) {
            const some = Array.from({ length: Math.min(1_000, count - first) }, (_, index) => `idle-${first + index}`);
            await Promise.all(some.map((topic) => queue.enqueueOne(topic)));
          }
          queue.alsoWaiting = count;
          return await measureLifecycles(queue, load);
        },
      }));
      return [...served, ...idle];
    });
  },
};

await runIfMain(import.meta, topics);
