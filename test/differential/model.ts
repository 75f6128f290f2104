/**
 * The specification of the store contract, as a program: an in-memory `Store`
 * that is as naive as it can be. Maps, sorting on demand, no index that could
 * disagree with the tasks. It is the oracle of the differential test and the
 * first store of the conformance suite, and it is meant to be read beside
 * server/store/store.ts: where the prose is silent, this decides.
 *
 * A task's *situation* is its state and whatever is true in that state only, so
 * that leaving a state forgets what belonged to it. Every move names its row in
 * TRANSITIONS and is checked against it.
 *
 * Two things a store is free in are fixed here: an ended id is forgotten exactly
 * at the end of its window, and wherever no order is promised, it is that of
 * `list`.
 */
import assert from "node:assert";
import { invalid } from "../../server/domain/errors.js";
import { type LeaseToken, leaseToken, type SessionId, type TaskId, type TopicName } from "../../server/domain/ids.js";
import { LIMITS } from "../../server/domain/limits.js";
import { type DeadReason, isLegal, type TaskState, TRANSITIONS, type Transition } from "../../server/domain/states.js";
import type { Millis, Progress, TaskHead, TaskRecord } from "../../server/domain/task.js";
import { type Counter, type TopicSettings, type TopicStats } from "../../server/domain/topic.js";
import { encodeRecord } from "../../server/store/record.js";
import type {
  CompleteOutcome,
  Completion,
  Demand,
  EnqueueAnswer,
  EventPage,
  Expired,
  FailOutcome,
  Failure,
  LeaseAnswer,
  Leased,
  LeaseRef,
  ListQuery,
  MoveOutcome,
  NewSession,
  NewTask,
  Page,
  ProgressNote,
  ReleaseOutcome,
  SessionRecord,
  SessionRef,
  Store,
  TopicRow,
  Undelivered,
  Wake,
} from "../../server/store/store.js";

type Lease = NonNullable<TaskRecord["lease"]>;

type Situation =
  | { readonly state: "scheduled"; readonly dueAtMs: Millis }
  | { readonly state: "ready" }
  | { readonly state: "leased"; readonly lease: Lease; readonly cancelRequested?: true; readonly progress?: Progress }
  | { readonly state: "dead"; readonly endedAtMs: Millis; readonly deadReason: DeadReason }
  | { readonly state: "completed"; readonly endedAtMs: Millis; readonly result?: Uint8Array }
  | { readonly state: "cancelled"; readonly endedAtMs: Millis };

interface Task {
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

interface Topic {
  readonly name: TopicName;
  /** Whether it has been enqueued to or configured. */
  exists: boolean;
  settings: TopicSettings;
  readonly tasks: Map<TaskId, Task>;
  /** Ids that completed or were cancelled, and the token of a completion. */
  readonly ended: Map<TaskId, { readonly endedAtMs: Millis; readonly completedBy: LeaseToken | undefined }>;
  /** The epoch at which a session is open on this topic. */
  readonly open: Map<SessionId, number>;
  readonly counters: Record<Counter, number>;
  /** Numbers given out so far. */
  places: number;
  leases: number;
}

type Ending = { readonly now: Millis; readonly endedWindowMs: Millis };
type SortKey = readonly (string | number)[];

/** What a task is sorted by in lists: see `list`. */
function sortKey(task: Task): SortKey {
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

function compare(a: SortKey, b: SortKey): number {
  for (const [index, left] of a.entries()) {
    const right = b[index];
    if (right !== undefined && left !== right) return left < right ? -1 : 1;
  }
  return 0;
}

function inState(topic: Topic, state: TaskState): Task[] {
  const tasks = [...topic.tasks.values()].filter((task) => task.now.state === state);
  return tasks.sort((a, b) => compare(sortKey(a), sortKey(b)));
}

function bytesHeld(topic: Topic): number {
  return [...topic.tasks.values()].reduce((sum, task) => sum + task.bytes, 0);
}

function move(task: Task, transition: Transition, to: Situation): void {
  assert(isLegal(transition, task.now.state), `${transition} from ${task.now.state}`);
  assert.equal(to.state, TRANSITIONS[transition].to);
  task.now = to;
}

function promoteIfDue(task: Task, now: Millis): void {
  if (task.now.state === "scheduled" && task.now.dueAtMs <= now) move(task, "promote", { state: "ready" });
}

/** completed or cancelled: the id is remembered for the window, the task kept for its retention. */
function end(topic: Topic, task: Task, completedBy: LeaseToken | undefined, { now, endedWindowMs }: Ending): void {
  if (endedWindowMs > 0) topic.ended.set(task.id, { endedAtMs: now, completedBy });
  if (task.head.retentionMs === 0) topic.tasks.delete(task.id);
}

function abort(topic: Topic, task: Task, ending: Ending): "aborted" {
  move(task, "abort", { state: "cancelled", endedAtMs: ending.now });
  topic.counters.aborted += 1;
  end(topic, task, undefined, ending);
  return "aborted";
}

function release(topic: Topic, task: Task): "released" {
  move(task, "release", { state: "ready" });
  topic.counters.released += 1;
  return "released";
}

/** The task and its situation, if this very lease is held. */
function heldLease(topic: Topic, ref: LeaseRef) {
  const task = topic.tasks.get(ref.id);
  if (task?.now.state !== "leased") return undefined;
  const { lease } = task.now;
  return lease.session === ref.session && lease.token === ref.token ? { task, situation: task.now } : undefined;
}

function hasEnded(topic: Topic, id: TaskId, { now, endedWindowMs }: Ending) {
  const ended = topic.ended.get(id);
  return ended !== undefined && now - ended.endedAtMs < endedWindowMs ? ended : undefined;
}

function recordOf(task: Task): TaskRecord {
  const { id, head, spec, failures, lostLeases, error } = task;
  return { id, head, spec, failures, lostLeases, error, ...task.now };
}

function leasedOf(task: Task, { session, token, leasedAtMs }: Lease): Leased {
  const { id, head, spec, bytes, failures, lostLeases } = task;
  return { id, session, token, leasedAtMs, head, spec, bytes, failures, lostLeases };
}

export class ModelStore implements Store {
  readonly description = "the model, in memory";
  readonly #topics = new Map<TopicName, Topic>();
  readonly #sessions = new Map<SessionId, { record: SessionRecord; expiring: boolean }>();
  readonly #listeners = new Set<(message: Wake) => void>();
  readonly #events: Uint8Array[] = [];
  readonly #eventWaiters = new Set<() => void>();
  #watchedUntilMs = 0;

  async open(): Promise<void> {}

  async close(): Promise<void> {
    this.#listeners.clear();
    for (const wake of this.#eventWaiters) wake();
  }

  async pulse() {
    return { nowMs: Date.now(), watchedUntilMs: this.#watchedUntilMs };
  }

  listen(wake: (message: Wake) => void): () => void {
    this.#listeners.add(wake);
    return () => {
      this.#listeners.delete(wake);
    };
  }

  async enqueue(
    name: TopicName,
    tasks: readonly NewTask[],
    options: Ending & { readonly tasksMax: number; readonly bytesMax: number; readonly demands?: readonly Demand[] },
  ): Promise<EnqueueAnswer> {
    assert(tasks.length <= LIMITS.batchMax);
    const { now, tasksMax, bytesMax } = options;
    return this.#change(name, (topic) => {
      const fresh = new Map<TaskId, NewTask>();
      const created = tasks.map((task) => {
        const known = topic.tasks.has(task.id) || fresh.has(task.id) || hasEnded(topic, task.id, options) !== undefined;
        if (!known) fresh.set(task.id, task);
        return !known;
      });
      const bytesNew = [...fresh.values()].reduce((sum, { head, spec }) => sum + encodeRecord(head, spec).length, 0);
      const tooMany = tasksMax > 0 && topic.tasks.size + fresh.size > tasksMax;
      const tooLarge = bytesMax > 0 && bytesHeld(topic) + bytesNew > bytesMax;
      if (fresh.size > 0 && (tooMany || tooLarge)) {
        return { kind: "full", tasks: topic.tasks.size, bytes: bytesHeld(topic) };
      }
      for (const { id, head, spec, dueAtMs } of fresh.values()) {
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
        promoteIfDue(task, now);
        topic.tasks.set(id, task);
        topic.exists = true;
      }
      topic.counters.enqueued += fresh.size;
      return { kind: "enqueued", created, ...this.#serve(topic, options.demands ?? [], now) };
    });
  }

  async lease(name: TopicName, demands: readonly Demand[], { now }: { readonly now: Millis }): Promise<LeaseAnswer> {
    return this.#change(name, (topic) => this.#serve(topic, demands, now));
  }

  #serve(topic: Topic, demands: readonly Demand[], now: Millis): LeaseAnswer {
    const leased: Leased[] = [];
    const lostSessions: SessionId[] = [];
    for (const { session, limit, bytesMax } of demands) {
      if (topic.open.get(session.id) !== session.epoch) {
        lostSessions.push(session.id);
        continue;
      }
      let given = 0;
      let bytes = 0;
      for (const task of topic.settings.paused ? [] : inState(topic, "ready")) {
        if (given === limit || (given > 0 && bytes + task.bytes > bytesMax)) break;
        given += 1;
        bytes += task.bytes;
        topic.leases += 1;
        topic.counters.started += 1;
        const lease: Lease = { session: session.id, token: leaseToken(topic.leases), leasedAtMs: now };
        move(task, "lease", { state: "leased", lease });
        task.failedToken = undefined;
        leased.push(leasedOf(task, lease));
      }
    }
    return { leased, ready: topic.settings.paused ? 0 : inState(topic, "ready").length, lostSessions };
  }

  async complete(
    name: TopicName,
    completions: readonly Completion[],
    options: Ending & { readonly demands?: readonly Demand[] },
  ): Promise<{ readonly outcomes: readonly CompleteOutcome[] } & LeaseAnswer> {
    return this.#change(name, (topic) => {
      const outcomes = completions.map((completion): CompleteOutcome => {
        const held = heldLease(topic, completion);
        if (held === undefined) {
          const repeated = hasEnded(topic, completion.id, options)?.completedBy === completion.token;
          return repeated ? "completed" : "lease_lost";
        }
        const { result } = completion;
        const endedAtMs = options.now;
        move(held.task, "complete", { state: "completed", endedAtMs, ...(result === undefined ? {} : { result }) });
        topic.counters.completed += 1;
        end(topic, held.task, completion.token, options);
        return "completed";
      });
      return { outcomes, ...this.#serve(topic, options.demands ?? [], options.now) };
    });
  }

  async fail(name: TopicName, failures: readonly Failure[], ending: Ending): Promise<readonly FailOutcome[]> {
    return this.#change(name, (topic) =>
      failures.map((failure): FailOutcome => {
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
      }),
    );
  }

  async release(name: TopicName, leases: readonly LeaseRef[], ending: Ending): Promise<readonly ReleaseOutcome[]> {
    return this.#change(name, (topic) =>
      leases.map((ref): ReleaseOutcome => {
        const held = heldLease(topic, ref);
        if (held === undefined) return "lease_lost";
        return held.situation.cancelRequested ? abort(topic, held.task, ending) : release(topic, held.task);
      }),
    );
  }

  async progress(
    name: TopicName,
    notes: readonly (LeaseRef & Partial<ProgressNote>)[],
  ): Promise<readonly ("held" | "lease_lost")[]> {
    return this.#change(name, (topic) =>
      notes.map((note) => {
        const held = heldLease(topic, note);
        if (held === undefined) return "lease_lost";
        if (note.progress !== undefined) held.task.now = { ...held.situation, progress: note.progress };
        return "held";
      }),
    );
  }

  async held(name: TopicName, session: SessionId): Promise<readonly Leased[]> {
    return this.#leasesOf(this.#topic(name), session).map(({ task, lease }) => leasedOf(task, lease));
  }

  #leasesOf(topic: Topic, session: SessionId) {
    return inState(topic, "leased").flatMap((task) =>
      task.now.state === "leased" && task.now.lease.session === session
        ? [{ task, lease: task.now.lease, cancelRequested: task.now.cancelRequested }]
        : [],
    );
  }

  async promote(name: TopicName, { now, limit }: { readonly now: Millis; readonly limit: number }) {
    return this.#change(name, (topic) => {
      let promoted = 0;
      for (const task of inState(topic, "scheduled").slice(0, limit)) {
        promoteIfDue(task, now);
        if (task.now.state === "ready") promoted += 1;
      }
      const nextDueMs = nextDue(topic);
      return { promoted, ...(nextDueMs === undefined ? {} : { nextDueMs }) };
    });
  }

  async expire(
    name: TopicName,
    session: SessionId,
    options: Ending & {
      readonly charge: "lost" | "none";
      readonly undelivered: readonly LeaseToken[];
      readonly lostLeasesMax: number;
      readonly error: string;
      readonly limit: number;
    },
  ): Promise<{ readonly expired: readonly Expired[]; readonly more: boolean }> {
    return this.#change(name, (topic) => {
      topic.open.delete(session);
      const leases = this.#leasesOf(topic, session);
      const expired = leases.slice(0, options.limit).map(({ task, lease, cancelRequested }): Expired => {
        const uncharged = options.charge === "none" || options.undelivered.includes(lease.token);
        let outcome: Expired["outcome"];
        if (cancelRequested) outcome = abort(topic, task, options);
        else if (uncharged) outcome = release(topic, task);
        else outcome = lose(topic, task, options);
        const { id, head, failures, lostLeases } = task;
        return { id, externalId: head.externalId, outcome, failures, lostLeases };
      });
      return { expired, more: leases.length > options.limit };
    });
  }

  async prune(name: TopicName, { now, endedWindowMs, limit }: Ending & { readonly limit: number }) {
    return this.#change(name, (topic) => {
      const kept = [...inState(topic, "completed"), ...inState(topic, "cancelled")];
      const byRetention = kept.sort((a, b) => retainedUntil(a) - retainedUntil(b));
      const over = byRetention.filter((task) => retainedUntil(task) <= now).slice(0, limit);
      for (const task of over) topic.tasks.delete(task.id);
      for (const [id, { endedAtMs }] of topic.ended) if (now - endedAtMs >= endedWindowMs) topic.ended.delete(id);
      const next = byRetention[over.length];
      return { pruned: over.length, ...(next === undefined ? {} : { nextMs: retainedUntil(next) }) };
    });
  }

  async get(name: TopicName, ids: readonly TaskId[]): Promise<readonly (TaskRecord | undefined)[]> {
    const { tasks } = this.#topic(name);
    return ids.map((id) => {
      const task = tasks.get(id);
      return task === undefined ? undefined : recordOf(task);
    });
  }

  async list(name: TopicName, { state, externalId, after, limit }: ListQuery): Promise<Page<TaskRecord>> {
    const topic = this.#topic(name);
    const matching = [...topic.tasks.values()]
      .filter((task) => state === undefined || task.now.state === state)
      .filter((task) => externalId === undefined || task.head.externalId === externalId);
    const keyed = matching
      .map((task) => ({ task, key: externalId === undefined ? sortKey(task) : [task.id] }))
      .sort((a, b) => compare(a.key, b.key));
    const query = JSON.stringify([name, state ?? null, externalId ?? null]);
    const { page, next } = pageOf(keyed, query, after, limit);
    return { rows: page.map(({ task }) => recordOf(task)), ...next };
  }

  async requeue(
    name: TopicName,
    which: { readonly ids: readonly TaskId[] } | { readonly oldestDead: number },
    _options: { readonly now: Millis },
  ): Promise<{ readonly ids: readonly TaskId[]; readonly outcomes: readonly MoveOutcome[]; readonly more: boolean }> {
    return this.#change(name, (topic) => {
      const dead = inState(topic, "dead").map((task) => task.id);
      const ids = "ids" in which ? which.ids : dead.slice(0, which.oldestDead);
      const outcomes = this.#moveEach(topic, ids, "requeue", (task) => {
        move(task, "requeue", { state: "ready" });
        task.failures = 0;
        task.lostLeases = 0;
        task.failedToken = undefined;
        topic.ended.delete(task.id);
        topic.counters.requeued += 1;
      });
      return { ids, outcomes, more: "oldestDead" in which && dead.length > which.oldestDead };
    });
  }

  async cancel(name: TopicName, ids: readonly TaskId[], ending: Ending): Promise<readonly MoveOutcome[]> {
    return this.#change(name, (topic) =>
      ids.map((id): MoveOutcome => {
        const task = topic.tasks.get(id);
        if (task?.now.state === "leased") {
          const { session, token } = task.now.lease;
          task.now = { ...task.now, cancelRequested: true };
          this.#wake({ kind: "cancel", topic: name, session, token });
          return { kind: "cancel_requested", session, token };
        }
        const [outcome] = this.#moveEach(topic, [id], "cancel", (waiting) => {
          move(waiting, "cancel", { state: "cancelled", endedAtMs: ending.now });
          waiting.failedToken = undefined;
          topic.counters.cancelled += 1;
          end(topic, waiting, undefined, ending);
        });
        assert(outcome !== undefined);
        return outcome;
      }),
    );
  }

  async remove(name: TopicName, ids: readonly TaskId[]): Promise<readonly MoveOutcome[]> {
    return this.#change(name, (topic) => this.#moveEach(topic, ids, "remove", (task) => forget(topic, task)));
  }

  async purge(name: TopicName, state: Exclude<TaskState, "leased">, limit: number) {
    return this.#change(name, (topic) => {
      const tasks = inState(topic, state);
      for (const task of tasks.slice(0, limit)) forget(topic, task);
      return { deleted: Math.min(limit, tasks.length), more: tasks.length > limit };
    });
  }

  #moveEach(
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

  async topics({ after, limit }: { readonly after?: string; readonly limit: number }): Promise<Page<TopicName>> {
    const names = [...this.#topics.values()].filter((topic) => topic.exists).map((topic) => topic.name);
    const keyed = names.sort().map((name) => ({ name, key: [name] }));
    const { page, next } = pageOf(keyed, "topics", after, limit);
    return { rows: page.map(({ name }) => name), ...next };
  }

  async describe(names: readonly TopicName[]): Promise<readonly TopicRow[]> {
    return names.map((name) => {
      const topic = this.#topic(name);
      return { topic: name, stats: statsOf(topic), settings: topic.settings };
    });
  }

  async configure(name: TopicName, settings: TopicSettings): Promise<void> {
    const topic = this.#topic(name);
    topic.exists = true;
    topic.settings = settings;
    this.#wake({ kind: "settings", topic: name });
    if (!settings.paused && inState(topic, "ready").length > 0) this.#wake({ kind: "ready", topic: name });
  }

  async openSession(session: NewSession): Promise<void> {
    this.#sessions.set(session.id, {
      record: { ...session, epoch: 1, attached: true, undelivered: [] },
      expiring: false,
    });
    for (const { topic } of session.subscriptions) this.#topic(topic).open.set(session.id, 1);
  }

  async resumeSession(
    { id, secret }: { readonly id: SessionId; readonly secret: string },
    by: { readonly broker: string; readonly address: string; readonly expiresAtMs: Millis },
  ) {
    const session = this.#sessions.get(id);
    if (session === undefined || session.expiring || session.record.secret !== secret) {
      return { kind: "session_lost" as const };
    }
    const epoch = session.record.epoch + 1;
    session.record = { ...session.record, ...by, epoch, attached: true };
    for (const { topic } of session.record.subscriptions) {
      const { open } = this.#topic(topic);
      if (open.has(id)) open.set(id, epoch);
    }
    return { kind: "resumed" as const, session: session.record };
  }

  /** The session, if this epoch of it is alive. */
  #live({ id, epoch }: SessionRef) {
    const session = this.#sessions.get(id);
    return session?.record.epoch === epoch && !session.expiring ? session : undefined;
  }

  async renewSessions(refs: readonly SessionRef[], expiresAtMs: Millis): Promise<readonly ("renewed" | "lost")[]> {
    return refs.map((ref) => {
      const session = this.#live(ref);
      if (session === undefined) return "lost";
      session.record = { ...session.record, expiresAtMs };
      return "renewed";
    });
  }

  async detachSession(ref: SessionRef, expiresAtMs: Millis, undelivered: readonly Undelivered[]): Promise<void> {
    const session = this.#live(ref);
    if (session !== undefined) session.record = { ...session.record, attached: false, expiresAtMs, undelivered };
  }

  async expiredSessions({ now, limit }: { readonly now: Millis; readonly limit: number }) {
    const byExpiry = [...this.#sessions.values()].sort((a, b) =>
      compare([a.record.expiresAtMs, a.record.id], [b.record.expiresAtMs, b.record.id]),
    );
    const named = byExpiry.filter((session) => session.record.expiresAtMs <= now).slice(0, limit);
    for (const session of named) session.expiring = true;
    const next = byExpiry.find((session) => !session.expiring);
    return {
      sessions: named.map((session) => session.record),
      ...(next === undefined ? {} : { nextMs: next.record.expiresAtMs }),
    };
  }

  async extendSessions(untilMs: Millis): Promise<number> {
    const early = [...this.#sessions.values()].filter(
      (session) => !session.expiring && session.record.expiresAtMs < untilMs,
    );
    for (const session of early) session.record = { ...session.record, expiresAtMs: untilMs };
    return early.length;
  }

  async closeSession({ id, epoch }: SessionRef): Promise<void> {
    const session = this.#sessions.get(id);
    if (session?.record.epoch !== epoch) return;
    this.#sessions.delete(id);
    for (const { topic } of session.record.subscriptions) this.#topic(topic).open.delete(id);
  }

  async sessions({ after, limit }: { readonly after?: string; readonly limit: number }): Promise<Page<SessionRecord>> {
    const keyed = [...this.#sessions.values()]
      .map(({ record }) => ({ record, key: [record.id] }))
      .sort((a, b) => compare(a.key, b.key));
    const { page, next } = pageOf(keyed, "sessions", after, limit);
    return { rows: page.map(({ record }) => record), ...next };
  }

  /** The log never loses its front by itself; here entries before `#events.length - eventLogMax` count as gone. */
  async appendEvents(batch: Uint8Array): Promise<void> {
    this.#events.push(batch);
    for (const wake of this.#eventWaiters) wake();
  }

  async readEvents(options: { readonly after?: string; readonly limit: number; readonly waitMs: Millis }) {
    const { after, limit, waitMs } = options;
    if (after !== undefined && waitMs > 0 && this.#eventsAfter(after, limit).entries.length === 0) {
      await this.#eventAppended(waitMs);
    }
    return this.#eventsAfter(after, limit);
  }

  /** A cursor is how many entries came before it and at it. */
  #eventsAfter(after: string | undefined, limit: number): EventPage {
    const end = this.#events.length;
    if (after !== undefined && !/^\d+$/.test(after)) throw invalid("after", after, "must be a cursor");
    const start = after === undefined ? end : Number(after);
    const first = Math.max(start, end - LIMITS.eventLogMax);
    const entries = this.#events
      .slice(first, first + limit)
      .map((batch, index) => ({ cursor: String(first + index + 1), batch }));
    return { entries, cursor: entries.at(-1)?.cursor ?? String(start), gap: first > start };
  }

  #eventAppended(waitMs: Millis): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#eventWaiters.delete(done);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      this.#eventWaiters.add(done);
    });
  }

  async announceWatch(untilMs: Millis): Promise<void> {
    const before = this.#watchedUntilMs;
    this.#watchedUntilMs = Math.max(before, untilMs);
    if (before <= Date.now()) this.#wake({ kind: "watch" });
  }

  #topic(name: TopicName): Topic {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = {
        name,
        exists: false,
        settings: { paused: false },
        tasks: new Map(),
        ended: new Map(),
        open: new Map(),
        counters: zeros(),
        places: 0,
        leases: 0,
      };
      this.#topics.set(name, topic);
    }
    return topic;
  }

  /** Runs a verb on a topic, then wakes whoever must know how the topic changed. */
  #change<Answer>(name: TopicName, verb: (topic: Topic) => Answer): Answer {
    const topic = this.#topic(name);
    const before = { ready: inState(topic, "ready").length, dueMs: nextDue(topic) ?? Number.POSITIVE_INFINITY };
    const answer = verb(topic);
    const dueMs = nextDue(topic);
    if (before.ready === 0 && inState(topic, "ready").length > 0) this.#wake({ kind: "ready", topic: name });
    if (dueMs !== undefined && dueMs < before.dueMs) this.#wake({ kind: "due", topic: name, atMs: dueMs });
    return answer;
  }

  #wake(message: Wake): void {
    queueMicrotask(() => {
      for (const listener of this.#listeners) listener(message);
    });
  }
}

/** A charged lost lease: back to its place, or dead when it is one too many. */
function lose(
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

/** A person deletes a task: the id may be enqueued again at once. */
function forget(topic: Topic, task: Task): void {
  topic.tasks.delete(task.id);
  topic.ended.delete(task.id);
  topic.counters.deleted += 1;
}

function retainedUntil(task: Task): Millis {
  assert(task.now.state === "completed" || task.now.state === "cancelled");
  return task.now.endedAtMs + task.head.retentionMs;
}

function nextDue(topic: Topic): Millis | undefined {
  const [first] = inState(topic, "scheduled");
  return first?.now.state === "scheduled" ? first.now.dueAtMs : undefined;
}

function zeros(): Record<Counter, number> {
  return {
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
  };
}

function statsOf(topic: Topic): TopicStats {
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

/** The rows after a cursor, which holds the query it was made for and the key of the last row given. */
function pageOf<Row extends { readonly key: SortKey }>(
  rows: readonly Row[],
  query: string,
  after: string | undefined,
  limit: number,
) {
  let rest = rows;
  if (after !== undefined) {
    const [query2, key] = parseCursor(after);
    if (query2 !== query) throw invalid("after", after, "must come from the page before");
    rest = rows.filter((row) => compare(row.key, key) > 0);
  }
  const page = rest.slice(0, limit);
  const last = page.at(-1);
  const next = last !== undefined && rest.length > limit ? { next: JSON.stringify([query, last.key]) } : {};
  return { page, next };
}

function parseCursor(cursor: string): [query: string, key: SortKey] {
  try {
    const [query, key]: [string, SortKey] = JSON.parse(cursor);
    assert(typeof query === "string" && Array.isArray(key));
    return [query, key];
  } catch {
    throw invalid("after", cursor, "must be a cursor");
  }
}
