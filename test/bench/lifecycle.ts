/** Full lifecycles: enqueue, lease, handler, complete; durable, and each counted. */
import { CPU_PER_TASK, OTHERS, RATE } from "./columns.js";
import { type Benchmark, type Case, type Options, runIfMain } from "./harness.js";
import { ratios } from "./ratios.js";
import { type Figures, Stage } from "./stage.js";
import type { System } from "./system.js";
import { durabilityOf, SYSTEM_NAMES, type SystemName, startSystem } from "./systems.js";

/** "In flight", as every benchmark that says it means it. */
export const IN_FLIGHT_METHOD = [
  "In flight: the producer enqueues as long as (enqueued - completed) is below the window. Completed",
  "means that the system has confirmed the completion as stored; the worker process tells the",
  "producer process over a Unix socket. The worker's concurrency is the window. The handler returns",
  "at once. Producer, worker, broker and store are a process each, all on this machine.",
] as const;

/** The most that one worker runs at once. */
const CONCURRENCY_MAX = 10_000;

export interface Load {
  inFlight: number;
  payloadBytes: number;
  warmup: number;
  seconds: number;
  call?: "one" | "many";
  topics?: number;
  workers?: number;
  workerProcesses?: number;
  concurrency?: number;
}

/** One run over a system that was just started; it is left drained and verified. */
export async function measureLifecycles(
  system: System,
  load: Load,
  during?: (stage: Stage) => Promise<void>,
): Promise<Figures> {
  const { inFlight, warmup, seconds, concurrency = inFlight, ...stageOptions } = load;
  await using stage = await Stage.open(system, {
    ...stageOptions,
    concurrency: Math.min(CONCURRENCY_MAX, concurrency),
  });
  await stage.window(inFlight);
  await stage.measure(warmup);
  await during?.(stage);
  const figures = await stage.measure(seconds);
  await stage.drained();
  await stage.verify();
  return figures;
}

export const lifecycle: Benchmark = {
  name: "lifecycle",
  question: "how many tasks per second go through their whole life?",
  method: [
    ...IN_FLIGHT_METHOD,
    "CPU columns: microseconds of CPU time of each process per task, user and system, all threads; the",
    "cores divided by their sum is the rate that this machine could reach.",
    "others %: what everything else on the machine used meanwhile, in percent of one core.",
  ],
  options: {
    "in-flight": { default: "1,200,1000,5000", help: "windows" },
    payload: { default: "100", help: "bytes of a task's JSON arguments" },
    system: {
      default: "redis,embedded",
      help: "ours on a store (redis, redis-cluster, embedded), or a peer (bullmq, beanstalkd, asynq)",
    },
    call: { default: "one", help: "one: client.enqueue for each task; many: client.enqueueMany" },
  },
  columns: [RATE, ...CPU_PER_TASK, OTHERS],
  cases: (options) => options.someOf("system", SYSTEM_NAMES).flatMap((name) => casesOf(options, name)),
  conclude: (rows) => ratios(rows, "rate", "tasks/s"),
};

function casesOf(options: Options, name: SystemName): Case[] {
  const [warmup, seconds] = [options.number("warmup"), options.number("seconds")];
  const call = options.oneOf("call", ["one", "many"]);
  return options.numbers("payload").flatMap((payloadBytes) =>
    options.numbers("in-flight").map((inFlight) => ({
      of: {
        system: name,
        durability: durabilityOf(name, options.system),
        "payload B": payloadBytes,
        "in flight": inFlight,
      },
      async measure() {
        await using system = await startSystem(name, options.system);
        return await measureLifecycles(system, { inFlight, payloadBytes, warmup, seconds, call });
      },
    })),
  );
}

await runIfMain(import.meta, lifecycle);
