/** Pickup under load that does not wait: an open loop. */
import { CPU_PER_TASK, LATENCY, latencyFigures, OTHERS } from "./columns.js";
import { type Benchmark, runIfMain } from "./harness.js";
import { Stage } from "./stage.js";
import type { Distribution } from "./statistics.js";
import { durabilityOf, STORES, startSystem } from "./systems.js";

export const load: Benchmark = {
  name: "load",
  question: "how long until a handler is entered, while tasks keep coming at a fixed rate?",
  method: [
    "Open loop: tasks are enqueued by the clock, whatever became of those before, so a stall of the",
    "system is seen by every task that came meanwhile. Two times are given for each percentile:",
    "from the moment the task was meant to be enqueued, which includes the producer's 1 ms timer",
    "(columns p50 to max), and from the call of enqueue (columns call). late: how late the calls were.",
  ],
  options: {
    rates: { default: "1000,10000,25000", help: "tasks per second" },
    concurrency: { default: "200", help: "tasks the worker runs at once" },
    payload: { default: "100", help: "bytes of a task's JSON arguments" },
    system: { default: "redis,embedded", help: "redis, embedded" },
  },
  columns: [
    ...LATENCY,
    { figure: "callP50", title: "call p50", digits: 2 },
    { figure: "callP99", title: "call p99", digits: 2 },
    { figure: "callP999", title: "call p99.9", digits: 2 },
    { figure: "lateP99", title: "late p99", digits: 2 },
    ...CPU_PER_TASK,
    OTHERS,
  ],
  cases: (options) =>
    options.someOf("system", STORES).flatMap((name) =>
      options.numbers("rates").map((rate) => ({
        of: { system: name, durability: durabilityOf(name, options.system), "offered/s": rate },
        async measure() {
          const [seconds, warmup] = [options.number("seconds"), options.number("warmup")];
          await using system = await startSystem(name, options.system);
          const [payloadBytes, concurrency] = [options.number("payload"), options.number("concurrency")];
          await using stage = await Stage.open(system, { payloadBytes, concurrency });
          await stage.produce("pace", { rate, seconds: warmup });
          await stage.drained();
          await stage.mark();
          let late: Distribution | undefined;
          const figures = await stage.measureWhile(async () => {
            late = await stage.produce<"pace", Distribution>("pace", { rate, seconds });
            return rate * seconds;
          });
          await stage.drained();
          const { fromCall, fromDue } = await stage.latencies();
          await stage.verify();
          const call = latencyFigures(fromCall);
          return {
            ...figures,
            ...latencyFigures(fromDue),
            callP50: call.p50 ?? Number.NaN,
            callP99: call.p99 ?? Number.NaN,
            callP999: call.p999 ?? Number.NaN,
            lateP99: (late?.p99 ?? Number.NaN) / 1000,
          };
        },
      })),
    ),
};

await runIfMain(import.meta, load);
