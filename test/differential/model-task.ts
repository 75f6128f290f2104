/**
 * The model's tasks: what a topic holds, the moves of a task, and how a task is
 * told. A *situation* is a task's state and whatever is true in that state only,
 * so that leaving a state forgets what belonged to it. Every move names its row
 * in TRANSITIONS and is checked against it.
 */
import assert from "node:assert";
import {
  fenceAt,
  type LeaseToken,
  leaseToken,
  type SessionId,
  type TaskId,
  type TopicName,
} from "../../server/domain/ids.js";
import { type DeadReason, isLegal, type TaskState, TRANSITIONS, type Transition } from "../../server/domain/states.js";
import type { Millis, Progress, TaskHead, TaskRecord } from "../../server/domain/task.js";
import type { Counter, TopicSettings, TopicStats } from "../../server/domain/topic.js";
import { encodeRecord } from "../../server/store/record.js";
import type { FailOutcome, Failure, Leased, LeaseRef, MoveOutcome, NewTask } from "../../server/store/store.js";
import { compare, type SortKey } from "./model-page.js";

export type Lease = NonNullable<TaskRecord["lease"]>;

export type Situation =
  | { readonly state: "scheduled"; readonly dueAtMs: Millis }
  | { readonly state: "ready" }
  | { readonly state: "leased"; readonly lease: Lease; readonly cancelRequested?: true; readonly progress?: Progress }
  | { readonly state: "dead"; readonly endedAtMs: Millis; readonly deadReason: DeadReason }
  | { readonly state: "completed"; readonly endedAtMs: Millis; readonly result?: Uint8Array }
  | { readonly state: "cancelled"; readonly endedAtMs: Millis };

export interface Task {
  readonly id: TaskId;
  readonly head: TaskHead;
  readonly spec: Uint8Array;
  readonly bytes: number;
  /** The second part of its place; the first is the priority. */
  readonly number: number;
  now: Situation;
  failures: number;
  lostLeases: number;
  error: string;
  /** The token of the latest failure, until the task is leased, cancelled or requeued. */
  failedToken: LeaseToken | undefined;
}

export interface Topic {
  readonly name: TopicName;
  /** Whether it has been enqueued to or configured. */
  exists: boolean;
  settings: TopicSettings;
  readonly tasks: Map<TaskId, Task>;
  /** Ids that completed or were cancelled, and the token of a completion. Time alone makes them forgotten. */
  readonly ended: Map<TaskId, { readonly endedAtMs: Millis; readonly completedBy: LeaseToken | undefined }>;
  readonly counters: Record<Counter, number>;
  /** Numbers given out so far. */
  places: number;
  leases: number;
}

export type Ending = { readonly now: Millis; readonly endedWindowMs: Millis };

/** What a task is sorted by in lists: see `list`. */
export function sortKey(task: Task): SortKey {
  const place = [task.head.priority, task.number];
  switch (task.now.state) {
    case "ready":
      return place;
    case "scheduled":
      return [task.now.dueAtMs, ...place];
    case "leased":
      return [task.now.lease.session, task.id];
    case "dead":
    case "completed":
    case "cancelled":
      return [task.now.endedAtMs, ...place];
  }
}

export function createTopic(name: TopicName): Topic {
  return {
    name,
    exists: false,
    settings: { paused: false },
    tasks: new Map(),
    ended: new Map(),
    counters: {
      enqueued: 0,
      started: 0,
      retried: 0,
      failed: 0,
      completed: 0,
      released: 0,
      expired: 0,
      cancelled: 0,
      aborted: 0,
      requeued: 0,
      deleted: 0,
    },
    places: 0,
    leases: 0,
  };
}

/** A new task is scheduled, be it for now. Its place is behind all others of its priority. */
export function createTask(topic: Topic, { id, head, spec, dueAtMs }: NewTask): Task {
  topic.exists = true;
  topic.places += 1;
  const task: Task = {
    id,
    head,
    spec,
    bytes: encodeRecord(head, spec).length,
    number: topic.places,
    now: { state: "scheduled", dueAtMs },
    failures: 0,
    lostLeases: 0,
    error: "",
    failedToken: undefined,
  };
  topic.tasks.set(id, task);
  return task;
}

export function inState(topic: Topic, state: TaskState): Task[] {
  const tasks = [...topic.tasks.values()].filter((task) => task.now.state === state);
  return tasks.sort((a, b) => compare(sortKey(a), sortKey(b)));
}

export function bytesHeld(topic: Topic): number {
  return [...topic.tasks.values()].reduce((sum, task) => sum + task.bytes, 0);
}

export function move(task: Task, transition: Transition, to: Situation): void {
  assert(isLegal(transition, task.now.state), `${transition} from ${task.now.state}`);
  assert.equal(to.state, TRANSITIONS[transition].to);
  task.now = to;
}

export function promoteIfDue(task: Task, now: Millis): void {
  if (task.now.state === "scheduled" && task.now.dueAtMs <= now) move(task, "promote", { state: "ready" });
}

/** completed or cancelled: the id is remembered for the window, the task kept for its retention. */
export function end(
  topic: Topic,
  task: Task,
  completedBy: LeaseToken | undefined,
  { now, endedWindowMs }: Ending,
): void {
  if (endedWindowMs > 0) topic.ended.set(task.id, { endedAtMs: now, completedBy });
  if (task.head.retentionMs === 0) topic.tasks.delete(task.id);
}

export function abort(topic: Topic, task: Task, ending: Ending): "aborted" {
  move(task, "abort", { state: "cancelled", endedAtMs: ending.now });
  topic.counters.aborted += 1;
  end(topic, task, undefined, ending);
  return "aborted";
}

export function fail(topic: Topic, failure: Failure, ending: Ending): FailOutcome {
  const held = heldLease(topic, failure);
  if (held === undefined) {
    const task = topic.tasks.get(failure.id);
    if (task?.failedToken !== failure.token) return "lease_lost";
    return task.now.state === "dead" ? "buried" : "retried";
  }
  const { task, situation } = held;
  if (situation.cancelRequested) return abort(topic, task, ending);
  task.failures += 1;
  task.error = failure.error;
  task.failedToken = failure.token;
  if (failure.next.kind === "bury") {
    move(task, "bury", { state: "dead", endedAtMs: ending.now, deadReason: failure.next.reason });
    topic.counters.failed += 1;
    return "buried";
  }
  move(task, "retry", { state: "scheduled", dueAtMs: failure.next.dueAtMs });
  promoteIfDue(task, ending.now);
  topic.counters.retried += 1;
  return "retried";
}

export function release(topic: Topic, task: Task): "released" {
  move(task, "release", { state: "ready" });
  topic.counters.released += 1;
  return "released";
}

/** A task that goes without a trace but its id, and ready at once. */
function isPlain({ head, dueAtMs }: NewTask, now: Millis): boolean {
  return head.priority === 0 && head.externalId === "" && head.retentionMs === 0 && dueAtMs <= now;
}

/** Why the contract forbids that a task goes straight to a worker, if it does. `isOpen`: the worker's session, here. */
export function whyDeclined(topic: Topic, task: NewTask, isOpen: boolean, ending: Ending): string | undefined {
  if (inState(topic, "ready").length > 0) return "something waits";
  if (topic.settings.paused) return "paused";
  if (!isOpen) return "lost session";
  if (!isPlain(task, ending.now)) return "not plain";
  if (topic.tasks.has(task.id)) return "known id";
  if (hasEnded(topic, task.id, ending) !== undefined) return "ended lately";
  return undefined;
}

export function complete(
  topic: Topic,
  task: Task,
  { token, result }: { readonly token: LeaseToken; readonly result?: Uint8Array },
  ending: Ending,
): "completed" {
  move(task, "complete", { state: "completed", endedAtMs: ending.now, ...(result === undefined ? {} : { result }) });
  topic.counters.completed += 1;
  end(topic, task, token, ending);
  return "completed";
}

export function leasesOf(topic: Topic, session: SessionId) {
  return inState(topic, "leased").flatMap((task) =>
    task.now.state === "leased" && task.now.lease.session === session
      ? [{ task, lease: task.now.lease, cancelRequested: task.now.cancelRequested }]
      : [],
  );
}

/** The task and its situation, if this very lease is held. */
export function heldLease(topic: Topic, ref: LeaseRef) {
  const task = topic.tasks.get(ref.id);
  if (task?.now.state !== "leased") return undefined;
  const { lease } = task.now;
  return lease.session === ref.session && lease.token === ref.token ? { task, situation: task.now } : undefined;
}

export function hasEnded(topic: Topic, id: TaskId, { now, endedWindowMs }: Ending) {
  const ended = topic.ended.get(id);
  return ended !== undefined && now - ended.endedAtMs < endedWindowMs ? ended : undefined;
}

export function recordOf(task: Task): TaskRecord {
  const { id, head, spec, failures, lostLeases, error } = task;
  return { id, head, spec, failures, lostLeases, error, ...task.now };
}

export function leasedOf(task: Task, { session, token, leasedAtMs }: Lease): Leased {
  const { id, head, spec, bytes, failures, lostLeases } = task;
  return { id, session, token, leasedAtMs, head, spec, bytes, failures, lostLeases };
}

/** A charged lost lease: back to its place, or dead when it is one too many. */
export function lose(
  topic: Topic,
  task: Task,
  { now, lostLeasesMax, error }: { readonly now: Millis; readonly lostLeasesMax: number; readonly error: string },
): "expired" | "buried" {
  task.lostLeases += 1;
  task.error = error;
  topic.counters.expired += 1;
  if (task.lostLeases < lostLeasesMax) {
    move(task, "expire", { state: "ready" });
    return "expired";
  }
  move(task, "bury", { state: "dead", endedAtMs: now, deadReason: "lost_leases" });
  return "buried";
}

/** Moves each task that a person names, one after the other, where the table allows it. */
export function moveEach(
  topic: Topic,
  ids: readonly TaskId[],
  transition: Transition | "remove",
  act: (task: Task) => void,
): MoveOutcome[] {
  return ids.map((id) => {
    const task = topic.tasks.get(id);
    if (task === undefined) return { kind: "not_found" };
    const { state } = task.now;
    const allowed = transition === "remove" ? state !== "leased" : isLegal(transition, state);
    if (!allowed) return { kind: "wrong_state", state };
    act(task);
    return { kind: "done", externalId: task.head.externalId };
  });
}

/** A person deletes a task: the id may be enqueued again at once. */
export function forget(topic: Topic, task: Task): void {
  topic.tasks.delete(task.id);
  topic.ended.delete(task.id);
  topic.counters.deleted += 1;
}

export function promote(topic: Topic, { now, limit }: { readonly now: Millis; readonly limit: number }) {
  let promoted = 0;
  for (const task of inState(topic, "scheduled").slice(0, limit)) {
    promoteIfDue(task, now);
    if (task.now.state === "ready") promoted += 1;
  }
  const nextDueMs = nextDue(topic);
  return { promoted, ...(nextDueMs === undefined ? {} : { nextDueMs }) };
}

export function prune(topic: Topic, { now, limit }: { readonly now: Millis; readonly limit: number }) {
  const kept = [...inState(topic, "completed"), ...inState(topic, "cancelled")];
  const byRetention = kept.sort((a, b) => retainedUntil(a) - retainedUntil(b));
  const over = byRetention.filter((task) => retainedUntil(task) <= now).slice(0, limit);
  for (const task of over) topic.tasks.delete(task.id);
  const next = byRetention[over.length];
  return { pruned: over.length, ...(next === undefined ? {} : { nextMs: retainedUntil(next) }) };
}

function retainedUntil(task: Task): Millis {
  assert(task.now.state === "completed" || task.now.state === "cancelled");
  return task.now.endedAtMs + task.head.retentionMs;
}

export function nextDue(topic: Topic): Millis | undefined {
  const [first] = inState(topic, "scheduled");
  return first?.now.state === "scheduled" ? first.now.dueAtMs : undefined;
}

export function statsOf(topic: Topic): TopicStats {
  const size = (state: TaskState) => inState(topic, state).length;
  const oldestReadyMs = inState(topic, "ready")[0]?.head.enqueuedAtMs;
  const nextDueMs = nextDue(topic);
  return {
    ...topic.counters,
    scheduled: size("scheduled"),
    ready: size("ready"),
    leased: size("leased"),
    dead: size("dead"),
    completedKept: size("completed"),
    cancelledKept: size("cancelled"),
    bytes: bytesHeld(topic),
    ...(oldestReadyMs === undefined ? {} : { oldestReadyMs }),
    ...(nextDueMs === undefined ? {} : { nextDueMs }),
  };
}

/** Of the topic's next lease: the one foretold if it rises as it must, else the lowest that does. */
export function nextToken(topic: Topic, now: Millis, foretold: LeaseToken | undefined): LeaseToken {
  topic.leases = fenceAt(topic.leases, now) + 1;
  if (foretold === undefined || foretold < leaseToken(topic.leases)) return leaseToken(topic.leases);
  topic.leases = Number.parseInt(foretold, 16);
  return foretold;
}
