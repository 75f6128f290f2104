/**
 * One worker that is attached to this broker: the leases it holds, what it is
 * given for its credit, and what is to be told to it.
 *
 * States: *attached* until the stream ends, by `goodbye` (*leaving*, while its
 * leases are handed back) or by `lose`; then *ended*. An ended session accepts
 * nothing: leases that arrive for it are handed back uncharged.
 */
import assert from "node:assert";
import type { LeaseToken, TopicName } from "../domain/ids.js";
import { decideFailure, type FailureAdvice } from "../domain/retry.js";
import type { Progress } from "../domain/task.js";
import { pause } from "../lib/clock.js";
import { hashOfToken, Table } from "../lib/table.js";
import type { Demand, Leased, SessionRecord, SessionRef, Undelivered } from "../store/store.js";
import type { EngineContext } from "./context.js";
import { Credit, type TopicCredit } from "./credit.js";
import { type CancelReason, DELIVERED_BEFORE, type HeldLease, holdLease, wireTokenOf } from "./held-lease.js";
import type { Lane } from "./lane.js";
import { Outbox } from "./outbox.js";
import { SettleQueue, type UpdateReceipt } from "./settle-queue.js";
import type { StraightWay } from "./straight-way.js";

/** How long after a lost answer leases that came of it may still appear. */
const RECONCILE_AGAIN_MS = 5_000;

/** A worker's share of one topic. */
export interface SubscriptionState extends TopicCredit {
  readonly topic: TopicName;
  readonly holder: WorkerSession;
  readonly worker: string;
  readonly lane: Lane;
}

/** How tasks and reports go. */
export interface Ways {
  readonly straight: StraightWay;
  readonly laneOf: (topic: TopicName) => Lane;
}

/** A demand, and whose credit was set aside for it. */
export interface Grant extends Demand {
  readonly subscription: SubscriptionState;
}

/** Whom a lane tells that a report is stored. */
export interface ReportReceipt {
  /** The end of the attempt is stored (`held`), or the lease had been lost. */
  stored(lease: HeldLease, held: boolean): void;
  /** The attempt goes on (`held`), or the lease had been lost. */
  noted(lease: HeldLease, held: boolean): void;
  /** The broker stops without knowing whether the end of the attempt is stored. */
  abandoned(lease: HeldLease): void;
}

export interface CompletedReport {
  readonly token: string;
  readonly result?: Uint8Array;
}

export interface FailedReport extends FailureAdvice {
  readonly token: string;
  readonly error: string;
}

export interface ProgressReport {
  readonly token: string;
  readonly progress: Progress;
}

/** What a worker says in one message. */
export interface WorkerUpdate {
  readonly number: number;
  readonly received: number;
  readonly slots: number | undefined;
  readonly completed: readonly CompletedReport[];
  readonly failed: readonly FailedReport[];
  readonly released: readonly string[];
  readonly progress: readonly ProgressReport[];
  readonly renew: readonly string[];
}

export class WorkerSession implements ReportReceipt {
  readonly worker: string;
  readonly outbox: Outbox;
  readonly #context: EngineContext;
  readonly #record: SessionRecord;
  readonly #ref: SessionRef;
  readonly #subscriptions = new Map<TopicName, SubscriptionState>();
  readonly #credit: Credit<SubscriptionState>;
  /** Lanes in which leases are looked for that nobody knows of. */
  readonly #reconciling = new Map<Lane, { again: boolean }>();
  /** By wire token. */
  readonly #held = new Table<HeldLease>(hashOfToken);
  readonly #straight: StraightWay;
  readonly #settles: SettleQueue;
  readonly #onLost: () => void;
  #state: "attached" | "leaving" | "ended" = "attached";
  /** Asked to move to another broker: it is given nothing more here. */
  #draining = false;
  #received = 0;
  /** Whether tasks were not asked for because the stream could take no more. */
  #stalled = false;
  #heardAt: number;
  #askedAt: number | undefined;
  #whenEmpty: (() => void) | undefined;
  /** Aborts when the session leaves this broker. */
  readonly #over = new AbortController();

  constructor(
    context: EngineContext,
    record: SessionRecord,
    options: { readonly slots: number; readonly bytesMax: number; readonly onLost: () => void },
    ways: Ways,
  ) {
    this.#context = context;
    this.#straight = ways.straight;
    this.#record = record;
    this.#ref = { id: record.id, epoch: record.epoch };
    this.worker = record.worker;
    this.#credit = new Credit(options);
    this.#onLost = options.onLost;
    this.#heardAt = context.clock.monotonic();
    this.outbox = new Outbox((number, count) => this.#delivering(number, count));
    this.#settles = new SettleQueue((number) => this.outbox.settled(number));
    for (const { topic, concurrency, weight } of record.subscriptions) {
      this.#subscriptions.set(topic, {
        topic,
        holder: this,
        worker: record.worker,
        concurrency,
        weight,
        lane: ways.laneOf(topic),
        inFlight: 0,
        served: 0,
        taskBytes: undefined,
      });
    }
  }

  get ref(): SessionRef {
    return this.#ref;
  }

  get record(): SessionRecord {
    return this.#record;
  }

  get attached(): boolean {
    return this.#state === "attached";
  }

  /** On the monotonic clock, when the worker last gave a sign of life. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** On the monotonic clock, since when it has owed one; undefined while it owes none. */
  get askedAt(): number | undefined {
    return this.#askedAt;
  }

  get held(): readonly HeldLease[] {
    return this.#held.values();
  }

  get heldCount(): number {
    return this.#held.size;
  }

  /** Takes up leases that the session holds in the store: those of a resumed session. */
  adopt(topic: TopicName, leases: readonly Leased[]): void {
    const subscription = this.#subscriptions.get(topic);
    assert(subscription, "only the session's topics are adopted");
    for (const leased of leases) {
      const lease = holdLease(leased, subscription, subscription.lane.timeoutMs(leased.head), false);
      lease.spec = undefined;
      lease.delivery = DELIVERED_BEFORE;
      this.#credit.hold(lease.bytes);
      this.#hold(lease);
      subscription.inFlight++;
    }
  }

  /** Begins to take part in handing out. */
  start(): void {
    for (const subscription of this.#subscriptions.values()) {
      subscription.lane.subscribe(subscription);
      if (subscription.lane.hot) this.#credit.turned(subscription, true);
      // Whether tasks wait is unknown to a lane that nobody listened to.
      subscription.lane.wake();
    }
  }

  /** Asks the worker to move to another broker; what it holds, it reports here until then. */
  drain(deadlineMs: number): void {
    this.#draining = true;
    this.outbox.drain(deadlineMs);
  }

  // ── Credit ─────────────────────────────────────────────────────────────────

  /**
   * Sets credit aside for up to `limit` tasks of a topic; undefined when there is
   * none. `bytes` is what they take in all, if it is known: what a demand may take
   * at most, set aside for each of a thousand topics, would be more than there is.
   */
  grant(subscription: SubscriptionState, limit: number, bytes?: number): Grant | undefined {
    const count = Math.min(limit, this.#roomFor(subscription));
    if (count <= 0) return undefined;
    const bytesMax = this.#credit.bytesFor(subscription, count, bytes);
    this.#credit.take(subscription, count, bytesMax);
    return { subscription, session: this.#ref, limit: count, bytesMax };
  }

  /** Sets credit aside for one task of so many bytes, if there is any. */
  takeStraight(subscription: SubscriptionState, bytes: number): boolean {
    if (this.#roomFor(subscription) <= 0) return false;
    this.#credit.take(subscription, 1, bytes);
    return true;
  }

  #roomFor(subscription: SubscriptionState): number {
    if (this.#state !== "attached" || this.#draining) return 0;
    if (this.outbox.stalled) {
      this.#stalled = true;
      return 0;
    }
    return this.#credit.roomFor(subscription);
  }

  /** The stream takes a delivery. */
  #delivering(number: number, count: number): void {
    this.#credit.delivering(number, count);
    if (!this.#stalled) return;
    this.#stalled = false;
    this.#pumpAll();
  }

  /** A topic's lane turned hot or cold. */
  laneTurned(subscription: SubscriptionState, hot: boolean): void {
    this.#credit.turned(subscription, hot);
  }

  /** Gives back credit that a demand did not use; another topic may have a use for it. */
  refund({ subscription, limit, bytesMax }: Grant, unused = limit): void {
    this.#credit.giveBack(subscription, unused, bytesMax);
    this.#pumpAll();
  }

  /** Gives back what was set aside for one task. */
  refundStraight(subscription: SubscriptionState, bytes: number): void {
    this.#credit.giveBack(subscription, 1, bytes);
    this.#pumpAll();
  }

  /** Takes over `leased[from…to)`, the answer to a demand. */
  accept(grant: Grant, leased: readonly Leased[], from: number, to: number): void {
    this.refund(grant, grant.limit - (to - from));
    for (let index = from; index < to; index++) {
      const one = leased[index];
      assert(one);
      this.#acceptOne(grant.subscription, one, false);
    }
  }

  /** Takes over a task that went straight, for which `bytes` were set aside. */
  acceptStraight(subscription: SubscriptionState, leased: Leased, bytes: number): void {
    this.#credit.giveBack(subscription, 0, bytes);
    this.#acceptOne(subscription, leased, true);
  }

  #acceptOne(subscription: SubscriptionState, leased: Leased, straight: boolean): void {
    this.#credit.came(subscription, leased.bytes);
    const lease = holdLease(leased, subscription, subscription.lane.timeoutMs(leased.head), straight);
    this.#hold(lease);
    // The stream may have ended, or been asked to, while the store was asked.
    if (this.#state === "attached" && !this.#draining) this.outbox.lease(lease);
    else this.#handBack(lease);
  }

  #hold(lease: HeldLease): void {
    this.#held.set(lease.wireToken, lease);
    if (lease.timeoutMs > 0) this.#context.attempts.watch(this, lease);
  }

  holds(token: LeaseToken, topic: TopicName): boolean {
    return this.#held.has(wireTokenOf(token, topic));
  }

  #pumpAll(): void {
    if (this.#credit.isUsedUp) return;
    for (const subscription of this.#credit.hot) subscription.lane.pump();
  }

  // ── What the worker says ───────────────────────────────────────────────────

  heard(): void {
    this.#heardAt = this.#context.clock.monotonic();
    this.#askedAt = undefined;
  }

  /** Somebody else says that the worker lives: it has more time, but is asked all the same, as it wants to hear of us too. */
  vouchedFor(): void {
    if (this.#askedAt !== undefined) this.#askedAt = this.#context.clock.monotonic();
  }

  /** Asks for a sign of life. */
  ask(heartbeat: number): void {
    this.#askedAt = this.#context.clock.monotonic();
    this.outbox.heartbeat(heartbeat);
  }

  update(update: WorkerUpdate): void {
    this.heard();
    if (this.#state !== "attached") return;
    const receipt = this.#settles.open(update.number);
    for (const { token, result } of update.completed) {
      const lease = this.#takeReported(token);
      if (!lease) continue;
      if (result !== undefined && lease.head.retentionMs > 0) lease.result = result;
      this.#complete(lease, this.#track(receipt));
    }
    for (const report of update.failed) this.#fail(report, receipt);
    for (const token of update.released) {
      const lease = this.#takeReported(token);
      if (lease) lease.subscription.lane.reports.release(lease, this.#track(receipt));
    }
    for (const { token, progress } of update.progress) this.#note(token, progress, receipt);
    for (const token of update.renew) this.#note(token, undefined, receipt);
    this.#settles.close(receipt);
    this.#advertised(update.received, update.slots);
  }

  #complete(lease: HeldLease, receipt: ReportReceipt): void {
    const { lane } = lease.subscription;
    // With a hot lane's completions travel its demands.
    if (lease.straight && !lane.hot) this.#straight.complete(lease, receipt);
    else lane.complete(lease, receipt);
  }

  /** The lease that a report is about; undefined, and the worker is told, when it is lost. */
  #takeReported(token: string): HeldLease | undefined {
    const lease = this.#held.get(token);
    if (!lease || lease.reported) {
      this.outbox.lost(token);
      return undefined;
    }
    this.#end(lease);
    return lease;
  }

  /** The attempt is over: its room is free from now on, whatever the store says. */
  #end(lease: HeldLease): void {
    lease.reported = true;
    this.#credit.free(lease.subscription, lease.bytes);
    if (lease.timeoutMs > 0 || lease.stop) this.#context.attempts.forget(lease);
  }

  #fail(report: FailedReport, receipt: UpdateReceipt): void {
    const lease = this.#takeReported(report.token);
    if (lease) this.failLease(lease, report.error, report, this.#track(receipt));
  }

  /** Decides about a failed attempt and sends the decision to the store. */
  failLease(lease: HeldLease, error: string, advice: FailureAdvice, receipt: ReportReceipt = this): void {
    const { settings, random } = this.#context;
    const policy = settings.retryPolicy(lease.topic, lease.head);
    const decision = decideFailure(policy, lease.failures + 1, advice, random());
    const next =
      decision.kind === "retry"
        ? { kind: "retry" as const, dueAtMs: this.#context.now() + decision.delayMs }
        : { kind: "bury" as const, reason: decision.reason };
    lease.subscription.lane.reports.fail(lease, { error, next }, receipt);
  }

  #note(token: string, progress: Progress | undefined, receipt: UpdateReceipt): void {
    const lease = this.#held.get(token);
    if (lease && !lease.reported) lease.subscription.lane.reports.note(lease, progress, this.#track(receipt));
    else this.outbox.lost(token);
  }

  #track(receipt: UpdateReceipt): ReportReceipt {
    receipt.pending++;
    return receipt.bind(this);
  }

  #advertised(received: number, slots: number | undefined): void {
    this.#received = Math.max(this.#received, received);
    if (slots !== undefined) this.#credit.advertised(slots, received);
    this.#pumpAll();
  }

  // ── What the store says ────────────────────────────────────────────────────

  stored(lease: HeldLease, held: boolean): void {
    this.#drop(lease);
    if (!held) this.outbox.lost(lease.wireToken);
  }

  noted(lease: HeldLease, held: boolean): void {
    // One that was reported meanwhile is told of by its report.
    if (!held && !lease.reported) this.#loseLease(lease);
  }

  abandoned(lease: HeldLease): void {
    this.#drop(lease);
  }

  /** A lease ended without the worker's doing: it is told so. */
  #loseLease(lease: HeldLease): void {
    if (!lease.reported) this.#end(lease);
    this.#drop(lease);
    this.outbox.lost(lease.wireToken);
    this.#pumpAll();
  }

  #drop(lease: HeldLease): void {
    this.#held.delete(lease.wireToken);
    if (this.#held.size === 0) this.#whenEmpty?.();
  }

  /** The store knows nothing of this session at this epoch: it expired, or moved to another broker. */
  sessionLost(): void {
    if (this.#state === "attached") this.#onLost();
  }

  /**
   * Leases may exist that nobody here knows of. Looks once now and once later: a
   * call that timed out on a store that stood still may take effect when the
   * store goes on. However many calls fail meanwhile, one round is under way,
   * and one more comes after it.
   */
  async reconcile(lane: Lane): Promise<void> {
    if (this.#state !== "attached") return;
    const underWay = this.#reconciling.get(lane);
    if (underWay) {
      underWay.again = true;
      return;
    }
    const round = { again: true };
    this.#reconciling.set(lane, round);
    while (round.again && this.#state === "attached") {
      round.again = false;
      await lane.releaseUnknown(this);
      await pause(this.#context.clock, RECONCILE_AGAIN_MS, this.#over.signal);
      if (this.#state === "attached") await lane.releaseUnknown(this);
    }
    this.#reconciling.delete(lane);
  }

  /** The store may have lost writes: compares all leases with it. */
  async compare(): Promise<void> {
    for (const { lane } of this.#subscriptions.values()) {
      if (this.#state === "attached") await lane.releaseUnknown(this);
    }
  }

  /** Leases of a topic that the stream has taken, and whose end is not reported. */
  delivered(topic: TopicName): HeldLease[] {
    return this.#held.values().filter((lease) => lease.topic === topic && lease.delivery !== 0 && !lease.reported);
  }

  /** The store does not know the lease. */
  forgotten(lease: HeldLease): void {
    if (!lease.reported && this.#held.get(lease.wireToken) === lease) this.#loseLease(lease);
  }

  // ── Stopping attempts ──────────────────────────────────────────────────────

  /** Tells the worker to stop an attempt; after the grace its lease ends in any case. */
  stopAttempt(lease: HeldLease, reason: CancelReason): void {
    if (lease.reported || lease.stop) return;
    const { clock, options } = this.#context;
    lease.stop = { reason, deadline: clock.monotonic() + options.cancelGraceMs };
    this.outbox.cancel(lease.wireToken, reason);
    this.#context.attempts.watch(this, lease);
  }

  cancel(token: LeaseToken, topic: TopicName): void {
    const lease = this.#held.get(wireTokenOf(token, topic));
    if (lease) this.stopAttempt(lease, "cancelled");
  }

  /** The worker did not stop in time: ends its lease. */
  endAttempt(lease: HeldLease): void {
    if (lease.reported || !lease.stop) return;
    this.#end(lease);
    this.outbox.lost(lease.wireToken);
    const drop = () => this.#drop(lease);
    const quietly: ReportReceipt = { stored: drop, noted: () => {}, abandoned: drop };
    // What a worker never got, it cannot have failed.
    if (lease.stop.reason === "cancelled" || !this.#wasReceived(lease))
      lease.subscription.lane.reports.release(lease, quietly);
    else this.failLease(lease, `the attempt took longer than its timeout of ${lease.timeoutMs} ms`, {}, quietly);
    this.#pumpAll();
  }

  /** Whether the worker said that it has got the task. */
  #wasReceived(lease: HeldLease): boolean {
    return lease.delivery !== 0 && lease.delivery <= this.#received;
  }

  // ── End ────────────────────────────────────────────────────────────────────

  /** The worker leaves: hands back what it still holds. Resolves when that is stored. */
  async goodbye(): Promise<void> {
    if (this.#state !== "attached") return;
    this.#leave("leaving");
    for (const lease of this.#held.values()) if (!lease.reported) this.#handBack(lease);
    if (this.#held.size > 0) await new Promise<void>((resolve) => (this.#whenEmpty = resolve));
    this.#state = "ended";
  }

  /** The stream is lost. Tells which leases were still on their way. */
  lose(): readonly Undelivered[] {
    if (this.#state !== "attached") return [];
    this.#leave("ended");
    const byTopic = new Map<TopicName, LeaseToken[]>();
    for (const lease of this.#held.values()) {
      if (lease.reported || this.#wasReceived(lease)) continue;
      const tokens = byTopic.get(lease.topic);
      if (tokens) tokens.push(lease.token);
      else byTopic.set(lease.topic, [lease.token]);
    }
    return [...byTopic].map(([topic, tokens]) => ({ topic, tokens }));
  }

  #leave(state: "leaving" | "ended"): void {
    this.#state = state;
    this.#over.abort();
    for (const subscription of this.#subscriptions.values()) subscription.lane.unsubscribe(subscription);
    for (const lease of this.#held.values()) this.#context.attempts.forget(lease);
  }

  #handBack(lease: HeldLease): void {
    this.#end(lease);
    lease.subscription.lane.reports.release(lease, this);
  }
}
