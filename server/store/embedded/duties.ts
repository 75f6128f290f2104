/** promote and prune: what becomes due by itself, in bounded steps. */
import type { Millis } from "../../domain/task.js";
import { completionToken, decodeBody, encodeGone, parkedState, STATE } from "./body-codec.js";
import { type Change, type Ending, firstDue } from "./change.js";
import { forgetEnded, forgetId, isOver } from "./ended-ids.js";
import { forgetEndedOfTopics } from "./ended-of-topics.js";
import {
  nameKey,
  parkedBounds,
  parkedKey,
  parkedMoment,
  RETENTION_PLACE_AT,
  retentionMoment,
  topicBounds,
} from "./keys.js";
import { dropTask, headOf, putReady, takeTask } from "./moves.js";

/** Of ids of any topics, which each topic's prune helps to forget. */
const CHUNKS_OF_TOPICS = 4;

export function promote(
  change: Change,
  { now, limit }: { readonly now: Millis; readonly limit: number },
): { readonly promoted: number; readonly nextDueMs?: Millis } {
  const { tables, topic } = change;
  const { start, end } = parkedBounds(topic.number, STATE.scheduled);
  let promoted = 0;
  for (const { key, value } of tables.parked.rows(start, end, Math.min(limit, topic.figures.scheduled))) {
    if (parkedMoment(key) > now) break;
    putReady(change, takeTask(change, { state: "scheduled", body: decodeBody(value) }));
    promoted += 1;
  }
  const nextDueMs = firstDue(tables, topic);
  return { promoted, ...(nextDueMs === undefined ? {} : { nextDueMs }) };
}

export function prune(
  change: Change,
  options: Ending & { readonly limit: number },
): { readonly pruned: number; readonly nextMs?: Millis } {
  const { tables, topic } = change;
  const { now, limit } = options;
  const { start, end } = topicBounds(topic.number);
  let pruned = 0;
  for (const { key, value } of tables.retention.rows(start, end, limit)) {
    if (retentionMoment(key) > now) break;
    pruneOne(change, key, value, options);
    pruned += 1;
  }
  forgetEnded(change, options, limit);
  forgetEndedOfTopics(tables, options, Math.min(limit, CHUNKS_OF_TOPICS));
  const next = tables.retention.firstKey(start, end);
  return { pruned, ...(next === undefined ? {} : { nextMs: retentionMoment(next) }) };
}

/** Drops a kept task. Its id is remembered still when its window is the longer one. */
function pruneOne(change: Change, key: Buffer, value: Buffer, ending: Ending): void {
  const { tables, topic } = change;
  const state = parkedState(value.readUInt8());
  if (state !== "completed" && state !== "cancelled") return;
  const endedAtMs = value.readUIntBE(1, 6);
  const row = tables.parked.get(parkedKey(topic.number, STATE[state], endedAtMs, key, RETENTION_PLACE_AT));
  if (row === undefined) return;
  const body = takeTask(change, { state, body: decodeBody(row) });
  dropTask(change, body, headOf(change, body));
  const status = tables.status.peek(nameKey(topic.number, body.id));
  const token = status === undefined ? 0 : completionToken(status);
  if (isOver(endedAtMs, ending)) forgetId(change, body.id);
  else tables.status.put(nameKey(topic.number, body.id), encodeGone(endedAtMs, token));
}
