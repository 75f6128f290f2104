/**
 * A broker's engine and workers attached to it, without gRPC: for tests on a
 * manual clock. A LeaseStream does what the service and a worker at the other
 * end of its stream do, one step at a time and only when told to.
 */
import assert from "node:assert";
import { Broker } from "../../server/engine/broker.js";
import type { EngineOptions } from "../../server/engine/options.js";
import type { Delivery } from "../../server/engine/outbox.js";
import type { WorkerSession, WorkerUpdate } from "../../server/engine/worker-session.js";
import type { EndReason, WorkerHello } from "../../server/engine/workers.js";
import type { Log } from "../../server/lib/log.js";
import type { Store, Subscription } from "../../server/store/store.js";
import { ModelStore } from "../differential/model.js";
import { ManualClock, settle } from "./clock.js";
import { RiggedStore } from "./rigged-store.js";
import { newTask, type TaskOverrides, topicName } from "./task-factory.js";

export const TOPIC = topicName("clicks");

export interface EngineParts {
  readonly clock?: ManualClock;
  /** What keeps the tasks; default a fresh model. */
  readonly backend?: Store;
  readonly options?: Partial<EngineOptions>;
  readonly random?: () => number;
}

/** A broker that has started, its store on strings and its clock. */
export class TestEngine {
  readonly clock: ManualClock;
  readonly backend: Store;
  readonly rig: RiggedStore;
  readonly broker: Broker;
  /** What was logged as an error or a warning. */
  readonly complaints: string[] = [];

  private constructor({ clock = new ManualClock(), backend = new ModelStore(), options, random }: EngineParts) {
    this.clock = clock;
    this.backend = backend;
    this.rig = new RiggedStore(backend, clock);
    const complain = (_fields: object, message: string) => this.complaints.push(message);
    const log: Log = { debug() {}, info() {}, warn: complain, error: complain };
    this.broker = new Broker({
      store: this.rig.store,
      clock,
      log,
      random: random ?? (() => 0.5),
      options: { broker: "broker-1", ...options },
    });
  }

  static async start(parts: EngineParts = {}): Promise<TestEngine> {
    const engine = new TestEngine(parts);
    await engine.broker.start();
    await engine.clock.advance(0);
    return engine;
  }

  /** Another broker over the same store and clock. */
  another(options: Partial<EngineOptions> = {}): Promise<TestEngine> {
    return TestEngine.start({
      clock: this.clock,
      backend: this.backend,
      options: { ...this.broker.options, broker: "broker-2", ...options },
    });
  }

  /** Enqueues one task per id. */
  async enqueue(ids: readonly string[], overrides: TaskOverrides = {}, topic = TOPIC): Promise<readonly boolean[]> {
    const enqueuedAtMs = this.broker.now();
    return this.broker.enqueue(ids.map((id) => ({ ...newTask(id, { enqueuedAtMs, ...overrides }), topic })));
  }

  async attach(hello: Partial<WorkerHello> = {}): Promise<LeaseStream> {
    return LeaseStream.open(this, hello);
  }

  /** The record of a task; undefined when there is none. */
  async task(id: string, topic = TOPIC) {
    return (await this.backend.get(topic, [newTask(id).id]))[0];
  }

  async stats(topic = TOPIC) {
    const [row] = await this.backend.describe([topic]);
    assert(row !== undefined);
    return row.stats;
  }

  async stop(): Promise<void> {
    const stopped = this.broker.stop();
    await this.clock.advance(0);
    await stopped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.rig.comeBack();
    await this.stop();
  }
}

/** A task as the worker at the other end has it. */
export interface HeldTask {
  readonly id: string;
  readonly token: string;
  readonly attempt: number;
  readonly delivery: number;
  readonly bytes: number;
  readonly topic: string;
}

const NOTHING: WorkerUpdate = {
  number: 0,
  received: 0,
  slots: undefined,
  completed: [],
  failed: [],
  released: [],
  progress: [],
  renew: [],
};

export class LeaseStream {
  readonly engine: TestEngine;
  readonly session: WorkerSession;
  /** Tasks in the worker's hands, in order of delivery. */
  readonly held = new Map<string, HeldTask>();
  /** Ids of all tasks ever delivered, in order. */
  readonly delivered: string[] = [];
  readonly settled: number[] = [];
  readonly lost: string[] = [];
  readonly cancels: { readonly token: string; readonly reason: string }[] = [];
  readonly drains: number[] = [];
  readonly heartbeats: number[] = [];
  /** The number of the latest delivery. */
  delivery = 0;
  /** Why the broker ended the stream. */
  ended: EndReason | undefined;
  #number = 0;

  private constructor(engine: TestEngine, session: WorkerSession) {
    this.engine = engine;
    this.session = session;
  }

  static async open(engine: TestEngine, hello: Partial<WorkerHello>): Promise<LeaseStream> {
    let ended: EndReason | undefined;
    let stream: LeaseStream | undefined;
    const session = await engine.broker.attachWorker(
      {
        worker: "worker-1",
        sdk: "test/1.0",
        address: "127.0.0.1:50312",
        subscriptions: [subscription(TOPIC)],
        slots: 10,
        bytesMax: 64 * 1024 * 1024,
        resume: undefined,
        ...hello,
      },
      (reason) => {
        ended = reason;
        if (stream) stream.ended = reason;
      },
    );
    stream = new LeaseStream(engine, session);
    stream.ended = ended;
    return stream;
  }

  /** Lets the engine come to rest, reading whatever it has to tell. */
  async read(): Promise<this> {
    for (let quiet = 0; quiet < 3; ) {
      await settle(4);
      const delivery = this.session.outbox.take();
      if (delivery === undefined) quiet += 1;
      else this.#receive(delivery);
    }
    return this;
  }

  #receive(delivery: Delivery): void {
    if (delivery.number > 0) this.delivery = delivery.number;
    for (const lease of delivery.leased) {
      const attempt = lease.failures + lease.lostLeases + 1;
      const { id, wireToken: token, bytes, topic } = lease;
      this.held.set(token, { id, token, attempt, delivery: delivery.number, bytes, topic });
      this.delivered.push(id);
    }
    if (delivery.settled > 0) this.settled.push(delivery.settled);
    this.lost.push(...delivery.lost);
    for (const token of delivery.lost) this.held.delete(token);
    this.cancels.push(...delivery.cancels);
    if (delivery.drainMs !== undefined) this.drains.push(delivery.drainMs);
    if (delivery.heartbeat > 0) this.heartbeats.push(delivery.heartbeat);
  }

  /** The one task held with that id. */
  task(id: string): HeldTask {
    for (const task of this.held.values()) if (task.id === id) return task;
    return assert.fail(`the worker does not hold ${id}`);
  }

  /** Says something without a number: credit, receipts, a sign of life. */
  say(update: Partial<WorkerUpdate> = {}): void {
    this.session.update({ ...NOTHING, ...update });
  }

  /** Says that everything delivered was received, and gives credit for `slots` more. */
  credit(slots: number): void {
    this.say({ received: this.delivery, slots });
  }

  /** Reports in the next numbered update, and returns its number. What was reported is held no more. */
  report(update: Partial<WorkerUpdate>): number {
    this.#number += 1;
    this.session.update({ ...NOTHING, received: this.delivery, ...update, number: this.#number });
    const ended = [...(update.completed ?? []), ...(update.failed ?? [])].map(({ token }) => token);
    for (const token of [...ended, ...(update.released ?? [])]) this.held.delete(token);
    return this.#number;
  }

  complete(...ids: readonly string[]): number {
    return this.report({ completed: ids.map((id) => ({ token: this.task(id).token })) });
  }

  fail(id: string, advice: { readonly retryDelayMs?: number; readonly doNotRetry?: boolean } = {}): number {
    return this.report({ failed: [{ token: this.task(id).token, error: `${id} broke`, ...advice }] });
  }

  release(...ids: readonly string[]): number {
    return this.report({ released: ids.map((id) => this.task(id).token) });
  }

  /** The connection breaks. */
  async lose(): Promise<void> {
    await this.engine.broker.workers.lose(this.session);
  }

  async goodbye(): Promise<void> {
    await this.engine.broker.workers.goodbye(this.session);
  }

  /** Comes back with what it holds, here or on another broker. */
  async resume(on: TestEngine = this.engine, hello: Partial<WorkerHello> = {}): Promise<LeaseStream> {
    const { id, secret } = this.session.record;
    const tokens = [...this.held.keys()];
    const stream = await on.attach({ resume: { id, secret, tokens }, ...hello });
    for (const [token, task] of this.held) stream.held.set(token, task);
    return stream;
  }
}

export function subscription(topic = TOPIC, { concurrency = 0, weight = 1 } = {}): Subscription {
  return { topic, concurrency, weight };
}
