/**
 * The store in Redis: each verb is a script, and what a verb does is in there.
 * This file opens and closes, and passes calls on.
 *
 * Works with Redis 6.2 or later, Valkey, Sentinel and Redis Cluster. Survives
 * restarts and failovers of the store: calls fail meanwhile with
 * STORE_UNAVAILABLE, and work again afterwards.
 */
import type { LeaseToken, SessionId, TaskId, TopicName } from "../../domain/ids.js";
import { LIMITS } from "../../domain/limits.js";
import type { TaskState } from "../../domain/states.js";
import type { Millis, Progress, TaskRecord } from "../../domain/task.js";
import type { TopicSettings } from "../../domain/topic.js";
import { type Log, silentLog } from "../../lib/log.js";
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
  ReleaseOutcome,
  ScrubAnswer,
  ScrubOptions,
  SessionRecord,
  SessionRef,
  Store,
  TopicLeaseRef,
  TopicRow,
  TopicTask,
  Undelivered,
  Wake,
} from "../store.js";
import { checkServer } from "./check-server.js";
import { describeTarget, type Target } from "./client.js";
import { Connection } from "./connection.js";
import { Events } from "./events.js";
import { Keys } from "./keys.js";
import { leaseKey, packRefs } from "./packing.js";
import { cancel } from "./scripts/cancel.js";
import { complete } from "./scripts/complete.js";
import { configure } from "./scripts/configure.js";
import { describe } from "./scripts/describe.js";
import { type EnqueueCall, enqueue, enqueueCall, exceedsBounds } from "./scripts/enqueue.js";
import { expire } from "./scripts/expire.js";
import { fail } from "./scripts/fail.js";
import { get } from "./scripts/get.js";
import { held } from "./scripts/held.js";
import { lease } from "./scripts/lease.js";
import { list, listCall } from "./scripts/list.js";
import { listExternal, listExternalCall } from "./scripts/list-external.js";
import { progress } from "./scripts/progress.js";
import { promote } from "./scripts/promote.js";
import { prune } from "./scripts/prune.js";
import { pulse } from "./scripts/pulse.js";
import { purge } from "./scripts/purge.js";
import { release } from "./scripts/release.js";
import { remove } from "./scripts/remove.js";
import { requeue } from "./scripts/requeue.js";
import { Scrubs } from "./scrubs.js";
import { Sessions } from "./sessions.js";
import { Straight } from "./straight.js";
import { Topics } from "./topics.js";
import { decodeWake } from "./wake.js";

export interface RedisStoreOptions extends Target {
  /** Separates those that share a Redis; letters, digits and `_ . -`. Default `taskqueue`. */
  readonly namespace?: string | undefined;
  /** How long a command may take. Default 2000. */
  readonly commandTimeoutMs?: number | undefined;
  /** Serve a Redis that may throw tasks away when it is full. */
  readonly allowEviction?: boolean | undefined;
  readonly log?: Log | undefined;
  /** For tests: how many tasks of a topic, and ids of a window, are kept in one hash. Default: some thousands, as the scripts say. */
  readonly unshardedMax?: number | undefined;
}

type Ending = { readonly now: Millis; readonly endedWindowMs: Millis };
type EnqueueOptions = Ending & {
  readonly tasksMax: number;
  readonly bytesMax: number;
  readonly demands?: readonly Demand[];
};

export class RedisStore implements Store {
  readonly description: string;
  readonly #connection: Connection;
  readonly #keys: Keys;
  readonly #topics: Topics;
  readonly #sessions: Sessions;
  readonly #events: Events;
  readonly #scrubs: Scrubs;
  readonly #straight: Straight;
  readonly #log: Log;
  readonly #allowEviction: boolean;
  readonly #listeners = new Set<(message: Wake) => void>();

  constructor(options: RedisStoreOptions) {
    const { namespace = "taskqueue", commandTimeoutMs = 2000, allowEviction = false, log = silentLog } = options;
    const { unshardedMax } = options;
    this.#keys = new Keys(namespace);
    this.#log = log;
    this.#allowEviction = allowEviction;
    this.#connection = new Connection(options, this.#keys, { commandTimeoutMs, log, unshardedMax });
    this.#topics = new Topics(this.#connection, this.#keys);
    this.#sessions = new Sessions(this.#connection);
    this.#events = new Events(this.#connection, this.#keys);
    this.#scrubs = new Scrubs(this.#connection, this.#keys, this.#sessions);
    this.#straight = new Straight(this.#connection, this.#keys, this.#topics, this.#sessions);
    this.description = `${describeTarget(options)}, namespace ${namespace}`;
  }

  async open(): Promise<void> {
    const onMessage = (message: string) => {
      const wake = decodeWake(message);
      if (wake !== undefined) this.#wake(wake);
    };
    const onResync = () => {
      this.#topics.forget();
      this.#wake({ kind: "resync" });
    };
    try {
      await this.#connection.open(this.#keys.wake, onMessage, onResync);
      await checkServer(this.#connection, this.#keys, { allowEviction: this.#allowEviction, log: this.#log });
    } catch (error) {
      await this.#connection.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    await this.#connection.close();
  }

  async pulse(): Promise<{ readonly nowMs: Millis; readonly watchedUntilMs: Millis }> {
    this.#connection.probe();
    return this.#connection.run(pulse, undefined);
  }

  listen(wake: (message: Wake) => void): () => void {
    // A function of its own, so that the same one may listen twice.
    const listener = (message: Wake) => wake(message);
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  #wake(message: Wake): void {
    for (const listener of this.#listeners) listener(message);
  }

  enqueue(topic: TopicName, tasks: readonly NewTask[], options: EnqueueOptions): Promise<EnqueueAnswer> {
    // What is usual: a topic that is known to be there, and no id twice.
    if (tasks.length > 0 && this.#topics.knows(topic, options.now) && withoutRepeats(tasks) === tasks) {
      return this.#connection.run(enqueue, callOf(topic, tasks, options));
    }
    return this.#enqueueUnusual(topic, tasks, options);
  }

  async #enqueueUnusual(topic: TopicName, tasks: readonly NewTask[], options: EnqueueOptions): Promise<EnqueueAnswer> {
    if (tasks.length === 0) {
      return { kind: "enqueued", created: [], ...(await this.lease(topic, options.demands ?? [], options)) };
    }
    const distinct = withoutRepeats(tasks);
    const call = callOf(topic, distinct, options);
    // What would be too much for an empty topic either creates none, or repeats what is in it.
    if (!this.#topics.knows(topic, options.now) && !exceedsBounds(call)) {
      await this.#topics.register(topic, options.now);
    }
    const answer = await this.#connection.run(enqueue, call);
    if (answer.kind === "full" || distinct === tasks) return answer;
    return { ...answer, created: tasks.map((task) => answer.created[distinct.indexOf(task)] ?? false) };
  }

  enqueueStraight(
    tasks: readonly TopicTask[],
    takers: readonly SessionRef[],
    options: Ending,
  ): Promise<readonly (Leased | undefined)[]> {
    return this.#straight.enqueue(tasks, takers, options);
  }

  completeStraight(leases: readonly TopicLeaseRef[], options: Ending): Promise<readonly boolean[]> {
    return this.#straight.complete(leases, options);
  }

  lease(topic: TopicName, demands: readonly Demand[], { now }: { readonly now: Millis }): Promise<LeaseAnswer> {
    return this.#connection.run(lease, { topic, demands, now });
  }

  complete(
    topic: TopicName,
    completions: readonly Completion[],
    options: Ending & { readonly demands?: readonly Demand[] },
  ): Promise<{ readonly outcomes: readonly CompleteOutcome[] } & LeaseAnswer> {
    const { now, endedWindowMs, demands } = options;
    return this.#connection.run(complete, { topic, refs: packRefs(completions), now, endedWindowMs, demands });
  }

  fail(topic: TopicName, failures: readonly Failure[], options: Ending): Promise<readonly FailOutcome[]> {
    return this.#connection.run(fail, { topic, refs: packRefs(failures), ...options });
  }

  release(topic: TopicName, leases: readonly LeaseRef[], options: Ending): Promise<readonly ReleaseOutcome[]> {
    return this.#connection.run(release, { topic, refs: packRefs(leases), ...options });
  }

  progress(
    topic: TopicName,
    notes: readonly (LeaseRef & { readonly progress?: Progress })[],
  ): Promise<readonly ("held" | "lease_lost")[]> {
    // Of several notes on one lease the last counts.
    const latest = new Map<string, Progress>();
    for (const note of notes) if (note.progress !== undefined) latest.set(leaseKey(note), note.progress);
    const refs = notes.map(({ id, session, token }) => {
      const note = latest.get(leaseKey({ id, session, token }));
      return { id, session, token, ...(note === undefined ? {} : { progress: note }) };
    });
    return this.#connection.run(progress, { topic, refs: packRefs(refs) });
  }

  async held(topic: TopicName, session: SessionId): Promise<readonly Leased[]> {
    const all = await this.#connection.run(held, { topic, session });
    if (all.kind !== "ids") return all.leases;
    const leases: Leased[] = [];
    for (let first = 0; first < all.ids.length; first += LIMITS.batchMax) {
      const ids = all.ids.slice(first, first + LIMITS.batchMax);
      const some = await this.#connection.run(held, { topic, session, ids });
      if (some.kind === "held") leases.push(...some.leases);
    }
    return leases;
  }

  promote(
    topic: TopicName,
    options: { readonly now: Millis; readonly limit: number },
  ): Promise<{ readonly promoted: number; readonly nextDueMs?: Millis }> {
    return this.#connection.run(promote, { topic, ...options });
  }

  expire(
    topic: TopicName,
    session: SessionId,
    options: Ending & {
      readonly charge: "lost" | "none";
      readonly undelivered: readonly LeaseToken[];
      readonly lostLeasesMax: number;
      readonly error: string;
      readonly limit: number;
    },
  ): Promise<{ readonly expired: readonly Expired[]; readonly more: boolean }> {
    return this.#connection.run(expire, { topic, session, ...options });
  }

  prune(
    topic: TopicName,
    options: Ending & { readonly limit: number },
  ): Promise<{ readonly pruned: number; readonly nextMs?: Millis }> {
    return this.#connection.run(prune, { topic, ...options });
  }

  get(topic: TopicName, ids: readonly TaskId[]): Promise<readonly (TaskRecord | undefined)[]> {
    return this.#connection.run(get, { topic, ids });
  }

  async list(topic: TopicName, { state, externalId, after, limit }: ListQuery): Promise<Page<TaskRecord>> {
    if (externalId !== undefined) {
      return this.#connection.run(listExternal, listExternalCall({ topic, state, externalId, after, limit }));
    }
    if (state === undefined) return { rows: [] };
    return this.#connection.run(list, listCall({ topic, state, after, limit }));
  }

  requeue(
    topic: TopicName,
    which: { readonly ids: readonly TaskId[] } | { readonly oldestDead: number },
    { now }: { readonly now: Millis },
  ): Promise<{ readonly ids: readonly TaskId[]; readonly outcomes: readonly MoveOutcome[]; readonly more: boolean }> {
    return this.#connection.run(requeue, { topic, which, now });
  }

  cancel(topic: TopicName, ids: readonly TaskId[], options: Ending): Promise<readonly MoveOutcome[]> {
    return this.#connection.run(cancel, { topic, ids, ...options });
  }

  remove(topic: TopicName, ids: readonly TaskId[]): Promise<readonly MoveOutcome[]> {
    return this.#connection.run(remove, { topic, ids });
  }

  purge(
    topic: TopicName,
    state: Exclude<TaskState, "leased">,
    limit: number,
  ): Promise<{ readonly deleted: number; readonly more: boolean }> {
    return this.#connection.run(purge, { topic, state, limit });
  }

  topics(query: { readonly after?: string; readonly limit: number }): Promise<Page<TopicName>> {
    return this.#topics.page(query);
  }

  describe(topics: readonly TopicName[]): Promise<readonly TopicRow[]> {
    return Promise.all(topics.map((topic) => this.#connection.run(describe, { topic })));
  }

  async configure(topic: TopicName, settings: TopicSettings): Promise<void> {
    await this.#topics.register(topic);
    await this.#connection.run(configure, { topic, settings });
  }

  openSession(session: NewSession): Promise<void> {
    return this.#sessions.open(session);
  }

  resumeSession(
    session: { readonly id: SessionId; readonly secret: string },
    by: { readonly broker: string; readonly address: string; readonly expiresAtMs: Millis },
  ): Promise<{ readonly kind: "resumed"; readonly session: SessionRecord } | { readonly kind: "session_lost" }> {
    return this.#sessions.resume({ ...session, ...by });
  }

  renewSessions(sessions: readonly SessionRef[], expiresAtMs: Millis): Promise<readonly ("renewed" | "lost")[]> {
    return this.#sessions.renew(sessions, expiresAtMs);
  }

  detachSession(session: SessionRef, expiresAtMs: Millis, undelivered: readonly Undelivered[]): Promise<void> {
    return this.#sessions.detach({ ...session, expiresAtMs, undelivered });
  }

  expiredSessions(options: {
    readonly now: Millis;
    readonly limit: number;
  }): Promise<{ readonly sessions: readonly SessionRecord[]; readonly nextMs?: Millis }> {
    return this.#sessions.expired(options);
  }

  extendSessions(untilMs: Millis): Promise<number> {
    return this.#sessions.extend(untilMs);
  }

  closeSession(session: SessionRef): Promise<void> {
    return this.#sessions.close(session);
  }

  sessions(query: { readonly after?: string; readonly limit: number }): Promise<Page<SessionRecord>> {
    return this.#sessions.page(query);
  }

  appendEvents(batch: Uint8Array): Promise<void> {
    return this.#events.append(batch);
  }

  readEvents(options: {
    readonly after?: string;
    readonly limit: number;
    readonly waitMs: Millis;
  }): Promise<EventPage> {
    return this.#events.read(options);
  }

  announceWatch(untilMs: Millis): Promise<void> {
    return this.#events.announceWatch(untilMs);
  }

  scrub(topic: TopicName, options: ScrubOptions): Promise<ScrubAnswer> {
    return this.#scrubs.scrub(topic, options);
  }
}

/** Field by field, which is cheaper than a spread. */
function callOf(topic: TopicName, tasks: readonly NewTask[], options: EnqueueOptions): EnqueueCall {
  const { now, endedWindowMs, tasksMax, bytesMax, demands } = options;
  return enqueueCall({ topic, tasks, now, endedWindowMs, tasksMax, bytesMax, demands });
}

/** The first task of each id; the same list when no id comes twice. */
function withoutRepeats(tasks: readonly NewTask[]): readonly NewTask[] {
  if (tasks.length === 1) return tasks;
  const firsts = new Map<TaskId, NewTask>();
  for (const task of tasks) if (!firsts.has(task.id)) firsts.set(task.id, task);
  return firsts.size === tasks.length ? tasks : [...firsts.values()];
}
