/** Delayed tasks: how close to their moment they run, alone and all at once. */
import { LATENCY, latencyFigures, OTHERS } from "./columns.js";
import { type Benchmark, type Case, type Options, runIfMain } from "./harness.js";
import { Stage } from "./stage.js";
import { durabilityOf, STORES, type StoreName, startSystem } from "./systems.js";

const SPREAD = { rate: 500, delayMinMs: 100, delayMaxMs: 2_000 } as const;
/** For each 100,000 tasks that are due at once: the time they have to get in. */
const LEAD_MS_PER_100_000 = 8_000;

export const delay: Benchmark = {
  name: "delay",
  question: "how long after its due time does a delayed task run?",
  method: [
    "spread: 500 tasks a second, each delayed by 100 ms to 2 s at random. at once: so many tasks that",
    "fall due at one moment; done ms is when the last of them was completed, after that moment.",
    "A negative minimum would be a task that ran early; due times have a resolution of 1 ms.",
  ],
  options: {
    "at-once": { default: "10000,100000", help: "tasks that fall due at one moment" },
    concurrency: { default: "1000", help: "tasks the worker runs at once" },
    system: { default: "redis,embedded", help: "redis, embedded" },
  },
  columns: [
    { figure: "min", title: "min ms", digits: 2 },
    ...LATENCY,
    { figure: "doneMs", title: "done ms" },
    { figure: "rate", title: "tasks/s" },
    OTHERS,
  ],
  cases: (options) =>
    options
      .someOf("system", STORES)
      .flatMap((name) => [
        spread(options, name),
        ...options.numbers("at-once").map((count) => atOnce(options, name, count)),
      ]),
};

function spread(options: Options, name: StoreName): Case {
  return {
    of: { system: name, durability: durabilityOf(name, options.system), due: "spread" },
    async measure() {
      await using system = await startSystem(name, options.system);
      await using stage = await Stage.open(system, { concurrency: options.number("concurrency") });
      await stage.produce("pace", { ...SPREAD, seconds: options.number("warmup") });
      await stage.drained();
      await stage.mark();
      const { others = 0 } = await stage.measureWhile(async () => {
        await stage.produce("pace", { ...SPREAD, seconds: options.number("seconds") });
        await stage.drained();
        return 1;
      });
      const { fromDue } = await stage.latencies();
      await stage.verify();
      return { ...latencyFigures(fromDue), others };
    },
  };
}

function atOnce(options: Options, name: StoreName, count: number): Case {
  return {
    of: { system: name, durability: durabilityOf(name, options.system), due: `${count} at once` },
    async measure() {
      await using system = await startSystem(name, options.system);
      await using stage = await Stage.open(system, { concurrency: options.number("concurrency") });
      const inMs = 2_000 + Math.ceil((count / 100_000) * LEAD_MS_PER_100_000);
      let dueUs = 0;
      const { others = 0 } = await stage.measureWhile(async () => {
        const answer = await stage.produce<"dueAtOnce", { dueUs: number; spareMs: number }>("dueAtOnce", {
          count,
          inMs,
        });
        if (answer.spareMs < 0)
          throw new Error(`enqueueing ${count} tasks took longer than ${inMs} ms: nothing is measured`);
        dueUs = answer.dueUs;
        await stage.drained();
        return count;
      });
      const { fromDue } = await stage.latencies();
      const [worker] = await stage.workerStates();
      await stage.verify();
      const doneMs = ((worker?.settledUs ?? 0) - dueUs) / 1000;
      return { ...latencyFigures(fromDue), doneMs, rate: (count / doneMs) * 1000, others };
    },
  };
}

await runIfMain(import.meta, delay);
