/**
 * Everything that one broker does in one topic goes through the topic's lane:
 * it gathers enqueues, completions and demands into few large store calls, and
 * knows whether the topic is worth asking for tasks.
 *
 * A lane is *hot* while it believes that the input queue holds tasks. It asks
 * for tasks only while it is hot and a local worker has credit. It turns hot by
 * a wake-up or an answer that left tasks behind, and cold by an answer that
 * left none, unless a wake-up came in since the question was asked: that is
 * what keeps a task from being forgotten between an answer and a wake-up that
 * overtake each other.
 */
import { TaskqueueError } from "../domain/errors.js";
import type { TopicName } from "../domain/ids.js";
import { LIMITS } from "../domain/limits.js";
import { isPlain, type Millis, type TaskHead } from "../domain/task.js";
import type { EnqueueAnswer, LeaseAnswer, LeaseRef, NewTask } from "../store/store.js";
import { Batcher, WEIGHT_SHARED } from "./batcher.js";
import { CallsUnderWay } from "./calls-under-way.js";
import type { EngineContext } from "./context.js";
import type { HeldLease } from "./held-lease.js";
import * as tell from "./lane-events.js";
import { abandon, LaneReports, type Report, reportBatcher, untilStored } from "./lane-reports.js";
import { NOTED_AGAIN_MS, type Pruner } from "./pruner.js";
import type { KnownSettings } from "./settings-cache.js";
import { StraightOrder } from "./straight-order.js";
import type { Grant, ReportReceipt, SubscriptionState, WorkerSession } from "./worker-session.js";

/** Leasing that failed is tried again so much later. */
const LEASE_RETRY_MS = 100;

/** So many bytes count like a task when calls are filled: a full one carries about 4 MiB. */
const BYTES_PER_WEIGHT = 4_096;
/** What a record holds beside the task's spec and external id takes less than this. */
const RECORD_LINE_BYTES = 256;
/** Or so many enqueue requests: a unary call costs the broker as much as a dozen tasks that come in one request, and its client twice that. */
export const REQUESTS_SHARED = 16;
/** How long a topic's tasks go through its lane after the store declined one, and after it declined again and again. */
const DECLINED_MS_MIN = 100;
const DECLINED_MS_MAX = 10_000;
/** Bytes that the demands of one call may add up to. */
const DEMANDS_BYTES_MAX = 64 * 1024 * 1024;

/** Whom a lane tells what became of tasks. */
export interface EnqueueReceipt {
  /** They are kept; `created` tells whether each is new. */
  stored(created: readonly boolean[]): void;
  /** With what the producer should be told. */
  refused(error: unknown): void;
}

/** Tasks of this topic that were enqueued in one go. */
interface Arrival {
  readonly tasks: readonly NewTask[];
  readonly receipt: EnqueueReceipt;
}

interface PendingEnqueue extends Arrival {
  readonly bytes: number;
}

const NO_GRANTS: readonly Grant[] = [];

export class Lane {
  readonly topic: TopicName;
  /** For whatever workers report but completions, with which demands travel. */
  readonly reports: LaneReports;
  readonly #context: EngineContext;
  readonly #settings: KnownSettings;
  readonly #pruner: Pruner;
  readonly #subscriptions: SubscriptionState[] = [];
  #turn = 0;
  /** The latest batch of straight tasks, and whose turn it was. */
  #batch = 0;
  #turnOfBatch = 0;
  /** On the monotonic clock: until then the store likely declines what would go straight. */
  #declinesUntil: number | undefined;
  /** For how long that was last taken to be so; 0 since a task went straight. */
  #declinedMs = 0;
  readonly #straight = new StraightOrder<Arrival>();
  #hot = false;
  #wakes = 0;
  #leaseCalls = 0;
  #pumpScheduled = false;
  /** Calls with demands, by the credit that was taken for them, whose answers have not been dealt with. */
  readonly #asking = new CallsUnderWay();
  #lastUsed: number;
  /** When it was last noted that tasks ended. */
  #endedAtMs = 0;

  // Made when they are first needed: there may be tens of thousands of lanes, with tasks that all go straight.
  #enqueues: Batcher<PendingEnqueue> | undefined;
  #completions: Batcher<Report<undefined>> | undefined;

  constructor(topic: TopicName, context: EngineContext, pruner: Pruner) {
    this.topic = topic;
    this.#context = context;
    this.#settings = context.settings.of(topic);
    this.#pruner = pruner;
    this.reports = new LaneReports(topic, context);
    this.#lastUsed = context.clock.monotonic();
  }

  #newEnqueues(): Batcher<PendingEnqueue> {
    return new Batcher({
      turn: this.#context.turn,
      weigh: ({ tasks, bytes }) => Math.max(tasks.length, Math.floor(bytes / BYTES_PER_WEIGHT)),
      weightMax: LIMITS.batchMax,
      weightShared: WEIGHT_SHARED,
      itemsShared: REQUESTS_SHARED,
      callsMax: 2,
      run: (batch) => this.#enqueueBatch(batch),
    });
  }

  /** How long one attempt at a task may take; 0 for no limit. */
  timeoutMs(head: TaskHead): Millis {
    return head.timeoutMs ?? this.#settings.latest?.timeoutMs ?? 0;
  }

  /** Whether the lane believes that tasks are ready. */
  get hot(): boolean {
    return this.#hot;
  }

  /** Whether nobody needs the lane: it may be forgotten. */
  isIdle(idleMs: number): boolean {
    return (
      this.#subscriptions.length === 0 &&
      this.#straight.idle &&
      this.#context.clock.monotonic() - this.#lastUsed > idleMs &&
      !this.#enqueues?.busy &&
      !this.#completions?.busy &&
      !this.reports.busy
    );
  }

  // ── Producers ──────────────────────────────────────────────────────────────

  /** Stores tasks, and tells `receipt` when they are kept. */
  enqueue(tasks: readonly NewTask[], receipt: EnqueueReceipt): void {
    this.#lastUsed = this.#context.clock.monotonic();
    const waiting = (this.#enqueues?.weight ?? 0) + this.#straight.held;
    if (waiting + tasks.length > LIMITS.pendingTasksMax) {
      const message = `too many tasks of topic ${this.topic} wait for the store`;
      receipt.refused(new TaskqueueError("STORE_FULL", message, { retryDelayMs: 500 }));
      return;
    }
    if (!this.#straight.holds({ tasks, receipt }, tasks.length)) this.#enqueueNow({ tasks, receipt });
  }

  #enqueueNow({ tasks, receipt }: Arrival): void {
    let bytes = 0;
    for (const { spec } of tasks) bytes += spec.length;
    this.#enqueues ??= this.#newEnqueues();
    this.#enqueues.add({ tasks, bytes, receipt });
  }

  async #enqueueBatch(batch: PendingEnqueue[]): Promise<void> {
    const { store, options, settings, log } = this.#context;
    const [first] = batch;
    const tasks = first && batch.length === 1 ? first.tasks : batch.flatMap((pending) => pending.tasks);
    let grants = NO_GRANTS;
    try {
      const { tasksMax = 0, bytesMax = 0 } = this.#settings.latest ?? (await settings.refresh(this.topic));
      // A hot lane has tasks to hand out that come before these; the pump asks for them.
      if (!this.#hot) grants = this.#takeGrants(tasks.length, bytesOf(tasks));
      const wakes = this.#wakes;
      const answer = await store.enqueue(this.topic, tasks, {
        now: this.#context.now(),
        endedWindowMs: options.endedWindowMs,
        tasksMax,
        bytesMax,
        demands: grants,
      });
      if (answer.kind === "full") {
        this.#giveBack(grants);
        return this.#enqueueFull(batch, answer);
      }
      tell.enqueued(this.#context, this.topic, tasks, answer.created);
      this.#distribute(grants, answer, wakes);
      tellStored(batch, answer.created);
    } catch (error) {
      this.#leaseUnknown(grants);
      if (!(error instanceof TaskqueueError)) log.error({ err: error, topic: this.topic }, "an enqueue failed");
      for (const { receipt } of batch) receipt.refused(error);
    }
  }

  /** Each request on its own: a large one must not make a small one be refused. */
  async #enqueueFull(batch: PendingEnqueue[], answer: EnqueueAnswer & { kind: "full" }): Promise<void> {
    const only = batch.length === 1 ? batch[0] : undefined;
    if (only) {
      const message = `topic ${this.topic} holds ${answer.tasks} tasks of ${answer.bytes} bytes and takes no more for now`;
      only.receipt.refused(new TaskqueueError("TOPIC_FULL", message, { retryDelayMs: 1_000 }));
      return;
    }
    for (const pending of batch) await this.#enqueueBatch([pending]);
  }

  // ── The straight way ───────────────────────────────────────────────────────

  /** Whether a task that arrives is to take the straight way: because it may, or because others of the topic wait there. */
  admitsStraight(task: NewTask, now: Millis): boolean {
    const admits = this.#straight.waiting > 0 || this.#isStraight(task, now);
    if (admits) this.#straight.waiting++;
    return admits;
  }

  /** Whether the task is plain, and nothing waits that it might overtake. */
  #isStraight({ head, dueAtMs }: NewTask, now: Millis): boolean {
    if (this.#hot || this.#subscriptions.length === 0 || this.#enqueues?.busy || this.#straight.blocked) return false;
    return isPlain(head) && dueAtMs <= now && !this.#declines();
  }

  #declines(): boolean {
    if (this.#declinesUntil === undefined) return false;
    if (this.#context.clock.monotonic() < this.#declinesUntil) return true;
    this.#declinesUntil = undefined;
    return false;
  }

  /**
   * Sets credit aside for a task that was admitted; undefined when it has to go
   * through this lane, as does one that `follows` such a one. Tasks of one `batch`
   * go to one worker while it has credit.
   */
  takeStraight(task: NewTask, now: Millis, batch: number, follows: boolean): SubscriptionState | undefined {
    this.#straight.waiting--;
    if (follows || !this.#isStraight(task, now)) return undefined;
    const settings = this.#settings.latest;
    if (settings === undefined || settings.tasksMax || settings.bytesMax) return undefined;
    const count = this.#subscriptions.length;
    if (this.#batch !== batch) {
      this.#batch = batch;
      this.#turnOfBatch = this.#turn;
      this.#turn = (this.#turn + 1) % count;
    }
    for (let step = 0; step < count; step++) {
      const subscription = this.#subscriptions[(this.#turnOfBatch + step) % count];
      if (!subscription?.holder.takeStraight(subscription, bytesOfTask(task))) continue;
      this.#straight.begin();
      return subscription;
    }
    return undefined;
  }

  /** A task went straight, or nobody knows. */
  straightEnded(): void {
    this.#declinedMs = 0;
    for (const arrival of this.#straight.end(1)) this.#enqueueNow(arrival);
  }

  /** The store did not let these go straight, and likely will not let others for a while. */
  straightDeclined(tasks: readonly NewTask[], receipt: EnqueueReceipt): void {
    if (this.#declinesUntil === undefined) {
      this.#declinedMs = Math.min(DECLINED_MS_MAX, this.#declinedMs * 2 || DECLINED_MS_MIN);
      this.#declinesUntil = this.#context.clock.monotonic() + this.#declinedMs;
    }
    for (const arrival of this.#straight.end(tasks.length, { tasks, receipt })) this.#enqueueNow(arrival);
  }

  /** A task of the topic ended: what is kept of it is to be pruned in time. */
  taskEnded(now: Millis): void {
    if (now - this.#endedAtMs < NOTED_AGAIN_MS) return;
    this.#endedAtMs = now;
    this.#pruner.note(this.topic);
  }

  // ── Workers' reports ───────────────────────────────────────────────────────

  complete(lease: HeldLease, receipt: ReportReceipt): void {
    this.#completions ??= reportBatcher(this.#context, (batch) => this.#completeBatch(batch));
    this.#completions.add({ lease, payload: undefined, receipt });
  }

  async #completeBatch(batch: Report<undefined>[]): Promise<void> {
    const completions = batch.map((report) => report.lease);
    const answer = await untilStored(this.#context, this.topic, () => this.#completeCall(completions));
    if (!answer) return abandon(batch);
    this.taskEnded(this.#context.now());
    tell.completed(this.#context, completions, (index) => answer.outcomes[index] === "completed");
    let index = 0;
    for (const { lease, receipt } of batch) receipt.stored(lease, answer.outcomes[index++] !== "lease_lost");
  }

  #completeCall(completions: readonly HeldLease[]) {
    const { store, options } = this.#context;
    // Not all credit: what this call would lease at once comes back at once, and the calls beside it find nothing to do.
    const grants = this.#hot ? this.#takeGrants(Math.max(completions.length, WEIGHT_SHARED)) : NO_GRANTS;
    const call = () =>
      store.complete(this.topic, completions, {
        now: this.#context.now(),
        endedWindowMs: options.endedWindowMs,
        demands: grants,
      });
    return grants.length === 0 ? call() : this.#serve(grants, call);
  }

  // ── Handing out ────────────────────────────────────────────────────────────

  subscribe(subscription: SubscriptionState): void {
    this.#subscriptions.push(subscription);
  }

  unsubscribe(subscription: SubscriptionState): void {
    const index = this.#subscriptions.indexOf(subscription);
    if (index !== -1) this.#subscriptions.splice(index, 1);
    this.#lastUsed = this.#context.clock.monotonic();
  }

  /** Tasks may be ready: ask for them. */
  wake(): void {
    this.#wakes++;
    this.#setHot(true);
    this.pump();
  }

  /** A session has credit: ask for tasks if there are any. */
  pump(): void {
    if (!this.#hot || this.#leaseCalls > 0 || this.#pumpScheduled || this.#subscriptions.length === 0) return;
    this.#pumpScheduled = true;
    this.#context.turn.atEnd(() => {
      this.#pumpScheduled = false;
      if (this.#hot && this.#leaseCalls === 0) void this.#leaseBatch();
    });
  }

  async #leaseBatch(): Promise<void> {
    const { store, log, retries } = this.#context;
    const grants = this.#takeGrants(LIMITS.batchMax);
    if (grants.length === 0) return;
    this.#leaseCalls++;
    let failed = false;
    try {
      await this.#serve(grants, () => store.lease(this.topic, grants, { now: this.#context.now() }));
    } catch (error) {
      failed = true;
      if (!(error instanceof TaskqueueError)) log.error({ err: error, topic: this.topic }, "leasing failed");
    } finally {
      this.#leaseCalls--;
    }
    if (failed) await retries.pause(LEASE_RETRY_MS);
    this.pump();
  }

  /** Hands out what a call that carries demands is answered, and passes the answer on. */
  async #serve<Answer extends LeaseAnswer>(grants: readonly Grant[], call: () => Promise<Answer>): Promise<Answer> {
    const wakes = this.#wakes;
    try {
      const answer = await call();
      this.#distribute(grants, answer, wakes);
      return answer;
    } catch (error) {
      this.#leaseUnknown(grants);
      throw error;
    }
  }

  /**
   * Credit of the sessions, in turn, for up to `limit` tasks in all, of `bytes`
   * bytes if that is known. It is taken until it is distributed or given back.
   */
  #takeGrants(limit: number, bytes?: number): readonly Grant[] {
    const count = this.#subscriptions.length;
    if (count === 0) return NO_GRANTS;
    let grants: Grant[] = [];
    let left = limit;
    let bytesLeft = DEMANDS_BYTES_MAX;
    for (let step = 0; step < count && left > 0 && bytesLeft > 0; step++) {
      const subscription = this.#subscriptions[(this.#turn + step) % count];
      const grant = subscription?.holder.grant(subscription, left, bytes);
      if (!grant) continue;
      // What is pushed to an empty list makes room for seventeen.
      if (grants.length === 0) grants = [grant];
      else grants.push(grant);
      left -= grant.limit;
      bytesLeft -= grant.bytesMax;
    }
    this.#turn = (this.#turn + 1) % count;
    if (grants.length > 0) this.#asking.begin(grants);
    return grants;
  }

  /** Of a call that was not carried out. */
  #giveBack(grants: readonly Grant[]): void {
    this.#asking.end(grants);
    for (const grant of grants) grant.subscription.holder.refund(grant);
  }

  #distribute(grants: readonly Grant[], answer: LeaseAnswer, wakesWhenAsked: number): void {
    this.#asking.end(grants);
    tell.started(this.#context, this.topic, answer.leased, grants);
    let from = 0;
    for (const grant of grants) {
      let to = from;
      while (to < answer.leased.length && answer.leased[to]?.session === grant.session.id) to++;
      grant.subscription.holder.accept(grant, answer.leased, from, to);
      from = to;
    }
    for (const lost of answer.lostSessions) {
      grants.find((grant) => grant.session.id === lost)?.subscription.holder.sessionLost();
    }
    if (answer.ready > 0) this.#setHot(true);
    else if (this.#wakes === wakesWhenAsked) this.#setHot(false);
    this.pump();
  }

  /** An answer was lost: find the leases it may have made, and hand them back. */
  #leaseUnknown(grants: readonly Grant[]): void {
    this.#giveBack(grants);
    for (const { subscription } of grants) void subscription.holder.reconcile(this);
    // Whether tasks are left is unknown as well.
    if (grants.length > 0) this.#wakes++;
  }

  /**
   * Compares a session's leases with the store's. Those that nobody here knows
   * of are released: their answer was lost, or a store that lost writes forgot
   * their end. The worker is told of those that the store does not know.
   */
  async releaseUnknown(session: WorkerSession): Promise<void> {
    const { store, options } = this.#context;
    await untilStored(this.#context, this.topic, async () => {
      const delivered = session.delivered(this.topic);
      const leases = await store.held(this.topic, session.ref.id);
      // Some may be the doing of calls under way, whose answers will tell.
      await Promise.all([this.#asking.ended(), this.#context.straightCalls.ended()]);
      const stored = new Set(leases.map((lease) => lease.token));
      for (const lease of delivered) if (!stored.has(lease.token)) session.forgotten(lease);
      const unknown: LeaseRef[] = leases.filter((lease) => !session.holds(lease.token, this.topic));
      for (let from = 0; from < unknown.length; from += LIMITS.batchMax) {
        await store.release(this.topic, unknown.slice(from, from + LIMITS.batchMax), {
          now: this.#context.now(),
          endedWindowMs: options.endedWindowMs,
        });
      }
    });
  }

  #setHot(hot: boolean): void {
    if (hot === this.#hot) return;
    this.#hot = hot;
    for (const subscription of this.#subscriptions) subscription.holder.laneTurned(subscription, hot);
  }

  // ── End ────────────────────────────────────────────────────────────────────

  /** Resolves when nothing waits for the store any more. */
  async settle(): Promise<void> {
    await this.#enqueues?.idle();
    await Promise.all([this.#completions?.idle(), this.reports.idle()]);
  }
}

/** At most what the tasks take in the store, whose records hold a line more. */
function bytesOf(tasks: readonly NewTask[]): number {
  let bytes = 0;
  for (const task of tasks) bytes += bytesOfTask(task);
  return bytes;
}

export function bytesOfTask({ head, spec }: NewTask): number {
  return RECORD_LINE_BYTES + 4 * head.externalId.length + spec.length;
}

function tellStored(batch: readonly PendingEnqueue[], created: readonly boolean[]): void {
  let from = 0;
  for (const { tasks, receipt } of batch) {
    receipt.stored(batch.length === 1 ? created : created.slice(from, from + tasks.length));
    from += tasks.length;
  }
}
