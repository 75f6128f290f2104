/**
 * Runs the cases of one verb against every store of STORES.
 *
 * A case is a sentence and a body that gets a Fixture: an open store in a fresh
 * namespace, one open session, and a clock that only the test moves. After the
 * body the suite takes a full picture of the store and checks that its figures
 * add up, whatever the case was about.
 *
 * known-failures.txt lists what a store cannot do yet, one `store: verb: title`
 * a line. A listed case that passes fails, and so does a line without a case.
 */
import assert from "node:assert";
import { readFileSync } from "node:fs";
import { describe, test } from "vitest";
import type { SessionId, TaskId, TopicName } from "../../server/domain/ids.js";
import { DEFAULTS } from "../../server/domain/limits.js";
import type { TaskState } from "../../server/domain/states.js";
import type { TaskRecord } from "../../server/domain/task.js";
import type { TopicStats } from "../../server/domain/topic.js";
import type {
  CompleteOutcome,
  Demand,
  EnqueueAnswer,
  LeaseAnswer,
  Leased,
  LeaseRef,
  NewSession,
  NewTask,
  SessionRef,
  Store,
  Wake,
} from "../../server/store/store.js";
import { allPages, assertConsistent, plain, takeSnapshot } from "../support/snapshot.js";
import { NOW, newSession, newTask, type TaskOverrides, taskId, topicName } from "../support/task-factory.js";
import { until } from "../support/until.js";
import { STORES } from "./stores.js";

export const TOPIC = topicName("clicks");
const UNBOUNDED = Number.MAX_SAFE_INTEGER;

export function conformance(verb: string, cases: Record<string, (f: Fixture) => Promise<void>>): void {
  const known = knownFailures(verb);
  for (const [name, open] of Object.entries(STORES)) {
    describe(`${verb} (${name})`, () => {
      for (const [title, body] of Object.entries(cases)) {
        const run = known.delete(`${name}: ${verb}: ${title}`) ? test.fails : test;
        run(title, async () => {
          const { store, where, nodes, dispose } = await open();
          let passed = false;
          try {
            const fixture = new Fixture(store, nodes);
            await fixture.begin();
            await body(fixture);
            if (!fixture.closed) assertConsistent(await takeSnapshot(store, [TOPIC]));
            passed = true;
          } catch (error) {
            if (error instanceof Error && name !== "model") error.message += `\n(${name}: ${where})`;
            throw error;
          } finally {
            await dispose(passed);
          }
        });
      }
    });
  }
  for (const line of known) {
    const listed = Object.keys(STORES).some((name) => line.startsWith(`${name}: `));
    if (listed) test(`known-failures.txt: ${line}`, () => assert.fail("there is no such case"));
  }
}

function knownFailures(verb: string): Set<string> {
  const lines = readFileSync(new URL("known-failures.txt", import.meta.url), "utf8").split("\n");
  return new Set(lines.filter((line) => !line.startsWith("#") && line.split(": ")[1] === verb));
}

/** What a case works with: the store, and short forms of its verbs with everything valid. */
export class Fixture {
  readonly store: Store;
  readonly topic = TOPIC;
  /** The session of `lease` unless another one is named; open on `topic`. */
  readonly worker: SessionRef = { id: newSession("worker-1", []).id, epoch: 1 };
  /** Milliseconds; moved by `advance` only. */
  now = NOW;
  readonly endedWindowMs = DEFAULTS.endedWindowMs;
  closed = false;
  /** Whether the store lets no task go straight. */
  readonly #markers: readonly string[];
  #marked = 0;

  constructor(store: Store, nodes: number) {
    this.store = store;
    this.#markers = Array.from({ length: markersFor(nodes) }, (_, index) => `marker-${index}`);
  }

  async begin(): Promise<void> {
    await this.store.openSession(newSession(this.worker.id, [TOPIC]));
  }

  /** Closes the store before the case ends. */
  async close(): Promise<void> {
    this.closed = true;
    await this.store.close();
  }

  advance(ms: number): void {
    this.now += ms;
  }

  /** Options of every verb that may end a task. */
  get ending() {
    return { now: this.now, endedWindowMs: this.endedWindowMs };
  }

  /** Options of `enqueue`, without bounds. */
  get enqueuing() {
    return { ...this.ending, tasksMax: 0, bytesMax: 0 };
  }

  /** Opens another session. */
  async open(
    id: string,
    topics: readonly TopicName[] = [TOPIC],
    overrides: Partial<NewSession> = {},
  ): Promise<SessionRef> {
    const session = newSession(id, topics, overrides);
    await this.store.openSession(session);
    return { id: session.id, epoch: 1 };
  }

  demand(limit: number, session: SessionRef = this.worker, bytesMax = UNBOUNDED): Demand {
    return { session, limit, bytesMax };
  }

  /** Enqueues tasks and expects them to be accepted. */
  async enqueue(tasks: readonly NewTask[], topic = TOPIC) {
    return enqueued(await this.store.enqueue(topic, tasks, this.enqueuing));
  }

  /** Enqueues one task. */
  async add(id: string, overrides?: TaskOverrides): Promise<void> {
    await this.enqueue([newTask(id, overrides)]);
  }

  async lease(limit = 1, session = this.worker, topic = TOPIC): Promise<readonly Leased[]> {
    return (await this.store.lease(topic, [this.demand(limit, session)], { now: this.now })).leased;
  }

  /** Leases the next task, which there must be. */
  async leaseOne(session = this.worker): Promise<Leased> {
    const [leased] = await this.lease(1, session);
    assert(leased !== undefined, "no task was ready");
    return leased;
  }

  /** Enqueues a task and leases the next one. */
  async leased(id: string, overrides?: TaskOverrides): Promise<Leased> {
    await this.add(id, overrides);
    return this.leaseOne();
  }

  async complete(...leases: readonly LeaseRef[]): Promise<readonly CompleteOutcome[]> {
    return (await this.store.complete(TOPIC, leases, this.ending)).outcomes;
  }

  /** Fails a lease for good. */
  async bury(lease: LeaseRef, error = "it broke") {
    const next = { kind: "bury", reason: "retries_exhausted" } as const;
    return (await this.store.fail(TOPIC, [{ ...refOf(lease), error, next }], this.ending))[0];
  }

  /** Fails a lease; it is due again after `delayMs`. */
  async retry(lease: LeaseRef, delayMs = 1000, error = "it broke") {
    const next = { kind: "retry", dueAtMs: this.now + delayMs } as const;
    return (await this.store.fail(TOPIC, [{ ...refOf(lease), error, next }], this.ending))[0];
  }

  async release(...leases: readonly LeaseRef[]) {
    return this.store.release(TOPIC, leases.map(refOf), this.ending);
  }

  async cancel(...ids: readonly string[]) {
    return this.store.cancel(TOPIC, ids.map(taskId), this.ending);
  }

  async remove(...ids: readonly string[]) {
    return this.store.remove(TOPIC, ids.map(taskId));
  }

  async requeue(...ids: readonly string[]) {
    return this.store.requeue(TOPIC, { ids: ids.map(taskId) }, { now: this.now });
  }

  /** Ends the hold of a session on the topic, as a reaper does. */
  async expire(session: SessionId, options: Partial<Parameters<Store["expire"]>[2]> = {}) {
    return this.store.expire(TOPIC, session, {
      ...this.ending,
      charge: "lost",
      undelivered: [],
      lostLeasesMax: 3,
      error: "the worker died",
      limit: 1000,
      ...options,
    });
  }

  /** The record of a task, comparable (see `plain`); undefined when there is none. */
  async get(id: string, topic = TOPIC): Promise<Readonly<Record<string, unknown>> | undefined> {
    const [record] = await this.store.get(topic, [taskId(id)]);
    return record === undefined ? undefined : { ...record, ...asObject(plain(record)) };
  }

  async state(id: string): Promise<TaskState | undefined> {
    return (await this.store.get(TOPIC, [taskId(id)]))[0]?.state;
  }

  /** Ids of all tasks in a state, in the order of `list`. */
  async ids(state: TaskState, limit?: number): Promise<TaskId[]> {
    return (await this.all(state, limit)).map((task) => task.id);
  }

  async all(state: TaskState, limit?: number): Promise<TaskRecord[]> {
    return allPages((query) => this.store.list(TOPIC, { ...query, state }), limit);
  }

  async stats(topic = TOPIC): Promise<TopicStats> {
    const [row] = await this.store.describe([topic]);
    assert(row !== undefined);
    return row.stats;
  }

  /** A comparable picture of everything. */
  async picture(): Promise<unknown> {
    return plain(await takeSnapshot(this.store, [TOPIC]));
  }

  /** Runs `act` and expects that nothing can be seen to have changed. */
  async unchanged<Answer>(act: () => Promise<Answer>): Promise<Answer> {
    const before = await this.picture();
    const answer = await act();
    assert.deepEqual(await this.picture(), before);
    return answer;
  }

  /**
   * The wakes that `act` causes, in their order. Before and after it come
   * markers, `settings` messages of other topics: messages of one node follow
   * their changes in order, so whatever was to come has come when the last marker
   * of each node is there. Each time they are others, as one that was set twice may
   * come again after it was seen.
   */
  async wakes(act: () => Promise<unknown>): Promise<Wake[]> {
    const received: Wake[] = [];
    this.#marked += 1;
    const stop = this.store.listen((wake) => received.push(wake));
    const mark = (moment: "before" | "after") => {
      const topics = this.#markers.map((marker) => topicName(`${marker}-${moment}-${this.#marked}`));
      return until(`the store tells of the markers ${moment} the act`, async () => {
        await Promise.all(topics.map((topic) => this.store.configure(topic, { paused: false })));
        return topics.every((topic) => received.some((wake) => wake.kind === "settings" && wake.topic === topic));
      });
    };
    await mark("before");
    const before = received.length;
    await act();
    await mark("after");
    stop();
    return received.slice(before).filter((wake) => wake.kind !== "settings" || !wake.topic.startsWith("marker-"));
  }
}

/** So many topics that each node has some of them: which those are is for the cluster to say. */
function markersFor(nodes: number): number {
  return nodes === 1 ? 1 : 8 * nodes;
}

export function enqueued(answer: EnqueueAnswer): { readonly created: readonly boolean[] } & LeaseAnswer {
  assert(answer.kind === "enqueued", `refused: ${JSON.stringify(answer)}`);
  return answer;
}

/** Only what names a lease, so that nothing else of a `Leased` travels into a call. */
export function refOf({ id, session, token }: LeaseRef): LeaseRef {
  return { id, session, token };
}

export const idsOf = (rows: readonly { readonly id: TaskId }[]): TaskId[] => rows.map((row) => row.id);

function asObject(value: unknown): object {
  assert(typeof value === "object" && value !== null);
  return value;
}
