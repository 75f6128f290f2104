/**
 * The store on one machine: an lmdb file in a folder that one process owns.
 *
 * Each verb is one transaction, run to its end when the verb is called, so verbs
 * never meet. What they do is in the files beside this one, by subject.
 *
 * A committed change survives the death of the process. Against a power cut,
 * `sync` decides: "always" answers when the change is on the disk, "everysec"
 * at once, and lets no change wait longer than a second; "no" saves at the end.
 */
import { resolve } from "node:path";
import { TaskqueueError } from "../../domain/errors.js";
import type { SessionId, TaskId, TopicName } from "../../domain/ids.js";
import type { TaskState } from "../../domain/states.js";
import type { Millis, Progress } from "../../domain/task.js";
import type { TopicSettings } from "../../domain/topic.js";
import { type Clock, systemClock } from "../../lib/clock.js";
import { type Log, silentLog } from "../../lib/log.js";
import { random } from "../../lib/random.js";
import type {
  Completion,
  Demand,
  EventPage,
  Failure,
  LeaseRef,
  ListQuery,
  NewSession,
  NewTask,
  ScrubOptions,
  SessionRef,
  Store,
  Undelivered,
  Wake,
} from "../store.js";
import type { Change, Ending, Place } from "./change.js";
import { cancel, purge, remove, requeue } from "./decisions.js";
import { promote, prune } from "./duties.js";
import { settleEnded } from "./ended-ids.js";
import { type EnqueueOptions, enqueue } from "./enqueue.js";
import { EventLog } from "./events.js";
import { held, serve } from "./lease.js";
import { MEMORY, OpenStore, type Sync } from "./open-store.js";
import { describe, get, list, listTopics } from "./reading.js";
import { scrub } from "./scrub.js";
import { Sessions } from "./sessions.js";
import { complete, type ExpireOptions, expire, fail, progress, release } from "./settle.js";

export interface EmbeddedOptions {
  /** The data folder; ":memory:" for a temporary one, removed at the end. */
  readonly dir: string;
  readonly namespace?: string;
  /** Default: "everysec"; for ":memory:" it is "no". */
  readonly sync?: Sync;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly random?: () => number;
}

interface Opened {
  readonly store: OpenStore;
  readonly sessions: Sessions;
  readonly events: EventLog;
}

export class EmbeddedStore implements Store {
  readonly description: string;
  readonly #options: EmbeddedOptions;
  readonly #clock: Clock;
  readonly #listeners = new Set<(message: Wake) => void>();
  /** Readers of events that wait for the next batch. */
  readonly #waiters = new Set<() => void>();
  #opened: Opened | undefined;

  constructor(options: EmbeddedOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.description =
      options.dir === MEMORY ? "embedded, in a temporary folder" : `embedded, in ${resolve(options.dir)}`;
  }

  async open(): Promise<void> {
    const { dir, namespace = "default", log = silentLog } = this.#options;
    const store = await OpenStore.open({
      dir,
      namespace,
      sync: this.#options.sync ?? (dir === MEMORY ? "no" : "everysec"),
      clock: this.#clock,
      log,
      random: this.#options.random ?? random,
      wake: (message) => {
        for (const listener of this.#listeners) listener(message);
      },
    });
    const sessions = new Sessions(store.tables, store.topics);
    this.#opened = { store, sessions, events: new EventLog(store.tables) };
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    for (const stop of this.#waiters) stop();
    this.#listeners.clear();
    await opened?.store.close();
  }

  #live(): Opened {
    if (this.#opened === undefined) throw new TaskqueueError("STORE_UNAVAILABLE", "the embedded store is not open");
    return this.#opened;
  }

  async pulse(): Promise<{ readonly nowMs: Millis; readonly watchedUntilMs: Millis }> {
    const { store, events } = this.#live();
    store.probe();
    const watchedUntilMs = store.read(() => events.watchedUntil());
    return { nowMs: this.#clock.now(), watchedUntilMs };
  }

  listen(wake: (message: Wake) => void): () => void {
    this.#listeners.add(wake);
    return () => {
      this.#listeners.delete(wake);
    };
  }

  async enqueue(topic: TopicName, tasks: readonly NewTask[], options: EnqueueOptions) {
    return this.#live().store.change(topic, (change) => enqueue(change, tasks, options), {
      room: "takes",
      create: true,
    });
  }

  async lease(topic: TopicName, demands: readonly Demand[], { now }: { readonly now: Millis }) {
    return this.#change(topic, (change) => serve(change, demands, now));
  }

  async complete(
    topic: TopicName,
    completions: readonly Completion[],
    options: Ending & { readonly demands?: readonly Demand[] },
  ) {
    return this.#end(topic, options, (change) => complete(change, completions, options));
  }

  async fail(topic: TopicName, failures: readonly Failure[], options: Ending) {
    return this.#end(topic, options, (change) => fail(change, failures, options));
  }

  async release(topic: TopicName, leases: readonly LeaseRef[], options: Ending) {
    return this.#end(topic, options, (change) => release(change, leases, options));
  }

  async progress(topic: TopicName, notes: readonly (LeaseRef & { readonly progress?: Progress })[]) {
    return this.#change(topic, (change) => progress(change, notes));
  }

  async held(topic: TopicName, session: SessionId) {
    return this.#read(topic, (place) => held(place, session));
  }

  async promote(topic: TopicName, options: { readonly now: Millis; readonly limit: number }) {
    return this.#change(topic, (change) => promote(change, options));
  }

  async expire(topic: TopicName, session: SessionId, options: ExpireOptions) {
    return this.#end(topic, options, (change) => expire(change, session, options));
  }

  async prune(topic: TopicName, options: Ending & { readonly limit: number }) {
    return this.#change(topic, (change) => prune(change, options));
  }

  async get(topic: TopicName, ids: readonly TaskId[]) {
    return this.#read(topic, (place) => get(place, ids));
  }

  async list(topic: TopicName, query: ListQuery) {
    return this.#read(topic, (place) => list(place, query));
  }

  async requeue(
    topic: TopicName,
    which: { readonly ids: readonly TaskId[] } | { readonly oldestDead: number },
    _options: { readonly now: Millis },
  ) {
    return this.#change(topic, (change) => requeue(change, which));
  }

  async cancel(topic: TopicName, ids: readonly TaskId[], options: Ending) {
    return this.#end(topic, options, (change) => cancel(change, ids, options));
  }

  async remove(topic: TopicName, ids: readonly TaskId[]) {
    return this.#change(topic, (change) => remove(change, ids));
  }

  async purge(topic: TopicName, state: Exclude<TaskState, "leased">, limit: number) {
    return this.#change(topic, (change) => purge(change, state, limit));
  }

  #change<Answer>(topic: TopicName, verb: (change: Change) => Answer): Promise<Answer> {
    return this.#live().store.change(topic, verb);
  }

  /** A verb that may end tasks, whose ids must be remembered. */
  #end<Answer>(topic: TopicName, ending: Ending, verb: (change: Change) => Answer): Promise<Answer> {
    return this.#change(topic, (change) => {
      const answer = verb(change);
      settleEnded(change, ending);
      return answer;
    });
  }

  #read<Answer>(name: TopicName, verb: (place: Place) => Answer): Answer {
    const { store } = this.#live();
    return store.read(() => verb({ tables: store.tables, topic: store.topics.find(name) }));
  }

  async topics(query: { readonly after?: string; readonly limit: number }) {
    const { store } = this.#live();
    return store.read(() => listTopics(store.tables, store.topics, query));
  }

  async describe(topics: readonly TopicName[]) {
    const { store } = this.#live();
    return store.read(() => describe(store.tables, store.topics, topics));
  }

  async configure(name: TopicName, settings: TopicSettings): Promise<void> {
    const { store } = this.#live();
    await store.write(
      () => store.topics.configure(name, settings),
      "takes",
      () => {
        const { figures } = store.topics.find(name);
        const runs = !settings.paused && figures.ready > 0;
        return [{ kind: "settings", topic: name }, ...(runs ? [{ kind: "ready" as const, topic: name }] : [])];
      },
    );
  }

  async openSession(session: NewSession): Promise<void> {
    const { store, sessions } = this.#live();
    await store.write(() => sessions.open(session), "takes");
  }

  async resumeSession(
    session: { readonly id: SessionId; readonly secret: string },
    by: { readonly broker: string; readonly address: string; readonly expiresAtMs: Millis },
  ) {
    const { store, sessions } = this.#live();
    return store.write(() => sessions.resume(session, by), "frees");
  }

  async renewSessions(refs: readonly SessionRef[], expiresAtMs: Millis) {
    const { store, sessions } = this.#live();
    return store.write(() => sessions.renew(refs, expiresAtMs), "frees");
  }

  async detachSession(session: SessionRef, expiresAtMs: Millis, undelivered: readonly Undelivered[]): Promise<void> {
    const { store, sessions } = this.#live();
    await store.write(() => sessions.detach(session, expiresAtMs, undelivered), "frees");
  }

  async expiredSessions(options: { readonly now: Millis; readonly limit: number }) {
    const { store, sessions } = this.#live();
    return store.write(() => sessions.expired(options), "frees");
  }

  async extendSessions(untilMs: Millis): Promise<number> {
    const { store, sessions } = this.#live();
    return store.write(() => sessions.extend(untilMs), "frees");
  }

  async closeSession(session: SessionRef): Promise<void> {
    const { store, sessions } = this.#live();
    await store.write(() => sessions.close(session), "frees");
  }

  async sessions(query: { readonly after?: string; readonly limit: number }) {
    const { store, sessions } = this.#live();
    return store.read(() => sessions.list(query));
  }

  async appendEvents(batch: Uint8Array): Promise<void> {
    const { store, events } = this.#live();
    await store.write(() => events.append(batch), "takes");
    for (const wake of this.#waiters) wake();
  }

  async readEvents(options: {
    readonly after?: string;
    readonly limit: number;
    readonly waitMs: Millis;
  }): Promise<EventPage> {
    const { after, limit, waitMs } = options;
    const { store, events } = this.#live();
    const page = store.read(() => events.read(after, limit));
    if (after === undefined || waitMs <= 0 || page.entries.length > 0 || page.gap) return page;
    await this.#eventAppended(waitMs);
    // Closed meanwhile: there is nothing to come.
    return this.#opened === undefined ? page : store.read(() => events.read(after, limit));
  }

  #eventAppended(waitMs: Millis): Promise<void> {
    return new Promise((done) => {
      const finish = () => {
        cancel();
        this.#waiters.delete(finish);
        done();
      };
      const cancel = this.#clock.after(waitMs, finish);
      this.#waiters.add(finish);
    });
  }

  async announceWatch(untilMs: Millis): Promise<void> {
    const { store, events } = this.#live();
    let before = 0;
    await store.write(
      () => {
        before = events.watchedUntil();
        if (untilMs > before) events.watchUntil(untilMs);
      },
      "takes",
      () => (before <= this.#clock.now() ? [{ kind: "watch" }] : []),
    );
  }

  async scrub(topic: TopicName, options: ScrubOptions) {
    return this.#end(topic, options, (change) => scrub(change, options));
  }
}
