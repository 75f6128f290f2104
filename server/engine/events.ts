/**
 * What happened, as the engine tells it: the events of Watch, the console and
 * the tests. In the store's log they are JSON, one batch per entry, with what was
 * dropped before it.
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
  /** How watchers are sent it, once one was: whoever sends it keeps it here for the others. */
  wire?: Uint8Array;
}

/** What is known of events that were dropped. */
export interface LostEvents {
  readonly types: readonly EventType[];
  /** Unset: of any topic, or of none. */
  readonly topics?: readonly string[];
  /** Who told all the same what was wished for by id, and up to which wish; see EventWishes. */
  readonly kept?: { readonly by: string; readonly wishes: number };
}

/** An entry of the log. */
export interface EventBatch {
  readonly events: readonly TaskqueueEvent[];
  /** Events that were dropped before these. */
  readonly lost?: LostEvents;
}

const OFTEN: ReadonlySet<EventType> = new Set<EventType>([
  "TASK_ENQUEUE",
  "TASK_START",
  "TASK_COMPLETION",
  "TASK_PROGRESS",
]);

/** Whether it is an event that people look for, and that an orderly life does not have. */
export function isRare(type: EventType): boolean {
  return !OFTEN.has(type);
}

export function encodeEvents({ events, lost }: EventBatch): Uint8Array {
  return Buffer.from(JSON.stringify(lost === undefined ? events : [{ lost }, ...events]));
}

export function decodeEvents(batch: Uint8Array): EventBatch {
  const parsed: unknown = JSON.parse(Buffer.from(batch.buffer, batch.byteOffset, batch.byteLength).toString());
  if (!Array.isArray(parsed)) return { events: [] };
  const [first] = parsed;
  return first?.lost === undefined ? { events: parsed } : { events: parsed.slice(1), lost: first.lost };
}
