/**
 * What happened, as the engine tells it: the events of Watch, the console and
 * the tests. In the store's log they are JSON, one batch per entry.
 */
import type { Millis, Progress } from "../domain/task.js";

export const EVENT_TYPES = [
  "MANAGER_START",
  "MANAGER_STOP",
  "MANAGER_STATS",
  "TASK_ENQUEUE",
  "TASK_START",
  "TASK_RETRY",
  "TASK_COMPLETION",
  "TASK_FAILURE",
  "TASK_RELEASE",
  "TASK_EXPIRE",
  "TASK_REQUEUE",
  "TASK_CANCEL",
  "TASK_DELETE",
  "TASK_PROGRESS",
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

export interface TaskqueueEvent {
  readonly type: EventType;
  readonly atMs: Millis;
  readonly broker: string;
  readonly worker?: string;
  readonly topic?: string;
  readonly taskId?: string;
  readonly externalId?: string;
  readonly attempt?: number;
  readonly durationMs?: Millis;
  readonly error?: string;
  readonly progress?: Progress;
}

export function encodeEvents(events: readonly TaskqueueEvent[]): Uint8Array {
  return Buffer.from(JSON.stringify(events));
}

export function decodeEvents(batch: Uint8Array): TaskqueueEvent[] {
  const parsed: unknown = JSON.parse(Buffer.from(batch).toString());
  return Array.isArray(parsed) ? parsed : [];
}
