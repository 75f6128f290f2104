/**
 * The record of a task, field by field, with when each changes.
 *
 * A task has two parts. The *head* holds what the broker itself needs to know;
 * the *spec* is the task as its producer encoded it, without topic and id,
 * which the broker stores and passes on without ever looking inside.
 */
import type { LeaseToken, SessionId, TaskId } from "./ids.js";
import type { Backoff } from "./retry.js";
import type { DeadReason, TaskState } from "./states.js";

/** Milliseconds since the epoch on the store's clock, or a duration, as the name says. */
export type Millis = number;

/** What the broker knows of a task's description. Never changes after the enqueue. */
export interface TaskHead {
  readonly enqueuedAtMs: Millis;
  /** Lower runs earlier. An int32. */
  readonly priority: number;
  /** Empty when the producer gave none. */
  readonly externalId: string;
  /** How long the task is kept after it completed or was cancelled; 0 not at all. */
  readonly retentionMs: Millis;
  /** Unset: the topic's. */
  readonly numRetries?: number | undefined;
  /** Of one attempt; 0 for no limit. Unset: the topic's. */
  readonly timeoutMs?: Millis | undefined;
  /** Unset: the topic's. */
  readonly backoff?: Backoff | undefined;
}

/** Whether a task is like most: it has no place before others, is found by its id alone, and goes when it ends. */
export function isPlain({ priority, externalId, retentionMs }: TaskHead): boolean {
  return priority === 0 && externalId === "" && retentionMs === 0;
}

export interface Progress {
  /** 0 to 1. */
  readonly fraction: number;
  readonly message: string;
}

/** A task and everything the store knows about it. */
export interface TaskRecord {
  readonly id: TaskId;
  readonly head: TaskHead;
  readonly spec: Uint8Array;
  readonly state: TaskState;
  /** Attempts that failed: +1 by retry and bury; 0 again by requeue. */
  readonly failures: number;
  /** Leases lost: +1 by expire; 0 again by requeue. */
  readonly lostLeases: number;
  /** The error of the latest failure or lost lease, or empty. */
  readonly error: string;
  /** When it is due; scheduled tasks only. */
  readonly dueAtMs?: Millis;
  /** When, by whom and with which proof it is held; leased tasks only. */
  readonly lease?: { readonly session: SessionId; readonly token: LeaseToken; readonly leasedAtMs: Millis };
  /** A person asked to cancel it; leased tasks only. */
  readonly cancelRequested?: boolean;
  /** The latest report of the running attempt; leased tasks only. */
  readonly progress?: Progress;
  /** When it died, completed or was cancelled; ended tasks only. */
  readonly endedAtMs?: Millis;
  /** Dead tasks only. */
  readonly deadReason?: DeadReason;
  /** What the processor returned, encoded; completed tasks only. */
  readonly result?: Uint8Array;
}

/**
 * The attempt a task is on, or the last one it was on: runs that failed and
 * runs that were lost count, releases do not. 0 before the first.
 */
export function attemptOf(record: Pick<TaskRecord, "state" | "failures" | "lostLeases">): number {
  const before = record.failures + record.lostLeases;
  return record.state === "leased" || record.state === "completed" ? before + 1 : before;
}
