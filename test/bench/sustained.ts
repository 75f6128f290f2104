/** Whether the rate holds while history grows: ended ids are remembered, and forgotten, as time passes. */
import { OTHERS } from "./columns.js";
import { type Benchmark, runIfMain } from "./harness.js";
import { IN_FLIGHT_METHOD } from "./lifecycle.js";
import { redisFigures } from "./redis-info.js";
import { type Figures, Stage } from "./stage.js";
import { durabilityOf, STORES, startSystem } from "./systems.js";

const SLICE_SECONDS = 10;

export const sustained: Benchmark = {
  name: "sustained",
  question: "does the rate hold over minutes?",
  method: [
    ...IN_FLIGHT_METHOD.slice(0, 3),
    "The rate is taken in slices of 10 s. Ids of ended tasks are remembered for 30 s by default, so the",
    "first slices fill that memory and the later ones also empty it.",
  ],
  options: {
    "in-flight": { default: "1000", help: "the window" },
    length: { default: "90", help: "seconds in all" },
    payload: { default: "100", help: "bytes of a task's JSON arguments" },
    system: { default: "redis,embedded", help: "redis, embedded" },
  },
  columns: [
    { figure: "first", title: "first 10 s, tasks/s" },
    { figure: "worst", title: "worst 10 s" },
    { figure: "last", title: "last 10 s", range: true },
    { figure: "redisMiB", title: "Redis data MiB" },
    { figure: "tasks", title: "tasks in all" },
    OTHERS,
  ],
  cases: (options) =>
    options.someOf("system", STORES).flatMap((name) =>
      options.numbers("in-flight").map((inFlight) => ({
        of: { system: name, durability: durabilityOf(name, options.system), "in flight": inFlight },
        async measure() {
          await using system = await startSystem(name, options.system);
          const payloadBytes = options.number("payload");
          await using stage = await Stage.open(system, { payloadBytes, concurrency: inFlight });
          await stage.window(inFlight);
          await stage.measure(options.number("warmup"));
          const slices: Figures[] = [];
          for (let left = options.number("length"); left > 0; left -= SLICE_SECONDS)
            slices.push(await stage.measure(SLICE_SECONDS));
          const redis = system.redis && (await redisFigures(system.redis));
          await stage.drained();
          const { sent } = await stage.verify();
          const rates = slices.map(({ rate }) => rate ?? Number.NaN);
          return {
            first: rates[0] ?? Number.NaN,
            worst: Math.min(...rates),
            last: rates.at(-1) ?? Number.NaN,
            tasks: sent,
            others: Math.max(...slices.map(({ others }) => others ?? 0)),
            ...(redis && { redisMiB: redis.dataBytes / 2 ** 20 }),
          };
        },
      })),
    ),
};

await runIfMain(import.meta, sustained);
