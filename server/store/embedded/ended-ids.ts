/**
 * The memory for ids of ended tasks. An ended id keeps a status that says when
 * it ended and by which token; that decides, and is exact to the millisecond.
 * So that old ones can be found, each verb that ends tasks also writes their ids
 * down in chunks in the order of time.
 *
 * Forgetting is done a little by every verb that remembers, so that the memory
 * does not grow whether or not anybody prunes.
 */
import type { TaskId } from "../../domain/ids.js";
import type { Millis } from "../../domain/task.js";
import { encodeGone, goneMoment, idsInChunk, scratch, scratchUpTo } from "./body-codec.js";
import type { Change, Ending, Place } from "./change.js";
import type { Tables } from "./database.js";
import { nameKey, numberKey, topicBounds, writeAscii, writeUint48 } from "./keys.js";

/** Of the moment that a chunk begins with. */
export const MOMENT_BYTES = 6;
export const CHUNK_BYTES_MAX = 1900;

/** The task of this id is gone. */
export function rememberId(change: Change, id: TaskId, token: number, ending: Ending): void {
  markGone(change, id, token, ending);
  if (ending.endedWindowMs > 0) change.ended.push(id);
}

/** Only gives the id its status; that it is written down in a chunk is the caller's business. */
export function markGone({ tables, topic }: Place, id: TaskId, token: number, { now, endedWindowMs }: Ending): void {
  if (endedWindowMs <= 0) forgetId({ tables, topic }, id);
  else tables.status.put(nameKey(topic.number, id), encodeGone(now, token));
}

export function forgetId({ tables, topic }: Place, id: TaskId): void {
  tables.status.remove(nameKey(topic.number, id));
}

export function isOver(endedAtMs: Millis, { now, endedWindowMs }: Ending): boolean {
  return now - endedAtMs >= endedWindowMs;
}

/** Writes down the ids that ended in this verb, and forgets about as many old ones. */
export function settleEnded(change: Change, ending: Ending): void {
  const { ended } = change;
  if (ended.length === 0) return;
  let chunks = 1;
  let at = writeUint48(scratch, ending.now, 0);
  for (const id of ended) {
    if (at + 1 + id.length > CHUNK_BYTES_MAX) {
      putChunk(change, at);
      chunks += 1;
      at = writeUint48(scratch, ending.now, 0);
    }
    scratch[at] = id.length;
    at = writeAscii(scratch, id, at + 1);
  }
  putChunk(change, at);
  forgetEnded(change, ending, chunks + 1);
}

function putChunk({ tables, topic }: Place, length: number): void {
  topic.figures.chunks += 1;
  tables.ended.put(numberKey(topic.number, topic.figures.chunks), scratchUpTo(length));
}

/** Forgets the ids in up to `chunksMax` chunks whose window is over. */
export function forgetEnded({ tables, topic }: Place, ending: Ending, chunksMax: number): void {
  // Under no topic's number stands what is of many topics.
  if (topic.number === 0) return;
  const { start, end } = topicBounds(topic.number);
  for (const { key, value } of tables.ended.rows(start, end, chunksMax)) {
    if (!isOver(value.readUIntBE(0, MOMENT_BYTES), ending)) return;
    for (const id of idsInChunk(value, MOMENT_BYTES)) forgetIfOver(tables, topic.number, id, ending);
    tables.ended.remove(key);
  }
}

/** The id may be in use again, or have ended again since, or its task may be kept: its status knows. */
export function forgetIfOver(tables: Tables, topic: number, id: string, ending: Ending): void {
  const key = nameKey(topic, id);
  const status = tables.status.peek(key);
  const endedAtMs = status === undefined ? undefined : goneMoment(status);
  if (endedAtMs !== undefined && isOver(endedAtMs, ending)) tables.status.remove(key);
}
