/** requeue, cancel, remove, purge: a person's decisions about tasks. */
import type { TaskId } from "../../domain/ids.js";
import { isLegal, type TaskState } from "../../domain/states.js";
import type { MoveOutcome } from "../store.js";
import { decodeBody, STATE } from "./body-codec.js";
import type { Change, Ending } from "./change.js";
import { parkedBounds } from "./keys.js";
import { changeLeased, deleteTask, endTask, type Found, findTask, headOf, putReady, takeTask } from "./moves.js";
import { readyAfter } from "./ready-queue.js";

const NOT_FOUND: MoveOutcome = { kind: "not_found" };

function done(externalId: string): MoveOutcome {
  return { kind: "done", externalId };
}

export function requeue(
  change: Change,
  which: { readonly ids: readonly TaskId[] } | { readonly oldestDead: number },
): { readonly ids: readonly TaskId[]; readonly outcomes: readonly MoveOutcome[]; readonly more: boolean } {
  const ids = "ids" in which ? which.ids : oldestDead(change, which.oldestDead);
  const outcomes = ids.map((id): MoveOutcome => {
    const found = findTask(change, id);
    if (found === undefined) return NOT_FOUND;
    if (!isLegal("requeue", found.state)) return { kind: "wrong_state", state: found.state };
    const { externalId } = headOf(change, found.body);
    const body = takeTask(change, found);
    putReady(change, { ...body, failures: 0, lostLeases: 0, failedToken: 0, momentMs: 0, mark: 0 });
    change.topic.figures.requeued += 1;
    return done(externalId);
  });
  return { ids, outcomes, more: "oldestDead" in which && change.topic.figures.dead > 0 };
}

function oldestDead({ tables, topic }: Change, limit: number): TaskId[] {
  const { start, end } = parkedBounds(topic.number, STATE.dead);
  return tables.parked.rows(start, end, Math.min(limit, topic.figures.dead)).map(({ value }) => decodeBody(value).id);
}

export function cancel(change: Change, ids: readonly TaskId[], ending: Ending): MoveOutcome[] {
  return ids.map((id): MoveOutcome => {
    const found = findTask(change, id);
    if (found === undefined) return NOT_FOUND;
    if (found.state === "leased") return requestCancel(change, found);
    if (!isLegal("cancel", found.state)) return { kind: "wrong_state", state: found.state };
    const { externalId } = headOf(change, found.body);
    endTask(change, { ...takeTask(change, found), failedToken: 0 }, "cancelled", 0, ending);
    change.topic.figures.cancelled += 1;
    return done(externalId);
  });
}

function requestCancel(change: Change, { body, lease }: Extract<Found, { state: "leased" }>): MoveOutcome {
  const { session, token } = lease;
  if (!lease.cancelRequested) {
    changeLeased(change, { ...body, mark: 1 }, { ...lease, cancelRequested: true });
  }
  change.wakeCancel(session, token);
  return { kind: "cancel_requested", session, token };
}

export function remove(change: Change, ids: readonly TaskId[]): MoveOutcome[] {
  return ids.map((id): MoveOutcome => {
    const found = findTask(change, id);
    if (found === undefined) return NOT_FOUND;
    if (found.state === "leased") return { kind: "wrong_state", state: "leased" };
    return done(deleteTask(change, found).externalId);
  });
}

export function purge(
  change: Change,
  state: Exclude<TaskState, "leased">,
  limit: number,
): { readonly deleted: number; readonly more: boolean } {
  const { tables, topic } = change;
  if (state === "ready") return purgeReady(change, limit);
  const { start, end } = parkedBounds(topic.number, STATE[state]);
  const rows = tables.parked.rows(start, end, limit);
  for (const { value } of rows) deleteTask(change, { state, body: decodeBody(value) });
  return { deleted: rows.length, more: tables.parked.firstKey(start, end) !== undefined };
}

function purgeReady(change: Change, limit: number): { readonly deleted: number; readonly more: boolean } {
  const bodies = readyAfter(change, undefined, limit);
  for (const body of bodies) deleteTask(change, { state: "ready", body });
  return { deleted: bodies.length, more: change.topic.figures.ready > 0 };
}
