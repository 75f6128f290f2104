/**
 * What ends a lease, or speaks of one: complete, fail, release and progress by
 * the worker, expire by the reaper. A lease is held when its id, session and
 * token are those in memory.
 */
import type { LeaseToken, SessionId, TaskId } from "../../domain/ids.js";
import { DEAD_REASONS } from "../../domain/states.js";
import type { Progress } from "../../domain/task.js";
import type {
  CompleteOutcome,
  Completion,
  Demand,
  Expired,
  FailOutcome,
  Failure,
  LeaseAnswer,
  LeaseRef,
  ReleaseOutcome,
} from "../store.js";
import { dropContent, keepContent } from "./blobs.js";
import { type Body, decodeStatus, encodeProgress, NOTE_INLINE_MAX, tokenNumber } from "./body-codec.js";
import type { Change, Ending } from "./change.js";
import { isOver, markGone } from "./ended-ids.js";
import { endHold } from "./holds.js";
import { nameKey } from "./keys.js";
import { serve } from "./lease.js";
import type { Lease } from "./leases.js";
import {
  changeLeased,
  endTask,
  findTask,
  headOf,
  leasedBody,
  putDead,
  putReady,
  putScheduled,
  takeTask,
} from "./moves.js";

export function heldLease({ topic }: Change, { id, session, token }: LeaseRef): Lease | undefined {
  const lease = topic.leases.get(id);
  return lease?.token === token && lease.session === session ? lease : undefined;
}

export function complete(
  change: Change,
  completions: readonly Completion[],
  options: Ending & { readonly demands?: readonly Demand[] },
): { readonly outcomes: readonly CompleteOutcome[] } & LeaseAnswer {
  const outcomes = completions.map((completion) => completeOne(change, completion, options));
  return { outcomes, ...serve(change, options.demands ?? [], options.now) };
}

function completeOne(change: Change, completion: Completion, ending: Ending): CompleteOutcome {
  const lease = heldLease(change, completion);
  if (lease === undefined) return wasCompleted(change, completion, ending) ? "completed" : "lease_lost";
  const { tables, topic } = change;
  const { id } = completion;
  if (lease.plain) {
    completePlain(change, id, lease, ending);
    if (ending.endedWindowMs > 0) change.ended.push(id);
    return "completed";
  }
  const body = takeTask(change, { state: "leased", body: leasedBody(change, lease), lease });
  const { retentionMs } = headOf(change, body);
  const result =
    completion.result === undefined || retentionMs === 0
      ? undefined
      : keepContent(tables, topic, completion.result, NOTE_INLINE_MAX);
  endTask(change, { ...body, result }, "completed", lease.tokenNumber, ending);
  topic.figures.completed += 1;
  return "completed";
}

/** For a lease that is `plain`. The caller writes down in a chunk that the id ended. */
export function completePlain(change: Change, id: TaskId, lease: Lease, ending: Ending): void {
  const { figures } = change.topic;
  change.dropLease(id, lease);
  markGone(change, id, lease.tokenNumber, ending);
  figures.leased -= 1;
  figures.bytes -= lease.bytes;
  figures.completed += 1;
}

/** Whether this very lease completed the task, within the window. */
function wasCompleted({ tables, topic }: Change, { id, token }: LeaseRef, ending: Ending): boolean {
  const row = tables.status.peek(nameKey(topic.number, id));
  if (row === undefined) return false;
  const status = decodeStatus(row);
  if (status.kind !== "gone" && status.kind !== "completed") return false;
  return status.token === tokenNumber(token) && !isOver(status.momentMs, ending);
}

export function fail(change: Change, failures: readonly Failure[], ending: Ending): FailOutcome[] {
  return failures.map((failure) => failOne(change, failure, ending));
}

function failOne(change: Change, failure: Failure, ending: Ending): FailOutcome {
  const lease = heldLease(change, failure);
  if (lease === undefined) return failedBefore(change, failure);
  if (lease.cancelRequested) return abort(change, lease, ending);
  const { tables, topic } = change;
  const { next } = failure;
  const body = takeTask(change, { state: "leased", body: leasedBody(change, lease), lease });
  dropContent(tables, topic, body.error);
  const failed = {
    ...body,
    failures: body.failures + 1,
    failedToken: lease.tokenNumber,
    error: keepError(change, failure.error),
  };
  if (next.kind === "bury") {
    putDead(change, { ...failed, mark: DEAD_REASONS.indexOf(next.reason) }, ending.now);
    topic.figures.failed += 1;
    return "buried";
  }
  if (next.dueAtMs <= ending.now) putReady(change, failed);
  else putScheduled(change, failed, next.dueAtMs);
  topic.figures.retried += 1;
  return "retried";
}

function failedBefore(change: Change, { id, token }: LeaseRef): FailOutcome {
  const found = findTask(change, id);
  if (found === undefined || found.body.failedToken === 0) return "lease_lost";
  if (found.body.failedToken !== tokenNumber(token)) return "lease_lost";
  return found.state === "dead" ? "buried" : "retried";
}

function keepError({ tables, topic }: Change, error: string) {
  return error === "" ? undefined : keepContent(tables, topic, Buffer.from(error), NOTE_INLINE_MAX);
}

function abort(change: Change, lease: Lease, ending: Ending): "aborted" {
  const body = takeTask(change, { state: "leased", body: leasedBody(change, lease), lease });
  endTask(change, body, "cancelled", 0, ending);
  change.topic.figures.aborted += 1;
  return "aborted";
}

export function release(change: Change, leases: readonly LeaseRef[], ending: Ending): ReleaseOutcome[] {
  return leases.map((ref) => {
    const lease = heldLease(change, ref);
    if (lease === undefined) return "lease_lost";
    return lease.cancelRequested ? abort(change, lease, ending) : releaseOne(change, lease);
  });
}

function releaseOne(change: Change, lease: Lease): "released" {
  putReady(change, takeTask(change, { state: "leased", body: leasedBody(change, lease), lease }));
  change.topic.figures.released += 1;
  return "released";
}

export function progress(
  change: Change,
  notes: readonly (LeaseRef & { readonly progress?: Progress })[],
): ("held" | "lease_lost")[] {
  return notes.map((note) => {
    const lease = heldLease(change, note);
    if (lease === undefined) return "lease_lost";
    if (note.progress !== undefined) keepProgress(change, note, note.progress, lease);
    return "held";
  });
}

function keepProgress(change: Change, { id }: LeaseRef, latest: Progress, lease: Lease): void {
  const { tables, topic } = change;
  const body = leasedBody(change, lease);
  dropContent(tables, topic, body.progress);
  const kept = keepContent(tables, topic, encodeProgress(latest), NOTE_INLINE_MAX);
  // A progress that stands apart is one more thing to remove when the task goes.
  const plain = lease.plain && Buffer.isBuffer(kept);
  changeLeased(change, { ...body, id, progress: kept }, { ...lease, plain });
}

export interface ExpireOptions extends Ending {
  readonly charge: "lost" | "none";
  readonly undelivered: readonly LeaseToken[];
  readonly lostLeasesMax: number;
  readonly error: string;
  readonly limit: number;
}

export function expire(
  change: Change,
  session: SessionId,
  options: ExpireOptions,
): { readonly expired: readonly Expired[]; readonly more: boolean } {
  const { topic } = change;
  endHold(change, session);
  const undelivered = new Set(options.undelivered);
  const ids = topic.leases.idsOf(session);
  const expired: Expired[] = [];
  // Sorted where the limit chooses, so that a replay chooses the same ones.
  for (const id of ids.length > options.limit ? [...ids].sort().slice(0, options.limit) : ids) {
    const lease = topic.leases.get(id);
    if (lease !== undefined) expired.push(expireOne(change, { id, lease }, undelivered, options));
  }
  return { expired, more: topic.leases.countOf(session) > 0 };
}

function expireOne(
  change: Change,
  { id, lease }: { readonly id: TaskId; readonly lease: Lease },
  undelivered: ReadonlySet<LeaseToken>,
  options: ExpireOptions,
): Expired {
  const body = leasedBody(change, lease);
  const { failures, lostLeases } = body;
  const { externalId } = headOf(change, body);
  if (lease.cancelRequested) {
    return { id, externalId, outcome: abort(change, lease, options), failures, lostLeases };
  }
  if (options.charge === "none" || undelivered.has(lease.token)) {
    return { id, externalId, outcome: releaseOne(change, lease), failures, lostLeases };
  }
  const outcome = lose(change, takeTask(change, { state: "leased", body, lease }), options);
  return { id, externalId, outcome, failures, lostLeases: lostLeases + 1 };
}

/** A charged lost lease: back to its place, or dead when it is one too many. */
function lose(change: Change, body: Body, { now, lostLeasesMax, error }: ExpireOptions): "expired" | "buried" {
  const { tables, topic } = change;
  dropContent(tables, topic, body.error);
  const lost = { ...body, lostLeases: body.lostLeases + 1, error: keepError(change, error) };
  topic.figures.expired += 1;
  if (lost.lostLeases < lostLeasesMax) {
    putReady(change, lost);
    return "expired";
  }
  putDead(change, { ...lost, mark: DEAD_REASONS.indexOf("lost_leases") }, now);
  return "buried";
}
