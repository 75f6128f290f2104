/**
 * The broker: the use cases of producers, workers, watchers and operators over
 * one namespace of one store. Policy lives here and in the parts it is made of;
 * the gRPC services and the console only parse, call and convert.
 *
 * An instance holds everything it needs; nothing is global, so that a process
 * can host several namespaces.
 */
import { TaskqueueError } from "../domain/errors.js";
import type { SessionId, TaskId, TopicName } from "../domain/ids.js";
import { LIMITS } from "../domain/limits.js";
import type { TaskState } from "../domain/states.js";
import type { TaskRecord } from "../domain/task.js";
import type { TopicSettings, TopicStats } from "../domain/topic.js";
import type { Clock } from "../lib/clock.js";
import { pause, systemClock } from "../lib/clock.js";
import { type Log, silentLog } from "../lib/log.js";
import { random as systemRandom } from "../lib/random.js";
import { Turn } from "../lib/turn.js";
import type { ListQuery, MoveOutcome, Page, SessionRecord, Store, TopicTask, Wake } from "../store/store.js";
import { AttemptWatch } from "./attempt-watch.js";
import { CallsUnderWay } from "./calls-under-way.js";
import type { EngineContext } from "./context.js";
import { EnqueueRequest } from "./enqueue-request.js";
import { EventLog } from "./event-log.js";
import type { EventType } from "./events.js";
import { Heartbeats, LOOKS_PER_HEARTBEAT } from "./heartbeats.js";
import { Lane } from "./lane.js";
import { Loop } from "./loop.js";
import { NamespaceBounds } from "./namespace-bounds.js";
import { DEFAULT_ENGINE_OPTIONS, type EngineOptions } from "./options.js";
import { Promoter } from "./promoter.js";
import { Pruner } from "./pruner.js";
import { Reaper } from "./reaper.js";
import { Retries } from "./retries.js";
import { Scrubber, type ScrubPiece, type ScrubRequest, type TopicProblem } from "./scrubber.js";
import { SessionKeeper } from "./session-keeper.js";
import { SettingsCache } from "./settings-cache.js";
import { StatsReader, type StatsReport, type StatsRow } from "./stats-reader.js";
import { StoreMonitor } from "./store-monitor.js";
import { StraightWay } from "./straight-way.js";
import { TopicWalk } from "./topic-walk.js";
import { WatchHub } from "./watch-hub.js";
import type { Watcher, WatchFilter } from "./watcher.js";
import type { WorkerSession } from "./worker-session.js";
import { type EndReason, type WorkerHello, Workers } from "./workers.js";

/** How often the store is asked whether it is there. */
const PULSE_MS = 1_000;
/** How long a stopping broker waits for the store. */
const SETTLE_MS_MAX = 5_000;
/** Lanes nobody used for this long are forgotten. */
const LANE_IDLE_MS = 60_000;

/** How often a session is renewed in the store, per session timeout. */
const RENEWALS_PER_TIMEOUT = 3;

type Duty =
  | "pulse"
  | "keeper"
  | "heartbeats"
  | "reaper"
  | "promoter"
  | "pruner"
  | "attempts"
  | "sweep"
  | "bounds"
  | "scrubber";

export interface BrokerParts {
  readonly store: Store;
  readonly options?: Partial<EngineOptions>;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly random?: () => number;
  /** Called for each problem that a scrub finds. */
  readonly onScrubProblem?: (problem: TopicProblem) => void;
}

export type BrokerHealth = "starting" | "serving" | "store_away" | "draining" | "stopped";

export class Broker {
  readonly options: EngineOptions;
  readonly workers: Workers;
  readonly #straight: StraightWay;
  readonly #context: EngineContext;
  readonly #lanes = new Map<TopicName, Lane>();
  readonly #monitor: StoreMonitor;
  readonly #promoter: Promoter;
  readonly #pruner: Pruner;
  readonly #walk: TopicWalk;
  readonly #hub: WatchHub;
  readonly #stats: StatsReader;
  readonly #bounds: NamespaceBounds;
  readonly #scrubber: Scrubber;
  readonly #loops: Record<Duty, Loop>;
  readonly #healthListeners = new Set<(health: BrokerHealth) => void>();
  #phase: "starting" | "running" | "draining" | "stopped" = "starting";
  /** Of tasks that wait for the store. */
  #pendingBytes = 0;
  #unlisten: () => void = () => {};

  constructor(parts: BrokerParts) {
    const { store, clock = systemClock, log = silentLog, random = systemRandom } = parts;
    this.options = { ...DEFAULT_ENGINE_OPTIONS, ...parts.options };
    this.#monitor = new StoreMonitor({
      store,
      clock,
      log,
      sessionTimeoutMs: this.options.sessionTimeoutMs,
      graceMs: this.options.graceMs,
      onWatched: (untilMs) => this.#context.events.watchedUntil(untilMs),
      onChange: (available) => this.#storeChanged(available),
    });
    const now = () => this.#monitor.now();
    this.#context = {
      store,
      clock,
      log,
      random,
      turn: new Turn(clock),
      retries: new Retries(clock),
      options: this.options,
      now,
      events: new EventLog(store, {
        log,
        clock,
        always: this.options.events === "always",
        perSecond: this.options.eventsPerSecond,
        now,
      }),
      settings: new SettingsCache(store),
      attempts: new AttemptWatch(clock, now),
      straightCalls: new CallsUnderWay(),
    };
    const laneOf = (topic: TopicName) => this.#lane(topic);
    this.#straight = new StraightWay(this.#context, laneOf);
    this.workers = new Workers(this.#context, { straight: this.#straight, laneOf });
    this.#promoter = new Promoter(this.#context);
    this.#pruner = new Pruner(this.#context);
    this.#walk = new TopicWalk(this.#context, (row) => this.#walked(row));
    this.#hub = new WatchHub(this.#context);
    this.#stats = new StatsReader(this.#context);
    this.#bounds = new NamespaceBounds(this.#context, this.#stats);
    this.#scrubber = new Scrubber(this.#context, parts.onScrubProblem ?? (() => {}));
    this.#loops = this.#buildLoops();
    this.#promoter.onEarlier = (ms) => this.#loops.promoter.poke(ms);
    this.#context.attempts.onEarlier = (ms) => this.#loops.attempts.poke(ms);
  }

  #buildLoops() {
    const { clock, log, random } = this.#context;
    const { sessions } = this.workers;
    const keeper = new SessionKeeper(this.#context, sessions);
    const heartbeats = new Heartbeats(this.#context, sessions, (session) => this.workers.silent(session));
    const reaper = new Reaper(this.#context, () => this.#monitor.current);
    const { sessionTimeoutMs, heartbeatMs, sweepMs, scrubMs } = this.options;
    const loop = (name: string, intervalMs: number, tick: () => Promise<number | undefined>) =>
      new Loop({ name, clock, log, intervalMs, jitter: 0.2, random, tick });
    return {
      pulse: loop("pulse", PULSE_MS, async () => this.#monitor.tick().then(() => undefined)),
      keeper: loop("keeper", sessionTimeoutMs / RENEWALS_PER_TIMEOUT, () => keeper.tick()),
      heartbeats: loop("heartbeats", heartbeatMs / LOOKS_PER_HEARTBEAT, async () => heartbeats.tick()),
      reaper: loop("reaper", Math.min(1_000, this.options.graceMs), () => reaper.tick()),
      promoter: loop("promoter", sweepMs, () => this.#promoter.tick()),
      pruner: loop("pruner", sweepMs, () => this.#pruner.tick()),
      attempts: loop("attempts", sweepMs, async () => this.#context.attempts.tick()),
      sweep: loop("sweep", sweepMs, () => this.#sweep()),
      bounds: loop("bounds", PULSE_MS, () => this.#bounds.tick()),
      scrubber: loop("scrubber", scrubMs, () => this.#scrubber.tick()),
    };
  }

  // ── Life ───────────────────────────────────────────────────────────────────

  /** Takes up work. The store is open. */
  async start(): Promise<void> {
    await this.#monitor.tick();
    this.#unlisten = this.#context.store.listen((wake) => this.#woken(wake));
    this.#phase = "running";
    const { bounds, scrubber, ...duties } = this.#loops;
    for (const loop of Object.values(duties)) loop.start();
    if (this.#bounds.isOn) bounds.start();
    if (this.options.scrubMs > 0) scrubber.start(this.options.scrubMs);
    this.#tell("MANAGER_START");
    this.#healthChanged();
  }

  get health(): BrokerHealth {
    if (this.#phase !== "running") return this.#phase;
    return this.#monitor.available ? "serving" : "store_away";
  }

  /** Calls `listener` whenever the health changes. Returns how to stop. */
  onHealth(listener: (health: BrokerHealth) => void): () => void {
    this.#healthListeners.add(listener);
    return () => this.#healthListeners.delete(listener);
  }

  #healthChanged(): void {
    for (const listener of this.#healthListeners) listener(this.health);
  }

  #storeChanged(available: boolean): void {
    if (available) this.#storeIsBack();
    this.#healthChanged();
  }

  /**
   * What waits to be tried again is tried now: a report must not miss a short
   * time between two outages, or the store will have forgotten that it was
   * stored when the first one began.
   */
  #storeIsBack(): void {
    this.#context.retries.hurry();
    for (const lane of this.#lanes.values()) lane.wake();
  }

  /** Refuses new work and asks workers to move to another broker within `deadlineMs`. */
  drain(deadlineMs: number): void {
    if (this.#phase !== "running") return;
    this.#phase = "draining";
    this.#healthChanged();
    this.workers.drain(deadlineMs);
  }

  /** Ends what is left: streams, calls under way, loops. The store is left open. */
  async stop(): Promise<void> {
    if (this.#phase === "stopped") return;
    const wasStarted = this.#phase !== "starting";
    this.#phase = "draining";
    await this.workers.stop();
    if (this.#monitor.available) await this.#settleLanes();
    this.#context.retries.stop();
    this.#unlisten();
    this.#hub.stop();
    if (wasStarted) this.#tell("MANAGER_STOP");
    await this.#context.events.flush();
    await Promise.all(Object.values(this.#loops).map((loop) => loop.stop()));
    this.#phase = "stopped";
    this.#healthChanged();
  }

  /** Waits until nothing waits for the store, but not for a store that went away this moment. */
  async #settleLanes(): Promise<void> {
    const settled = new AbortController();
    const lanes = async () => {
      // What could not go straight comes to the lanes.
      await this.#straight.settle();
      await Promise.all([...this.#lanes.values()].map((lane) => lane.settle()));
    };
    await Promise.race([lanes(), pause(this.#context.clock, SETTLE_MS_MAX, settled.signal)]);
    settled.abort();
  }

  #tell(type: EventType): void {
    const { events } = this.#context;
    if (!events.offer(type, "", 1)?.admits("", "")) return;
    events.emit({ type, atMs: this.#context.now(), broker: this.options.broker });
  }

  // ── Producers ──────────────────────────────────────────────────────────────

  /** Milliseconds on the store's clock. */
  now(): number {
    return this.#context.now();
  }

  /**
   * Stores tasks, all or nothing per topic; resolves when they are kept, with
   * whether each is new. Rejects with NAMESPACE_FULL, TOPIC_FULL, STORE_FULL, STORE_UNAVAILABLE
   * or DRAINING; tasks of other topics in the same call may then be stored.
   */
  async enqueue(tasks: readonly TopicTask[]): Promise<readonly boolean[]> {
    this.#refuseWhileDraining();
    const first = tasks[0];
    if (first === undefined) return [];
    let bytes = 0;
    for (const { spec } of tasks) bytes += spec.length;
    if (this.#pendingBytes + bytes > LIMITS.pendingBytesMax) {
      throw new TaskqueueError("STORE_FULL", "too many bytes of tasks wait for the store", { retryDelayMs: 500 });
    }
    this.#bounds.admit(tasks);
    this.#pendingBytes += bytes;
    try {
      return await this.#enqueueAll(tasks);
    } finally {
      this.#pendingBytes -= bytes;
    }
  }

  #enqueueAll(tasks: readonly TopicTask[]): Promise<readonly boolean[]> {
    return new Promise((resolve, reject) => {
      this.#straight.enqueue(new EnqueueRequest(tasks, resolve, reject));
    });
  }

  #refuseWhileDraining(): void {
    if (this.#phase === "running") return;
    throw new TaskqueueError("DRAINING", "this broker is about to stop; another one may serve you", {
      retryDelayMs: 0,
    });
  }

  // ── Workers ────────────────────────────────────────────────────────────────

  attachWorker(hello: WorkerHello, onEnd: (reason: EndReason) => void): Promise<WorkerSession> {
    return this.workers.attach(hello, onEnd);
  }

  /** Extends a session from outside its stream. */
  async renewSession(id: SessionId, secret: string): Promise<{ readonly expiresInMs: number }> {
    const { store } = this.#context;
    for (const session of this.workers.sessions) {
      if (session.ref.id !== id || session.record.secret !== secret) continue;
      session.vouchedFor();
      const [outcome] = await store.renewSessions([session.ref], this.now() + this.options.sessionTimeoutMs);
      if (outcome === "renewed") return { expiresInMs: this.options.sessionTimeoutMs };
    }
    throw new TaskqueueError("SESSION_LOST", `session ${id} is not attached to this broker`);
  }

  // ── Watchers ───────────────────────────────────────────────────────────────

  watch(filter: WatchFilter, after: string): Promise<Watcher> {
    this.#refuseWhileDraining();
    return this.#hub.join(filter, after);
  }

  unwatch(watcher: Watcher): void {
    this.#hub.leave(watcher);
  }

  /** Events that watchers could not be told of, since the start. */
  get eventsDropped(): number {
    return this.#context.events.dropped;
  }

  stats(topic?: TopicName): Promise<StatsReport> {
    return this.#stats.read(topic);
  }

  // ── Operators ──────────────────────────────────────────────────────────────

  async getTask(topic: TopicName, id: TaskId): Promise<TaskRecord> {
    const [record] = await this.#context.store.get(topic, [id]);
    if (!record) throw new TaskqueueError("TASK_NOT_FOUND", `topic ${topic} has no task ${id}`);
    return record;
  }

  listTasks(topic: TopicName, query: ListQuery): Promise<Page<TaskRecord>> {
    return this.#context.store.list(topic, query);
  }

  async requeue(
    topic: TopicName,
    which: { readonly ids: readonly TaskId[] } | { readonly oldestDead: number },
  ): Promise<{ readonly ids: readonly TaskId[]; readonly outcomes: readonly MoveOutcome[]; readonly more: boolean }> {
    const answer = await this.#context.store.requeue(topic, which, { now: this.now() });
    this.#tellMoves("TASK_REQUEUE", topic, answer.ids, answer.outcomes);
    return answer;
  }

  async cancel(topic: TopicName, ids: readonly TaskId[]): Promise<readonly MoveOutcome[]> {
    const outcomes = await this.#context.store.cancel(topic, ids, {
      now: this.now(),
      endedWindowMs: this.options.endedWindowMs,
    });
    this.#pruner.note(topic);
    this.#tellMoves("TASK_CANCEL", topic, ids, outcomes);
    return outcomes;
  }

  async remove(topic: TopicName, ids: readonly TaskId[]): Promise<readonly MoveOutcome[]> {
    const outcomes = await this.#context.store.remove(topic, ids);
    this.#tellMoves("TASK_DELETE", topic, ids, outcomes);
    return outcomes;
  }

  purge(
    topic: TopicName,
    state: Exclude<TaskState, "leased">,
    limit: number,
  ): Promise<{ readonly deleted: number; readonly more: boolean }> {
    return this.#context.store.purge(topic, state, limit);
  }

  #tellMoves(type: EventType, topic: TopicName, ids: readonly TaskId[], outcomes: readonly MoveOutcome[]): void {
    const offer = this.#context.events.offer(type, topic, outcomes.length);
    if (offer === undefined) return;
    for (const [index, outcome] of outcomes.entries()) {
      const taskId = ids[index];
      if (outcome.kind !== "done" || taskId === undefined || !offer.admits(taskId, outcome.externalId)) continue;
      this.#context.events.emit({
        type,
        atMs: this.now(),
        broker: this.options.broker,
        topic,
        taskId,
        ...(outcome.externalId === "" ? {} : { externalId: outcome.externalId }),
      });
    }
  }

  async listTopics(query: { readonly after?: string; readonly limit: number }): Promise<Page<StatsRow>> {
    const page = await this.#context.store.topics(query);
    const rows = await this.#stats.rows(page.rows);
    return page.next === undefined ? { rows } : { rows, next: page.next };
  }

  listWorkers(query: { readonly after?: string; readonly limit: number }): Promise<Page<SessionRecord>> {
    return this.#context.store.sessions(query);
  }

  /** Proves a piece of what the store holds, and puts it right if asked to. */
  scrub(request: ScrubRequest): Promise<ScrubPiece> {
    return this.#scrubber.scrub(request);
  }

  /** Changes a topic's settings by `change`, from what they are now. */
  async configure(topic: TopicName, change: (settings: TopicSettings) => TopicSettings): Promise<TopicSettings> {
    const settings = change(await this.#context.settings.refresh(topic));
    await this.#context.store.configure(topic, settings);
    await this.#context.settings.refresh(topic);
    return settings;
  }

  // ── Wake-ups and the slow sweep ────────────────────────────────────────────

  #lane(topic: TopicName): Lane {
    let lane = this.#lanes.get(topic);
    if (!lane) {
      lane = new Lane(topic, this.#context, this.#pruner);
      this.#lanes.set(topic, lane);
    }
    return lane;
  }

  #woken(wake: Wake): void {
    switch (wake.kind) {
      case "ready":
        this.#lanes.get(wake.topic)?.wake();
        return;
      case "due":
        this.#promoter.note(wake.topic, wake.atMs);
        return;
      case "cancel":
        this.workers.cancel(wake.session, wake.topic, wake.token);
        return;
      case "settings":
        if (this.#context.settings.known(wake.topic)) {
          this.#background(this.#context.settings.refresh(wake.topic));
        }
        return;
      case "watch":
        this.#loops.pulse.poke();
        return;
      case "resync":
        this.#storeIsBack();
        for (const session of this.workers.sessions) void this.workers.recallCancels(session);
        this.#background(this.workers.compare());
        this.#background(this.#context.settings.refreshAll());
        this.#walk.restart();
        this.#loops.sweep.poke();
        return;
      default:
        wake satisfies never;
    }
  }

  #background(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#context.log.debug({ err: error }, "the store could not be asked"));
  }

  /** What the wake-ups may have missed: a piece of all topics, and the lanes at hand. */
  async #sweep(): Promise<undefined> {
    if (!this.#monitor.available) return;
    for (const [topic, lane] of this.#lanes) {
      if (lane.isIdle(LANE_IDLE_MS)) this.#lanes.delete(topic);
    }
    await this.#walk.step();
  }

  /** A topic the walk came by. */
  #walked({ topic, stats }: { topic: TopicName; stats: TopicStats }): void {
    if (stats.nextDueMs !== undefined) this.#promoter.note(topic, stats.nextDueMs);
    if (stats.completedKept + stats.cancelledKept > 0) this.#pruner.note(topic);
    if (stats.ready > 0) this.#lanes.get(topic)?.wake();
  }
}
