/**
 * The store on one machine: an lmdb file in a folder that one process owns.
 *
 * Each verb is done in one go, so verbs never meet. What they do is in verbs.ts
 * and the files it names, how it is kept in open-store.ts.
 *
 * What was answered survives the death of the process. Against a power cut,
 * `sync` decides: "always" answers when the change is on the disk, "everysec" at
 * once, and lets no change wait longer than a second; "no" leaves it to the
 * system, and saves every few seconds.
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
import { encodeRecord } from "../record.js";
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
  TopicLeaseRef,
  TopicTask,
  Undelivered,
  Wake,
} from "../store.js";
import { type Ending, firstDue, type Place } from "./change.js";
import { type EnqueueOptions, recordsOf } from "./enqueue.js";
import type { EntryWriter, Journaled } from "./journal-codec.js";
import { held } from "./lease.js";
import { MEMORY, OpenStore, type Sync } from "./open-store.js";
import { describe, get, list, listTopics } from "./reading.js";
import type { ExpireOptions } from "./settle.js";
import { type State, VERBS } from "./verbs.js";

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

export class EmbeddedStore implements Store {
  readonly description: string;
  readonly #options: EmbeddedOptions;
  readonly #clock: Clock;
  readonly #listeners = new Set<(message: Wake) => void>();
  /** Readers of events that wait for the next batch. */
  readonly #waiters = new Set<() => void>();
  #store: OpenStore | undefined;

  constructor(options: EmbeddedOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.description =
      options.dir === MEMORY ? "embedded, in a temporary folder" : `embedded, in ${resolve(options.dir)}`;
  }

  async open(): Promise<void> {
    const { dir, namespace = "default", log = silentLog } = this.#options;
    this.#store = await OpenStore.open({
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
  }

  async close(): Promise<void> {
    const store = this.#store;
    this.#store = undefined;
    for (const stop of this.#waiters) stop();
    this.#listeners.clear();
    await store?.close();
  }

  #open(): OpenStore {
    if (this.#store === undefined) throw new TaskqueueError("STORE_UNAVAILABLE", "the embedded store is not open");
    return this.#store;
  }

  async pulse(): Promise<{ readonly nowMs: Millis; readonly watchedUntilMs: Millis }> {
    const store = this.#open();
    await store.probe();
    const watchedUntilMs = await store.read(({ events }) => events.watchedUntil());
    return { nowMs: this.#clock.now(), watchedUntilMs };
  }

  listen(wake: (message: Wake) => void): () => void {
    this.#listeners.add(wake);
    return () => {
      this.#listeners.delete(wake);
    };
  }

  async enqueue(topic: TopicName, tasks: readonly NewTask[], options: EnqueueOptions) {
    const records = recordsOf(tasks);
    return this.#open().run({
      verb: "enqueue",
      write: (entry) => entry.enqueue(topic, records, options),
      apply: (state) => VERBS.enqueue(state, topic, records, options),
    });
  }

  async enqueueStraight(tasks: readonly TopicTask[], takers: readonly SessionRef[], options: Ending) {
    const records = tasks.map(({ head, spec }) => encodeRecord(head, spec));
    return this.#open().run({
      verb: "enqueueStraight",
      write: (entry) => entry.enqueueStraight(tasks, records, takers, options),
      apply: (state) => VERBS.enqueueStraight(state, tasks, records, takers, options),
    });
  }

  async completeStraight(leases: readonly TopicLeaseRef[], options: Ending) {
    return this.#open().run({
      verb: "completeStraight",
      write: (entry) => entry.completeStraight(leases, options),
      apply: (state) => VERBS.completeStraight(state, leases, options),
    });
  }

  async lease(topic: TopicName, demands: readonly Demand[], options: { readonly now: Millis }) {
    return this.#open().run({
      verb: "lease",
      write: (entry) => entry.lease(topic, demands, options),
      apply: (state) => VERBS.lease(state, topic, demands, options),
      changes: ({ topics }) => topics.find(topic).figures.ready > 0,
    });
  }

  async complete(
    topic: TopicName,
    completions: readonly Completion[],
    options: Ending & { readonly demands?: readonly Demand[] },
  ) {
    return this.#open().run({
      verb: "complete",
      write: (entry) => entry.complete(topic, completions, options),
      apply: (state) => VERBS.complete(state, topic, completions, options),
    });
  }

  async fail(topic: TopicName, failures: readonly Failure[], options: Ending) {
    return this.#run("fail", [topic, failures, options], (state) => VERBS.fail(state, topic, failures, options));
  }

  async release(topic: TopicName, leases: readonly LeaseRef[], options: Ending) {
    return this.#run("release", [topic, leases, options], (state) => VERBS.release(state, topic, leases, options));
  }

  async progress(topic: TopicName, notes: readonly (LeaseRef & { readonly progress?: Progress })[]) {
    const says = notes.some((note) => note.progress !== undefined);
    return this.#run(
      "progress",
      [topic, notes],
      (state) => VERBS.progress(state, topic, notes),
      () => says,
    );
  }

  async held(topic: TopicName, session: SessionId) {
    return this.#read(topic, (place) => held(place, session));
  }

  async promote(topic: TopicName, options: { readonly now: Millis; readonly limit: number }) {
    return this.#run(
      "promote",
      [topic, options],
      (state) => VERBS.promote(state, topic, options),
      ({ tables, topics }) => (firstDue(tables, topics.find(topic)) ?? Number.POSITIVE_INFINITY) <= options.now,
    );
  }

  async expire(topic: TopicName, session: SessionId, options: ExpireOptions) {
    return this.#run("expire", [topic, session, options], (state) => VERBS.expire(state, topic, session, options));
  }

  async prune(topic: TopicName, options: Ending & { readonly limit: number }) {
    return this.#run("prune", [topic, options], (state) => VERBS.prune(state, topic, options));
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
    return this.#run("requeue", [topic, which], (state) => VERBS.requeue(state, topic, which));
  }

  async cancel(topic: TopicName, ids: readonly TaskId[], options: Ending) {
    return this.#run("cancel", [topic, ids, options], (state) => VERBS.cancel(state, topic, ids, options));
  }

  async remove(topic: TopicName, ids: readonly TaskId[]) {
    return this.#run("remove", [topic, ids], (state) => VERBS.remove(state, topic, ids));
  }

  async purge(topic: TopicName, from: Exclude<TaskState, "leased">, limit: number) {
    return this.#run("purge", [topic, from, limit], (state) => VERBS.purge(state, topic, from, limit));
  }

  async scrub(topic: TopicName, options: ScrubOptions) {
    return this.#run(
      "scrub",
      [topic, options],
      (state) => VERBS.scrub(state, topic, options),
      (state) => options.repair && VERBS.scrub(state, topic, { ...options, repair: false }).problems.length > 0,
    );
  }

  async topics(query: { readonly after?: string; readonly limit: number }) {
    return this.#open().read(({ tables, topics }) => listTopics(tables, topics, query));
  }

  async describe(names: readonly TopicName[]) {
    return this.#open().read(({ tables, topics }) => describe(tables, topics, names));
  }

  async configure(topic: TopicName, settings: TopicSettings): Promise<void> {
    await this.#run("configure", [topic, settings], (state) => VERBS.configure(state, topic, settings));
  }

  async openSession(session: NewSession): Promise<void> {
    await this.#run("openSession", [session], (state) => VERBS.openSession(state, session));
  }

  async resumeSession(
    session: { readonly id: SessionId; readonly secret: string },
    by: { readonly broker: string; readonly address: string; readonly expiresAtMs: Millis },
  ) {
    return this.#run("resumeSession", [session, by], (state) => VERBS.resumeSession(state, session, by));
  }

  async renewSessions(refs: readonly SessionRef[], expiresAtMs: Millis) {
    return this.#run("renewSessions", [refs, expiresAtMs], (state) => VERBS.renewSessions(state, refs, expiresAtMs));
  }

  async detachSession(ref: SessionRef, expiresAtMs: Millis, undelivered: readonly Undelivered[]): Promise<void> {
    await this.#run("detachSession", [ref, expiresAtMs, undelivered], (state) =>
      VERBS.detachSession(state, ref, expiresAtMs, undelivered),
    );
  }

  async expiredSessions(options: { readonly now: Millis; readonly limit: number }) {
    return this.#run(
      "expiredSessions",
      [options],
      (state) => VERBS.expiredSessions(state, options),
      ({ sessions }) => sessions.isAnyExpired(options.now),
    );
  }

  async extendSessions(untilMs: Millis): Promise<number> {
    return this.#run("extendSessions", [untilMs], (state) => VERBS.extendSessions(state, untilMs));
  }

  async closeSession(ref: SessionRef): Promise<void> {
    await this.#run("closeSession", [ref], (state) => VERBS.closeSession(state, ref));
  }

  async sessions(query: { readonly after?: string; readonly limit: number }) {
    return this.#open().read(({ sessions }) => sessions.list(query));
  }

  async appendEvents(batch: Uint8Array): Promise<void> {
    await this.#open().run({
      verb: "appendEvents",
      write: (entry) => entry.bytes(batch),
      apply: (state) => VERBS.appendEvents(state, batch),
    });
    for (const wake of this.#waiters) wake();
  }

  async readEvents(options: {
    readonly after?: string;
    readonly limit: number;
    readonly waitMs: Millis;
  }): Promise<EventPage> {
    const { after, limit, waitMs } = options;
    const store = this.#open();
    const read = () => store.read(({ events }) => events.read(after, limit));
    if (after === undefined || waitMs <= 0) return read();
    // Waited for from before the first look on, so that no batch slips through between.
    const appended = this.#eventAppended(waitMs);
    try {
      const page = await read();
      if (page.entries.length > 0 || page.gap) return page;
      await appended.happened;
      return this.#store === undefined ? page : await read();
    } finally {
      appended.forget();
    }
  }

  /** The next batch of events, the end of the waiting time, or the closing of the store. */
  #eventAppended(waitMs: Millis): { readonly happened: Promise<void>; forget(): void } {
    let forget = () => {};
    const happened = new Promise<void>((done) => {
      forget = () => {
        stop();
        this.#waiters.delete(forget);
        done();
      };
      const stop = this.#clock.after(waitMs, forget);
      this.#waiters.add(forget);
    });
    return { happened, forget };
  }

  async announceWatch(untilMs: Millis): Promise<void> {
    const now = this.#clock.now();
    await this.#run("announceWatch", [untilMs, now], (state) => VERBS.announceWatch(state, untilMs, now));
  }

  /** Runs a verb whose arguments are written down as JSON. */
  #run<Answer>(
    verb: Journaled,
    args: readonly unknown[],
    apply: (state: State) => Answer,
    changes?: (state: State) => boolean,
  ): Promise<Answer> {
    const write = (entry: EntryWriter) => entry.json(args);
    return this.#open().run(changes === undefined ? { verb, write, apply } : { verb, write, apply, changes });
  }

  #read<Answer>(name: TopicName, question: (place: Place) => Answer): Promise<Answer> {
    return this.#open().read(({ tables, topics }) => question({ tables, topic: topics.find(name) }));
  }
}
