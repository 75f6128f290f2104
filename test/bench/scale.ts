/** Whether brokers share the work, over one Redis and over a cluster of three. */
import { CPU_PER_TASK, OTHERS, RATE } from "./columns.js";
import { type Benchmark, runIfMain } from "./harness.js";
import { IN_FLIGHT_METHOD, measureLifecycles } from "./lifecycle.js";
import { durabilityOf, STORES } from "./systems.js";
import { Taskqueue } from "./taskqueue.js";

/** More than a cluster has nodes, or they would have nothing to share. */
const TOPICS = 12;
/** Each of them picks a broker at random. */
const WORKER_PROCESSES = 4;

export const scale: Benchmark = {
  name: "scale",
  question: "do several brokers, and several nodes of Redis, share the work?",
  method: [
    ...IN_FLIGHT_METHOD,
    `${WORKER_PROCESSES} worker processes and ${TOPICS} topics. On a machine whose cores are all busy more brokers cannot mean more`,
    "tasks: what must stay is the CPU time of a task, all brokers and all nodes together.",
  ],
  options: {
    brokers: { default: "1,2,3", help: "broker processes" },
    "in-flight": { default: "1000", help: "the window" },
    payload: { default: "100", help: "bytes of a task's JSON arguments" },
    system: { default: "redis,redis-cluster", help: "redis, redis-cluster (three nodes)" },
  },
  columns: [RATE, ...CPU_PER_TASK, OTHERS],
  cases(options) {
    const [warmup, seconds] = [options.number("warmup"), options.number("seconds")];
    const load = { inFlight: options.number("in-flight"), payloadBytes: options.number("payload"), warmup, seconds };
    return options.someOf("system", STORES).flatMap((store) =>
      options.numbers("brokers").map((brokers) => ({
        of: { system: store, durability: durabilityOf(store, options.system), brokers },
        async measure() {
          await using system = await Taskqueue.start({ ...options.system, store, brokers });
          return await measureLifecycles(system, { ...load, topics: TOPICS, workerProcesses: WORKER_PROCESSES });
        },
      })),
    );
  },
};

await runIfMain(import.meta, scale);
