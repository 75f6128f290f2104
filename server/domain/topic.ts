/** What holds for the tasks of one topic, and the counters kept about them. */

import type { Backoff } from "./retry.js";
import type { Millis } from "./task.js";

/** A topic's settings; an unset one means the broker's default. */
export interface TopicSettings {
  readonly paused: boolean;
  readonly numRetries?: number;
  readonly backoff?: Backoff;
  /** 0: no limit. */
  readonly timeoutMs?: Millis;
  readonly lostLeasesMax?: number;
  /** Tasks the topic may hold, in all states; 0: no bound. */
  readonly tasksMax?: number;
  /** Bytes of tasks the topic may hold; 0: no bound. */
  readonly bytesMax?: number;
}

export const COUNTERS = [
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
] as const;

export type Counter = (typeof COUNTERS)[number];

/**
 * Counters since the topic began and sizes now, all of one moment. They obey
 * `started = completed + retried + failed + released + expired + aborted + leased`.
 */
export interface TopicStats extends Readonly<Record<Counter, number>> {
  readonly scheduled: number;
  readonly ready: number;
  readonly leased: number;
  readonly dead: number;
  /** Completed and cancelled tasks that are kept for their retention. */
  readonly completedKept: number;
  readonly cancelledKept: number;
  /** Bytes of the records of all tasks held. */
  readonly bytes: number;
  /** When the task at the head of the input queue was enqueued; unset when none is ready. */
  readonly oldestReadyMs?: Millis;
  /** When the earliest scheduled task is due; unset when none is scheduled. */
  readonly nextDueMs?: Millis;
}
