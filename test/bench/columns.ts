/** Columns that several benchmarks print. */
import type { Column } from "./harness.js";
import type { Figures } from "./stage.js";
import type { Distribution } from "./statistics.js";

export const RATE: Column = { figure: "rate", title: "tasks/s", range: true };

/** CPU microseconds per task of each process, and what others used meanwhile. */
export const CPU_PER_TASK: readonly Column[] = [
  { figure: "brokerUs", title: "broker µs/task", digits: 1 },
  { figure: "serverUs", title: "server µs/task", digits: 1 },
  { figure: "redisUs", title: "redis µs/task", digits: 1 },
  { figure: "producerUs", title: "producer µs/task", digits: 1 },
  { figure: "workerUs", title: "worker µs/task", digits: 1 },
  { figure: "allUs", title: "all µs/task", digits: 1 },
];

/** In percent of a core. */
export const OTHERS: Column = { figure: "others", title: "others %" };

/** Latencies in milliseconds; the figures of `latencyFigures`. */
export const LATENCY: readonly Column[] = [
  { figure: "p50", title: "p50 ms", digits: 2, range: true },
  { figure: "p99", title: "p99 ms", digits: 2 },
  { figure: "p999", title: "p99.9 ms", digits: 2 },
  { figure: "max", title: "max ms", digits: 2 },
  { figure: "count", title: "measured" },
];

/** Milliseconds from a distribution of microseconds. */
export function latencyFigures({ count, min, p50, p99, p999, max }: Distribution): Figures {
  return { count, min: min / 1000, p50: p50 / 1000, p99: p99 / 1000, p999: p999 / 1000, max: max / 1000 };
}
