/**
 * enqueue: the only way into a topic. Written for speed: a task costs two rows,
 * its status and its body, and the status row itself tells whether the id is new.
 */
import type { Millis } from "../../domain/task.js";
import { encodeRecord } from "../record.js";
import type { Demand, EnqueueAnswer, NewTask } from "../store.js";
import { keepContent } from "./blobs.js";
import {
  BODY,
  type Content,
  decodeStatus,
  encodeStatus,
  FLAGS,
  RECORD_INLINE_MAX,
  STATE,
  scratch,
  scratchUpTo,
} from "./body-codec.js";
import type { Change, Ending } from "./change.js";
import { isOver } from "./ended-ids.js";
import {
  externalKey,
  nameKey,
  PLACE_BYTES,
  parkedKey,
  readyKey,
  writeAscii,
  writePlace,
  writeUint32,
  writeUint48,
} from "./keys.js";
import { serve } from "./lease.js";

export interface EnqueueOptions extends Ending {
  readonly tasksMax: number;
  readonly bytesMax: number;
  readonly demands?: readonly Demand[];
}

const NOTHING = Buffer.of(0);
const place = Buffer.alloc(PLACE_BYTES);

export function enqueue(change: Change, tasks: readonly NewTask[], options: EnqueueOptions): EnqueueAnswer {
  const records = tasks.map(({ head, spec }) => encodeRecord(head, spec));
  if (isFull(change, tasks, records, options)) {
    const { figures } = change.topic;
    return { kind: "full", tasks: tasksHeld(change), bytes: figures.bytes };
  }
  const created: boolean[] = [];
  for (const [index, task] of tasks.entries()) {
    const record = records[index];
    created.push(record !== undefined && add(change, task, record, options));
  }
  return { kind: "enqueued", created, ...serve(change, options.demands ?? [], options.now) };
}

function tasksHeld({ topic: { figures } }: Change): number {
  return (
    figures.scheduled + figures.ready + figures.leased + figures.dead + figures.completedKept + figures.cancelledKept
  );
}

/** Whether a bound would be broken. Which tasks are new matters only when all of them would not fit. */
function isFull(change: Change, tasks: readonly NewTask[], records: readonly Buffer[], options: EnqueueOptions) {
  const { tasksMax, bytesMax } = options;
  if (tasksMax === 0 && bytesMax === 0) return false;
  const roomTasks = tasksMax === 0 ? Number.POSITIVE_INFINITY : tasksMax - tasksHeld(change);
  const roomBytes = bytesMax === 0 ? Number.POSITIVE_INFINITY : bytesMax - change.topic.figures.bytes;
  const bytes = records.reduce((sum, record) => sum + record.length, 0);
  if (tasks.length <= roomTasks && bytes <= roomBytes) return false;
  const fresh = new Map<string, number>();
  for (const [index, { id }] of tasks.entries()) {
    if (!fresh.has(id) && !isKnown(change, id, options)) fresh.set(id, records[index]?.length ?? 0);
  }
  const freshBytes = [...fresh.values()].reduce((sum, length) => sum + length, 0);
  return fresh.size > 0 && (fresh.size > roomTasks || freshBytes > roomBytes);
}

/** Whether the id exists, or ended within the window. */
function isKnown({ tables, topic }: Change, id: string, ending: Ending): boolean {
  const row = tables.status.peek(nameKey(topic.number, id));
  if (row === undefined) return false;
  const status = decodeStatus(row);
  return status.kind !== "gone" || !isOver(status.momentMs, ending);
}

/** Adds a task unless its id is known; tells whether it did. */
function add(change: Change, { id, head, dueAtMs }: NewTask, record: Buffer, options: EnqueueOptions): boolean {
  const { tables, topic } = change;
  const { figures } = topic;
  const isReady = dueAtMs <= options.now;
  writePlace(place, head.priority, figures.places + 1, 0);
  const status = isReady
    ? encodeStatus(STATE.queued, 0, 0, place, 0)
    : encodeStatus(STATE.scheduled, dueAtMs, 0, place, 0);
  if (!tables.status.insert(nameKey(topic.number, id), status)) {
    if (isKnown(change, id, options)) return false;
    tables.status.put(nameKey(topic.number, id), status);
  }
  figures.places += 1;
  figures.enqueued += 1;
  figures.exists = 1;
  figures.bytes += record.length;
  if (head.externalId !== "") tables.external.put(externalKey(topic.number, head.externalId, id), NOTHING);
  const content = keepContent(tables, topic, record, RECORD_INLINE_MAX);
  if (isReady) {
    figures.ready += 1;
    tables.ready.put(readyKey(topic.number, place, 0), encodeNew(id, record.length, content, 0));
  } else {
    change.beforeScheduling();
    figures.scheduled += 1;
    const key = parkedKey(topic.number, STATE.scheduled, dueAtMs, place, 0);
    tables.parked.put(key, encodeNew(id, record.length, content, dueAtMs));
  }
  return true;
}

/** The body of a task to which nothing has happened yet. */
function encodeNew(id: string, bytes: number, record: Content, dueAtMs: Millis): Buffer {
  scratch.fill(0, 0, BODY.id);
  scratch[BODY.idLength] = id.length;
  scratch.set(place, BODY.place);
  if (dueAtMs > 0) writeUint48(scratch, dueAtMs, BODY.moment);
  writeUint32(scratch, bytes, BODY.bytes);
  const at = writeAscii(scratch, id, BODY.id);
  if (Buffer.isBuffer(record)) {
    scratch.set(record, at);
    return scratchUpTo(at + bytes);
  }
  scratch[BODY.flags] = FLAGS.recordBlob;
  return scratchUpTo(writeUint48(scratch, record.blob, at));
}
