/**
 * The specification of the store contract, as a program: an in-memory `Store`
 * that is as naive as it can be. Maps, sorting on demand, no index that could
 * disagree with the tasks. It is the oracle of the differential test and the
 * first store of the conformance suite, and it is meant to be read beside
 * server/store/store.ts: where the prose is silent, this decides. What a task is
 * and how it moves is in model-task.ts, sessions are in model-sessions.ts.
 *
 * Two things a store is free in are fixed here: an ended id is forgotten exactly
 * at the end of its window, and an order that is not promised is that of `list`.
 */
import assert from "node:assert";
import { invalid } from "../../server/domain/errors.js";
import type { LeaseToken, SessionId, TaskId, TopicName } from "../../server/domain/ids.js";
import { LIMITS } from "../../server/domain/limits.js";
import type { TaskState } from "../../server/domain/states.js";
import type { Millis, TaskRecord } from "../../server/domain/task.js";
import type { TopicSettings } from "../../server/domain/topic.js";
import { encodeRecord } from "../../server/store/record.js";
import type {
  CompleteOutcome,
  Completion,
  Demand,
  EnqueueAnswer,
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
  ScrubAnswer,
  ScrubOptions,
  ScrubProblem,
  SessionRecord,
  SessionRef,
  Store,
  TopicLeaseRef,
  TopicRow,
  TopicTask,
  Undelivered,
  Wake,
} from "../../server/store/store.js";
import { ModelEvents } from "./model-events.js";
import { compare, pageOf } from "./model-page.js";
import { ModelSessions } from "./model-sessions.js";
import {
  abort,
  bytesHeld,
  complete,
  createTask,
  createTopic,
  type Ending,
  end,
  fail,
  forget,
  hasEnded,
  heldLease,
  inState,
  type Lease,
  leasedOf,
  leasesOf,
  lose,
  move,
  moveEach,
  nextDue,
  nextToken,
  promote,
  promoteIfDue,
  prune,
  recordOf,
  release,
  type Situation,
  sortKey,
  statsOf,
  type Topic,
  whyDeclined,
} from "./model-task.js";

export class ModelStore implements Store {
  /** Tokens that another store gave for the leases to come: they are taken over if they could be this one's. */
  foretold: LeaseToken[] = [];
  readonly description = "the model, in memory";
  readonly #topics = new Map<TopicName, Topic>();
  readonly #sessions = new ModelSessions();
  readonly #events = new ModelEvents();
  readonly #listeners = new Set<(message: Wake) => void>();
  #watchedUntilMs = 0;

  /** For the differential test: whether a session is open on a topic, at some epoch. */
  serves(name: TopicName, session: SessionId): boolean {
    return this.#sessions.holdOf(name, session) !== undefined;
  }

  /** For the differential test: where a task is, and when its id ended last, whether or not the window is over. */
  peek(name: TopicName, id: TaskId): { readonly now: Situation | undefined; readonly endedAtMs: Millis | undefined } {
    const topic = this.#topic(name);
    return { now: topic.tasks.get(id)?.now, endedAtMs: topic.ended.get(id)?.endedAtMs };
  }

  async open(): Promise<void> {}

  async close(): Promise<void> {
    this.#listeners.clear();
    this.#events.close();
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
      for (const task of fresh.values()) promoteIfDue(createTask(topic, task), now);
      topic.counters.enqueued += fresh.size;
      return { kind: "enqueued", created, ...this.#serve(topic, options.demands ?? [], now) };
    });
  }

  /** Declines where the contract names a reason, and nowhere else. */
  async enqueueStraight(
    tasks: readonly TopicTask[],
    takers: readonly SessionRef[],
    options: Ending,
  ): Promise<readonly (Leased | undefined)[]> {
    assert(tasks.length <= LIMITS.batchMax && takers.length === tasks.length);
    const declined = new Set<TopicName>();
    return tasks.map((task, index) => {
      const taker = takers[index];
      assert(taker !== undefined);
      if (declined.has(task.topic) || this.whyDeclined(task, taker, options) !== undefined) {
        declined.add(task.topic);
        return undefined;
      }
      return this.#change(task.topic, (topic) => {
        promoteIfDue(createTask(topic, task), options.now);
        topic.counters.enqueued += 1;
        return this.#serve(topic, [{ session: taker, limit: 1, bytesMax: 0 }], options.now).leased[0];
      });
    });
  }

  /** Also for the differential test: why a task may not go straight, as things are. */
  whyDeclined(task: TopicTask, { id, epoch }: SessionRef, ending: Ending): string | undefined {
    const isOpen = this.#sessions.holdOf(task.topic, id) === epoch;
    return whyDeclined(this.#topic(task.topic), task, isOpen, ending);
  }

  /**
   * Whether a task went straight, and what was done about it since, is not looked at: a lease that
   * is held of a task that keeps nothing ends in the same way, and a store may take it for one that went straight.
   */
  async completeStraight(leases: readonly TopicLeaseRef[], ending: Ending): Promise<readonly boolean[]> {
    return leases.map(({ topic: name, ...lease }) =>
      this.#change(name, (topic) => {
        const task = heldLease(topic, lease)?.task;
        if (task === undefined || task.head.retentionMs > 0 || task.head.externalId !== "") return false;
        complete(topic, task, lease, ending);
        return true;
      }),
    );
  }

  async lease(name: TopicName, demands: readonly Demand[], { now }: { readonly now: Millis }): Promise<LeaseAnswer> {
    return this.#change(name, (topic) => this.#serve(topic, demands, now));
  }

  #serve(topic: Topic, demands: readonly Demand[], now: Millis): LeaseAnswer {
    const leased: Leased[] = [];
    const lostSessions: SessionId[] = [];
    for (const { session, limit, bytesMax } of demands) {
      if (this.#sessions.holdOf(topic.name, session.id) !== session.epoch) {
        lostSessions.push(session.id);
        continue;
      }
      let given = 0;
      let bytes = 0;
      for (const task of topic.settings.paused ? [] : inState(topic, "ready")) {
        if (given === limit || (given > 0 && bytes + task.bytes > bytesMax)) break;
        given += 1;
        bytes += task.bytes;
        topic.counters.started += 1;
        const token = nextToken(topic, now, this.foretold.shift());
        const lease: Lease = { session: session.id, token, leasedAtMs: now };
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
        return complete(topic, held.task, completion, options);
      });
      return { outcomes, ...this.#serve(topic, options.demands ?? [], options.now) };
    });
  }

  async fail(name: TopicName, failures: readonly Failure[], ending: Ending): Promise<readonly FailOutcome[]> {
    return this.#change(name, (topic) => failures.map((failure) => fail(topic, failure, ending)));
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
    return leasesOf(this.#topic(name), session).map(({ task, lease }) => leasedOf(task, lease));
  }

  async promote(name: TopicName, options: { readonly now: Millis; readonly limit: number }) {
    return this.#change(name, (topic) => promote(topic, options));
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
      this.#sessions.endHold(name, session);
      const leases = leasesOf(topic, session);
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

  async prune(name: TopicName, options: Ending & { readonly limit: number }) {
    return this.#change(name, (topic) => prune(topic, options));
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
      const outcomes = moveEach(topic, ids, "requeue", (task) => {
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
        const [outcome] = moveEach(topic, [id], "cancel", (waiting) => {
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
    return this.#change(name, (topic) => moveEach(topic, ids, "remove", (task) => forget(topic, task)));
  }

  async purge(name: TopicName, state: Exclude<TaskState, "leased">, limit: number) {
    return this.#change(name, (topic) => {
      const tasks = inState(topic, state);
      for (const task of tasks.slice(0, limit)) forget(topic, task);
      return { deleted: Math.min(limit, tasks.length), more: tasks.length > limit };
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
    this.#sessions.open(session);
  }

  async resumeSession(
    session: { readonly id: SessionId; readonly secret: string },
    by: { readonly broker: string; readonly address: string; readonly expiresAtMs: Millis },
  ) {
    return this.#sessions.resume(session, by);
  }

  async renewSessions(refs: readonly SessionRef[], expiresAtMs: Millis): Promise<readonly ("renewed" | "lost")[]> {
    return refs.map((ref) => this.#sessions.renew(ref, expiresAtMs));
  }

  async detachSession(ref: SessionRef, expiresAtMs: Millis, undelivered: readonly Undelivered[]): Promise<void> {
    this.#sessions.detach(ref, expiresAtMs, undelivered);
  }

  async expiredSessions(options: { readonly now: Millis; readonly limit: number }) {
    return this.#sessions.expired(options);
  }

  async extendSessions(untilMs: Millis): Promise<number> {
    return this.#sessions.extend(untilMs);
  }

  async closeSession(ref: SessionRef): Promise<void> {
    this.#sessions.close(ref);
  }

  async sessions(query: { readonly after?: string; readonly limit: number }): Promise<Page<SessionRecord>> {
    return this.#sessions.page(query);
  }

  async appendEvents(batch: Uint8Array): Promise<void> {
    this.#events.append(batch);
  }

  async readEvents(options: { readonly after?: string; readonly limit: number; readonly waitMs: Millis }) {
    return this.#events.read(options);
  }

  async announceWatch(untilMs: Millis): Promise<void> {
    const before = this.#watchedUntilMs;
    this.#watchedUntilMs = Math.max(before, untilMs);
    if (before <= Date.now()) this.#wake({ kind: "watch" });
  }

  /** Nothing here can disagree with itself; only leases can be left behind by whoever closed their session. */
  async scrub(name: TopicName, { after, repair, ...ending }: ScrubOptions): Promise<ScrubAnswer> {
    if (after !== undefined) throw invalid("after", after, "must be the cursor of the piece before");
    return this.#change(name, (topic) => {
      const checked = topic.tasks.size;
      const problems = inState(topic, "leased").flatMap((task): ScrubProblem[] => {
        if (task.now.state !== "leased" || this.#sessions.exists(task.now.lease.session)) return [];
        const detail = `of session ${task.now.lease.session}, which does not exist`;
        if (repair && task.now.cancelRequested) abort(topic, task, ending);
        else if (repair) release(topic, task);
        return [{ kind: "orphan_lease", id: task.id, detail, repaired: repair }];
      });
      return { checked, problems };
    });
  }

  #topic(name: TopicName): Topic {
    const topic = this.#topics.get(name) ?? createTopic(name);
    this.#topics.set(name, topic);
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
