/**
 * enqueue: the only way into a topic. Written for speed: a task that waits costs
 * one row, its status, which also tells whether the id is new, and its share of a row of bodies; one that goes straight to a worker
 * the share alone.
 */
import type { TaskId } from "../../domain/ids.js";
import { isPlain, type Millis } from "../../domain/task.js";
import { encodeRecord } from "../record.js";
import type { Demand, EnqueueAnswer, Leased, NewTask } from "../store.js";
import { keepBlob } from "./blobs.js";
import {
  BLOB_BYTES,
  BODY,
  decodeStatus,
  encodeParked,
  encodeQueued,
  RECORD_INLINE_MAX,
  STATE,
  scratch,
  scratchUpTo,
  writeNew,
} from "./body-codec.js";
import type { Change, Ending } from "./change.js";
import { isOver } from "./ended-ids.js";
import { externalKey, nameKey, PLACE_BYTES, parkedKey, writePlace } from "./keys.js";
import { Handing, isOpen, serve } from "./lease.js";
import { Appender } from "./ready-queue.js";
import type { TopicState } from "./topic-state.js";

export interface EnqueueOptions extends Ending {
  readonly tasksMax: number;
  readonly bytesMax: number;
  readonly demands?: readonly Demand[];
}

/** A task with its record as it is kept. */
export interface NewRecord extends NewTask {
  readonly record: Buffer;
}

export function recordsOf(tasks: readonly NewTask[]): NewRecord[] {
  return tasks.map(({ id, head, spec, dueAtMs }) => ({ id, head, spec, dueAtMs, record: encodeRecord(head, spec) }));
}

const NOTHING = Buffer.of(0);
const place = Buffer.alloc(PLACE_BYTES);

export function enqueue(change: Change, tasks: readonly NewRecord[], options: EnqueueOptions): EnqueueAnswer {
  if (isFull(change, tasks, options)) {
    const { figures } = change.topic;
    return { kind: "full", tasks: tasksHeld(change), bytes: figures.bytes };
  }
  const straight = goStraight(change, tasks, options);
  if (straight !== undefined) return straight;
  const ready = new Appender(change);
  const created = tasks.map((task) => add(change, task, ready, options));
  ready.flush();
  return { kind: "enqueued", created, ...serve(change, options.demands ?? [], options.now) };
}

/**
 * Plain tasks that find nobody waiting, and a worker that wants them all, go to it without
 * passing the queue. They have no status: that they are leased is known from memory, and from their bodies.
 */
function goStraight(change: Change, tasks: readonly NewRecord[], options: EnqueueOptions): EnqueueAnswer | undefined {
  const { topic } = change;
  const { now, demands: [demand, ...others] = [] } = options;
  if (demand === undefined || others.length > 0 || tasks.length > demand.limit) return undefined;
  if (topic.figures.ready > 0 || topic.settings.paused || !isOpen(change, demand.session)) return undefined;
  let bytes = 0;
  for (const task of tasks) {
    if (!mayGoStraight(task, task.record, now)) return undefined;
    bytes += task.record.length;
  }
  if (tasks.length > 1 && bytes > demand.bytesMax) return undefined;
  const handing = new Handing(change, demand.session.id, now);
  const leased: Leased[] = [];
  const created = tasks.map((task) => {
    if (isKnown(change, task.id, options)) return false;
    arrive(topic, task.id, task.record);
    leased.push(handing.handNew(task, task.record));
    return true;
  });
  handing.finish();
  return { kind: "enqueued", created, leased, ready: 0, lostSessions: [] };
}

/** Whether the task may go straight to a worker, as far as it is for the task to say. */
export function mayGoStraight({ head, dueAtMs }: NewTask, record: Buffer, now: Millis): boolean {
  return isPlain(head) && dueAtMs <= now && record.length <= RECORD_INLINE_MAX;
}

/** Counts a new task, and gives it its number. */
export function arrive(topic: TopicState, id: TaskId, record: Buffer): void {
  const { figures } = topic;
  if (id > topic.highestId) topic.highestId = id;
  figures.places += 1;
  figures.enqueued += 1;
  figures.exists = 1;
  figures.bytes += record.length;
}

function tasksHeld({ topic: { figures } }: Change): number {
  return (
    figures.scheduled + figures.ready + figures.leased + figures.dead + figures.completedKept + figures.cancelledKept
  );
}

/** Whether a bound would be broken. Which tasks are new matters only when all of them would not fit. */
function isFull(change: Change, tasks: readonly NewRecord[], options: EnqueueOptions): boolean {
  const { tasksMax, bytesMax } = options;
  if (tasksMax === 0 && bytesMax === 0) return false;
  const roomTasks = tasksMax === 0 ? Number.POSITIVE_INFINITY : tasksMax - tasksHeld(change);
  const roomBytes = bytesMax === 0 ? Number.POSITIVE_INFINITY : bytesMax - change.topic.figures.bytes;
  const bytes = tasks.reduce((sum, { record }) => sum + record.length, 0);
  if (tasks.length <= roomTasks && bytes <= roomBytes) return false;
  const fresh = new Map<string, number>();
  for (const { id, record } of tasks) {
    if (!fresh.has(id) && !isKnown(change, id, options)) fresh.set(id, record.length);
  }
  const freshBytes = [...fresh.values()].reduce((sum, length) => sum + length, 0);
  return fresh.size > 0 && (fresh.size > roomTasks || freshBytes > roomBytes);
}

/** Whether the id exists, or ended within the window. */
export function isKnown({ tables, topic }: Change, id: TaskId, ending: Ending): boolean {
  if (id > topic.highestId) return false;
  if (topic.leases.get(id) !== undefined) return true;
  const row = tables.status.peek(nameKey(topic.number, id));
  if (row === undefined) return false;
  const status = decodeStatus(row);
  return status.kind !== "gone" || !isOver(status.momentMs, ending);
}

/** Adds a task unless its id is known; tells whether it did. */
function add(change: Change, task: NewRecord, ready: Appender, options: EnqueueOptions): boolean {
  const { tables, topic } = change;
  const { figures } = topic;
  const { id, head, record, dueAtMs } = task;
  const isReady = dueAtMs <= options.now;
  // One that went straight has no status yet.
  if (id <= topic.highestId && topic.leases.get(id) !== undefined) return false;
  writePlace(place, head.priority, figures.places + 1, 0);
  const status = isReady ? encodeQueued(place, 0) : encodeParked("scheduled", dueAtMs, 0, place);
  if (!tables.status.insert(nameKey(topic.number, id), status)) {
    if (isKnown(change, id, options)) return false;
    tables.status.put(nameKey(topic.number, id), status);
  }
  arrive(topic, id, record);
  if (head.externalId !== "") tables.external.put(externalKey(topic.number, head.externalId, id), NOTHING);
  const content = record.length <= RECORD_INLINE_MAX ? record : keepBlob(tables, topic, record);
  const length = BODY.id + id.length + (Buffer.isBuffer(content) ? content.length : BLOB_BYTES);
  if (isReady) {
    figures.ready += 1;
    const { target, at } = ready.reserve(place, length);
    writeNew(target, at, id, place, record.length, content, 0);
  } else {
    change.beforeScheduling();
    figures.scheduled += 1;
    writeNew(scratch, 0, id, place, record.length, content, dueAtMs);
    tables.parked.put(parkedKey(topic.number, STATE.scheduled, dueAtMs, place, 0), scratchUpTo(length));
  }
  return true;
}
