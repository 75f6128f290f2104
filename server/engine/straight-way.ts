/**
 * Where plain tasks of all topics travel together, while nothing of their topic
 * waits: straight from their producer to a worker that has credit, with one call
 * of the store for many topics, and with another one when they are completed.
 *
 * A lane tells whether a task of its topic may take this way. What the store
 * declines, and whatever came too late, goes to its lane instead, which is
 * right for everything and slower. Tasks of one topic keep their order: what
 * follows a task that waits here waits behind it, and goes on with it to the lane.
 */
import { TaskqueueError } from "../domain/errors.js";
import type { TopicName } from "../domain/ids.js";
import { LIMITS } from "../domain/limits.js";
import type { Leased, TopicTask } from "../store/store.js";
import { Batcher, WEIGHT_SHARED } from "./batcher.js";
import type { EngineContext } from "./context.js";
import type { EnqueuePart, EnqueueRequest } from "./enqueue-request.js";
import type { HeldLease } from "./held-lease.js";
import { bytesOfTask, type Lane, REQUESTS_SHARED } from "./lane.js";
import * as tell from "./lane-events.js";
import { type Report, reportBatcher } from "./lane-reports.js";
import type { ReportReceipt, SubscriptionState } from "./worker-session.js";

/** Tasks of one request that were admitted, and their lanes. */
interface Admitted {
  readonly request: EnqueueRequest;
  readonly indexes: number[];
  readonly lanes: Lane[];
}

/** A task for which credit was set aside. */
interface Taken {
  readonly request: EnqueueRequest;
  readonly index: number;
  readonly task: TopicTask;
  readonly subscription: SubscriptionState;
}

export class StraightWay {
  readonly #context: EngineContext;
  readonly #laneOf: (topic: TopicName) => Lane;
  readonly #enqueues: Batcher<Admitted>;
  readonly #completions: Batcher<Report<undefined>>;
  #batch = 0;

  constructor(context: EngineContext, laneOf: (topic: TopicName) => Lane) {
    this.#context = context;
    this.#laneOf = laneOf;
    this.#enqueues = new Batcher({
      turn: context.turn,
      weigh: ({ indexes }) => indexes.length,
      weightMax: LIMITS.batchMax,
      weightShared: WEIGHT_SHARED,
      itemsShared: REQUESTS_SHARED,
      callsMax: 2,
      run: (batch) => this.#enqueueBatch(batch),
    });
    this.#completions = reportBatcher(context, (batch) => this.#completeBatch(batch));
  }

  // ── Producers ──────────────────────────────────────────────────────────────

  /** Sends each task of a request on its way: this one, or its lane's. */
  enqueue(request: EnqueueRequest): void {
    if (this.#enqueues.weight + request.tasks.length > LIMITS.pendingTasksMax) {
      const full = new TaskqueueError("STORE_FULL", "too many tasks wait for the store", { retryDelayMs: 500 });
      request.refused(request.tasks.length, full);
      return;
    }
    const now = this.#context.now();
    const admitted: Admitted = { request, indexes: [], lanes: [] };
    let part: EnqueuePart | undefined;
    let index = 0;
    for (const task of request.tasks) {
      if (part?.topic === task.topic) {
        part.add(index);
      } else {
        const lane = this.#laneOf(task.topic);
        if (lane.admitsStraight(task, now)) {
          admitted.indexes.push(index);
          admitted.lanes.push(lane);
        } else {
          this.#enqueueInLane(part);
          part = request.part(index);
        }
      }
      index++;
    }
    this.#enqueueInLane(part);
    if (admitted.indexes.length > 0) this.#enqueues.add(admitted);
  }

  #enqueueInLane(part: EnqueuePart | undefined): void {
    if (part !== undefined) this.#laneOf(part.topic).enqueue(part.tasks, part);
  }

  async #enqueueBatch(batch: readonly Admitted[]): Promise<void> {
    const { store, options, log, straightCalls } = this.#context;
    const taken = this.#takeCredit(batch);
    if (taken.length === 0) return;
    straightCalls.begin(taken);
    try {
      const tasks = taken.map(({ task }) => task);
      const takers = taken.map(({ subscription }) => subscription.holder.ref);
      const ending = { now: this.#context.now(), endedWindowMs: options.endedWindowMs };
      const answer = await store.enqueueStraight(tasks, takers, ending);
      straightCalls.end(taken);
      this.#handOut(taken, answer);
    } catch (error) {
      straightCalls.end(taken);
      if (!(error instanceof TaskqueueError)) log.error({ err: error }, "an enqueue failed");
      for (const one of taken) outcomeUnknown(one, error);
    }
  }

  /** Sets credit aside for each task; those without go to their lanes, and what comes behind them with them. */
  #takeCredit(batch: readonly Admitted[]): Taken[] {
    const now = this.#context.now();
    const taken: Taken[] = [];
    this.#batch++;
    for (const { request, indexes, lanes } of batch) {
      let part: EnqueuePart | undefined;
      for (let i = 0; i < indexes.length; i++) {
        const index = indexes[i] ?? 0;
        const [lane, task] = [lanes[i], request.tasks[index]];
        if (lane === undefined || task === undefined) continue;
        const follows = part?.topic === task.topic;
        const subscription = lane.takeStraight(task, now, this.#batch, follows);
        if (subscription !== undefined) {
          taken.push({ request, index, task, subscription });
        } else if (part !== undefined && follows) {
          part.add(index);
        } else {
          this.#enqueueInLane(part);
          part = request.part(index);
        }
      }
      this.#enqueueInLane(part);
    }
    return taken;
  }

  #handOut(taken: readonly Taken[], answer: readonly (Leased | undefined)[]): void {
    tell.wentStraight(this.#context, answer, taken);
    let part: EnqueuePart | undefined;
    for (let i = 0; i < taken.length; i++) {
      const [one, leased] = [taken[i], answer[i]];
      if (one === undefined) continue;
      const { request, index, task, subscription } = one;
      if (leased !== undefined) {
        subscription.lane.straightEnded();
        subscription.holder.acceptStraight(subscription, leased, bytesOfTask(task));
        continue;
      }
      subscription.holder.refundStraight(subscription, bytesOfTask(task));
      if (part?.isOf(request, task.topic)) {
        part.add(index);
      } else {
        this.#declined(part);
        part = request.part(index);
      }
    }
    this.#declined(part);
    // Workers first: nothing waits for a producer who does not know yet.
    this.#context.turn.afterSending(() => tellProducers(taken, answer));
  }

  #declined(part: EnqueuePart | undefined): void {
    if (part !== undefined) this.#laneOf(part.topic).straightDeclined(part.tasks, part);
  }

  // ── Workers' reports ───────────────────────────────────────────────────────

  complete(lease: HeldLease, receipt: ReportReceipt): void {
    this.#completions.add({ lease, payload: undefined, receipt });
  }

  async #completeBatch(batch: readonly Report<undefined>[]): Promise<void> {
    const { store, options, log } = this.#context;
    const leases = batch.map((report) => report.lease);
    let answer: readonly boolean[] = [];
    try {
      answer = await store.completeStraight(leases, { now: this.#context.now(), endedWindowMs: options.endedWindowMs });
    } catch (error) {
      // The lane tries until it is stored.
      if (!(error instanceof TaskqueueError)) log.error({ err: error }, "completions could not be stored");
    }
    tell.completed(this.#context, leases, (index) => answer[index] === true);
    const now = this.#context.now();
    let index = 0;
    for (const { lease, receipt } of batch) {
      const { lane } = lease.subscription;
      if (answer[index++] !== true) {
        lane.complete(lease, receipt);
        continue;
      }
      lane.taskEnded(now);
      receipt.stored(lease, true);
    }
  }

  // ── End ────────────────────────────────────────────────────────────────────

  /** Resolves when nothing is on this way any more. */
  async settle(): Promise<void> {
    await this.#enqueues.idle();
    await this.#completions.idle();
    await new Promise<void>((resolve) => this.#context.turn.afterSending(resolve));
  }
}

function tellProducers(taken: readonly Taken[], answer: readonly (Leased | undefined)[]): void {
  for (let i = 0; i < taken.length; i++) {
    const one = taken[i];
    if (one !== undefined && answer[i] !== undefined) one.request.stored(one.index, true);
  }
}

/** The answer was lost: the task may be stored, and leased by somebody who does not know. */
function outcomeUnknown({ request, task, subscription }: Taken, error: unknown): void {
  subscription.lane.straightEnded();
  request.refused(1, error);
  subscription.holder.refundStraight(subscription, bytesOfTask(task));
  void subscription.holder.reconcile(subscription.lane);
}
