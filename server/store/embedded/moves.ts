/**
 * What the verbs are made of: find a task, take it from where it is, put it
 * where it shall be. Each keeps the figures, the indexes and the status in step
 * with the bodies; nothing else writes to those tables but the fast paths of
 * enqueue.ts, lease.ts and settle.ts, which do the same with fewer steps.
 */
import assert from "node:assert";
import type { TaskId } from "../../domain/ids.js";
import type { TaskState } from "../../domain/states.js";
import type { Millis, TaskHead } from "../../domain/task.js";
import { decodeRecord } from "../record.js";
import { dropContent, loadBeginning } from "./blobs.js";
import {
  type Body,
  decodeBody,
  decodeStatus,
  encodeBody,
  encodeParked,
  encodeQueued,
  type ParkedState,
  STATE,
  scratch,
  scratchUpTo,
} from "./body-codec.js";
import type { Change, Ending, Place } from "./change.js";
import { forgetId, rememberId } from "./ended-ids.js";
import { externalKey, nameKey, parkedKey, retentionKey, writeUint48 } from "./keys.js";
import { bodyInRow, groupRow, type Lease, singleRow } from "./leases.js";
import { insertReady, readyBody, removeReady } from "./ready-queue.js";
import type { Figures } from "./topic-state.js";

/** A task where it is. */
export type Found =
  | { readonly state: "ready"; readonly body: Body }
  | { readonly state: "leased"; readonly body: Body; readonly lease: Lease }
  | { readonly state: ParkedState; readonly body: Body };

const SIZES = {
  scheduled: "scheduled",
  ready: "ready",
  leased: "leased",
  dead: "dead",
  completed: "completedKept",
  cancelled: "cancelledKept",
} as const satisfies Record<TaskState, keyof Figures>;

export function findTask(place: Place, id: TaskId): Found | undefined {
  const { tables, topic } = place;
  const lease = topic.leases.get(id);
  if (lease !== undefined) return { state: "leased", body: leasedBody(place, lease), lease };
  const row = tables.status.peek(nameKey(topic.number, id));
  if (row === undefined) return undefined;
  const status = decodeStatus(row);
  if (status.kind === "gone") return undefined;
  if (status.kind === "queued") return { state: "ready", body: readyBody(place, status.place) };
  const body = tables.parked.get(parkedKey(topic.number, STATE[status.kind], status.momentMs, status.place, 0));
  assert(body !== undefined, "a status names a body that is not there");
  return { state: status.kind, body: decodeBody(body) };
}

export function leasedBody(place: Place, lease: Lease): Body {
  return bodyInRow(place.row?.(lease.group) ?? groupRow(place.tables, place.topic.number, lease.group), lease);
}

export function headOf({ tables, topic }: Place, body: Body): TaskHead {
  return decodeRecord(loadBeginning(tables, topic, body.record)).head;
}

/** Takes a task from where it is. It must be put somewhere, or dropped, in the same verb. */
export function takeTask(change: Change, found: Found): Body {
  const { tables, topic } = change;
  const { state, body } = found;
  topic.figures[SIZES[state]] -= 1;
  switch (state) {
    case "ready":
      removeReady(change, body.place);
      return body;
    case "leased":
      change.dropLease(body.id, found.lease);
      dropContent(tables, topic, body.progress);
      return { ...body, token: 0, mark: 0, progress: undefined };
    case "completed":
    case "cancelled": {
      const untilMs = body.momentMs + headOf(change, body).retentionMs;
      tables.retention.remove(retentionKey(topic.number, untilMs, body.place, 0));
      tables.parked.remove(parkedKey(topic.number, STATE[state], body.momentMs, body.place, 0));
      return body;
    }
    case "scheduled":
    case "dead":
      tables.parked.remove(parkedKey(topic.number, STATE[state], body.momentMs, body.place, 0));
      return body;
  }
}

export function putReady({ tables, topic }: Place, body: Body): void {
  insertReady({ tables, topic }, body);
  tables.status.put(nameKey(topic.number, body.id), encodeQueued(body.place, 0));
  topic.figures.ready += 1;
}

export function putScheduled(change: Change, body: Body, dueAtMs: Millis): void {
  change.beforeScheduling();
  park(change, "scheduled", { ...body, momentMs: dueAtMs }, 0);
}

export function putDead(change: Change, body: Body, endedAtMs: Millis): void {
  park(change, "dead", { ...body, momentMs: endedAtMs }, 0);
}

/**
 * completed or cancelled: keeps the task for its retention or drops it, and
 * remembers its id. `token`: of the completion, 0 for none.
 */
export function endTask(
  change: Change,
  body: Body,
  state: "completed" | "cancelled",
  token: number,
  ending: Ending,
): void {
  const head = headOf(change, body);
  if (head.retentionMs === 0) {
    dropTask(change, body, head);
    rememberId(change, body.id, token, ending);
    return;
  }
  const { tables, topic } = change;
  park(change, state, { ...body, momentMs: ending.now }, token);
  const row = retentionRow(state, ending.now);
  tables.retention.put(retentionKey(topic.number, ending.now + head.retentionMs, body.place, 0), row);
  if (ending.endedWindowMs > 0) change.ended.push(body.id);
}

/** What stands in the row of a retention: where the body is parked. */
export function retentionRow(state: "completed" | "cancelled", endedAtMs: Millis): Buffer {
  writeUint48(scratch, endedAtMs, 1);
  scratch[0] = STATE[state];
  return scratchUpTo(7);
}

function park({ tables, topic }: Place, state: ParkedState, body: Body, token: number): void {
  const { place, momentMs } = body;
  tables.parked.put(parkedKey(topic.number, STATE[state], momentMs, place, 0), encodeBody(body));
  tables.status.put(nameKey(topic.number, body.id), encodeParked(state, momentMs, token, place));
  topic.figures[SIZES[state]] += 1;
}

/** Changes the body of a leased task. `lease` is what memory shall hold of it, with the group that it is in. */
export function changeLeased(change: Change, body: Body, lease: Lease): void {
  const { figures } = change.topic;
  let { group } = lease;
  if (group.live > 1) {
    // It leaves the others, so that their row need not be written with every change of this one.
    figures.groups += 1;
    group = { number: figures.groups, session: lease.session, live: 0, touched: false };
  }
  change.setLease(body.id, { ...lease, group });
  change.setRow(group, singleRow(lease.session, body));
}

/** A task that was taken is gone. Its status is the caller's business. */
export function dropTask({ tables, topic }: Place, body: Body, head: TaskHead): void {
  if (head.externalId !== "") tables.external.remove(externalKey(topic.number, head.externalId, body.id));
  dropContent(tables, topic, body.record);
  dropContent(tables, topic, body.error);
  dropContent(tables, topic, body.result);
  topic.figures.bytes -= body.bytes;
}

/** A person deletes a task: the id may be enqueued again at once. */
export function deleteTask(change: Change, found: Found): TaskHead {
  const body = takeTask(change, found);
  const head = headOf(change, body);
  dropTask(change, body, head);
  forgetId(change, body.id);
  change.topic.figures.deleted += 1;
  return head;
}
