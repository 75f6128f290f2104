/** How counters and sizes look: in full, as a row, as a line of a series, and as JSON. */
import type { Stats, TopicStats } from "@taskqueue/sdk";
import { formatBytesRoughly } from "../lib/quantity.js";
import { age, type Column, pick, table } from "./output.js";

const STATS_KEYS = [
  "enqueued",
  "started",
  "retried",
  "failed",
  "completed",
  "released",
  "expired",
  "cancelled",
  "aborted",
  "requeued",
  "deleted",
  "inputQueueSize",
  "workQueueSize",
  "deadQueueSize",
  "scheduledSize",
  "completedSize",
  "cancelledSize",
  "bytes",
  "oldestReadyAgeMs",
  "workers",
  "slots",
] as const satisfies readonly (keyof Stats)[];

/** Every figure, in this order. */
export function statsJson(stats: Stats): object {
  return pick(stats, STATS_KEYS);
}

/** One row per topic. */
export const STATS_COLUMNS: readonly Column<TopicStats>[] = [
  { title: "TOPIC", cell: ({ topic, paused }) => (paused ? `${topic} (paused)` : topic) },
  { title: "READY", align: "right", cell: ({ stats }) => stats.inputQueueSize },
  { title: "LEASED", align: "right", cell: ({ stats }) => stats.workQueueSize },
  { title: "SCHEDULED", align: "right", cell: ({ stats }) => stats.scheduledSize },
  { title: "DEAD", align: "right", cell: ({ stats }) => stats.deadQueueSize },
  { title: "OLDEST", align: "right", cell: ({ stats }) => age(stats.oldestReadyAgeMs) },
  { title: "ENQUEUED", align: "right", cell: ({ stats }) => stats.enqueued },
  { title: "COMPLETED", align: "right", cell: ({ stats }) => stats.completed },
  { title: "RETRIED", align: "right", cell: ({ stats }) => stats.retried },
  { title: "FAILED", align: "right", cell: ({ stats }) => stats.failed },
  { title: "BYTES", align: "right", cell: ({ stats }) => formatBytesRoughly(stats.bytes) },
  { title: "WORKERS", align: "right", cell: ({ stats }) => stats.workers },
  { title: "SLOTS", align: "right", cell: ({ stats }) => stats.slots },
];

/** Everything: counters on the left, what is there now on the right. */
export function statsText(stats: Stats): string {
  const counters = [
    ["enqueued", stats.enqueued],
    ["started", stats.started],
    ["completed", stats.completed],
    ["retried", stats.retried],
    ["failed", stats.failed],
    ["released", stats.released],
    ["expired", stats.expired],
    ["cancelled", stats.cancelled],
    ["aborted", stats.aborted],
    ["requeued", stats.requeued],
    ["deleted", stats.deleted],
  ] as const;
  const sizes = [
    ["input queue (ready)", stats.inputQueueSize],
    ["oldest ready", age(stats.oldestReadyAgeMs) || "-"],
    ["work queue (leased)", stats.workQueueSize],
    ["dead queue", stats.deadQueueSize],
    ["scheduled", stats.scheduledSize],
    ["completed, kept", stats.completedSize],
    ["cancelled, kept", stats.cancelledSize],
    ["bytes", formatBytesRoughly(stats.bytes)],
    ["workers", stats.workers],
    ["slots", stats.slots],
  ] as const;
  return table(
    [
      { title: "SINCE THE BEGINNING", cell: (i) => counters[i]?.[0] ?? "" },
      { title: "", align: "right", cell: (i) => counters[i]?.[1] ?? "" },
      { title: " ", cell: () => "" },
      { title: "NOW", cell: (i) => sizes[i]?.[0] ?? "" },
      { title: "", align: "right", cell: (i) => sizes[i]?.[1] ?? "" },
    ],
    counters.map((_, i) => i),
  );
}

const SERIES = [
  { title: "ENQ/S", width: 8, cell: (now: Stats, before: Stats) => now.enqueued - before.enqueued },
  { title: "START/S", width: 8, cell: (now: Stats, before: Stats) => now.started - before.started },
  { title: "DONE/S", width: 8, cell: (now: Stats, before: Stats) => now.completed - before.completed },
  { title: "RETRY/S", width: 8, cell: (now: Stats, before: Stats) => now.retried - before.retried },
  { title: "FAIL/S", width: 8, cell: (now: Stats, before: Stats) => now.failed - before.failed },
] as const;

const LEVELS = [
  { title: "READY", width: 9, cell: (now: Stats) => now.inputQueueSize },
  { title: "LEASED", width: 8, cell: (now: Stats) => now.workQueueSize },
  { title: "SCHED", width: 8, cell: (now: Stats) => now.scheduledSize },
  { title: "DEAD", width: 8, cell: (now: Stats) => now.deadQueueSize },
  { title: "OLDEST", width: 7, cell: (now: Stats) => age(now.oldestReadyAgeMs) || "-" },
  { title: "WORKERS", width: 8, cell: (now: Stats) => now.workers },
] as const;

export function seriesTitle(): string {
  return `TIME    ${[...SERIES, ...LEVELS].map(({ title, width }) => title.padStart(width)).join("")}\n`;
}

/** One line of a series: rates since `before`, and what is there now. */
export function seriesLine(now: { at: Date; stats: Stats }, before: { at: Date; stats: Stats } | undefined): string {
  const seconds = before === undefined ? 0 : (now.at.getTime() - before.at.getTime()) / 1_000;
  const rates = SERIES.map(({ cell, width }) => {
    const rate =
      before === undefined || seconds <= 0 ? "-" : Math.round((cell(now.stats, before.stats) / seconds) * 10) / 10;
    return String(rate).padStart(width);
  });
  const levels = LEVELS.map(({ cell, width }) => String(cell(now.stats)).padStart(width));
  return `${now.at.toTimeString().slice(0, 8)}${[...rates, ...levels].join("")}\n`;
}
