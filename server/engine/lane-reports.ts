/**
 * What workers report of one topic's tasks, on its way to the store: failures,
 * releases and notes. Completions are the lane's, which lets its demands travel with them.
 *
 * Reports are never dropped: while the store is away they are tried again until
 * it answers, which the lease token makes safe.
 */
import { TaskqueueError } from "../domain/errors.js";
import type { TopicName } from "../domain/ids.js";
import { LIMITS } from "../domain/limits.js";
import type { Failure, LeaseRef, ProgressNote } from "../store/store.js";
import { Batcher, WEIGHT_SHARED } from "./batcher.js";
import type { EngineContext } from "./context.js";
import type { HeldLease } from "./held-lease.js";
import * as tell from "./lane-events.js";
import type { ReportReceipt } from "./worker-session.js";

const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 1_000;

/** A report on its way to the store, and whom to tell when it is there. */
export interface Report<Payload> {
  readonly lease: HeldLease;
  readonly payload: Payload;
  readonly receipt: ReportReceipt;
}

type FailurePayload = Pick<Failure, "error" | "next">;
type NotePayload = ProgressNote["progress"] | undefined;

export class LaneReports {
  readonly #topic: TopicName;
  readonly #context: EngineContext;
  // Made when they are first needed: there may be tens of thousands of lanes.
  #failures: Batcher<Report<FailurePayload>> | undefined;
  #releases: Batcher<Report<undefined>> | undefined;
  #notes: Batcher<Report<NotePayload>> | undefined;

  constructor(topic: TopicName, context: EngineContext) {
    this.#topic = topic;
    this.#context = context;
  }

  /** Whether any wait for the store. */
  get busy(): boolean {
    return this.#batchers().some((batcher) => batcher?.busy);
  }

  /** Resolves when none do. */
  async idle(): Promise<void> {
    await Promise.all(this.#batchers().map((batcher) => batcher?.idle()));
  }

  #batchers() {
    return [this.#failures, this.#releases, this.#notes];
  }

  fail(lease: HeldLease, payload: FailurePayload, receipt: ReportReceipt): void {
    this.#failures ??= reportBatcher(this.#context, (batch) => this.#failBatch(batch));
    this.#failures.add({ lease, payload, receipt });
  }

  release(lease: HeldLease, receipt: ReportReceipt): void {
    this.#releases ??= reportBatcher(this.#context, (batch) => this.#releaseBatch(batch));
    this.#releases.add({ lease, payload: undefined, receipt });
  }

  /** Keeps the progress, or only asks whether the lease is held. */
  note(lease: HeldLease, progress: NotePayload, receipt: ReportReceipt): void {
    this.#notes ??= reportBatcher(this.#context, (batch) => this.#noteBatch(batch), 1);
    this.#notes.add({ lease, payload: progress, receipt });
  }

  async #failBatch(batch: Report<FailurePayload>[]): Promise<void> {
    const { store, options } = this.#context;
    const failures = batch.map(({ lease, payload }) => ({ ...refOf(lease), ...payload }));
    const outcomes = await untilStored(this.#context, this.#topic, () =>
      store.fail(this.#topic, failures, { now: this.#context.now(), endedWindowMs: options.endedWindowMs }),
    );
    if (!outcomes) return abandon(batch);
    for (const [index, { lease, payload, receipt }] of batch.entries()) {
      const outcome = outcomes[index];
      if (outcome) tell.failed(this.#context, lease, payload.error, outcome);
      receipt.stored(lease, outcome !== "lease_lost");
    }
  }

  async #releaseBatch(batch: Report<undefined>[]): Promise<void> {
    const { store, options } = this.#context;
    const leases = batch.map(({ lease }) => refOf(lease));
    const outcomes = await untilStored(this.#context, this.#topic, () =>
      store.release(this.#topic, leases, { now: this.#context.now(), endedWindowMs: options.endedWindowMs }),
    );
    if (!outcomes) return abandon(batch);
    for (const [index, { lease, receipt }] of batch.entries()) {
      const outcome = outcomes[index];
      if (outcome) tell.released(this.#context, lease, outcome);
      receipt.stored(lease, outcome !== "lease_lost");
    }
  }

  async #noteBatch(batch: Report<NotePayload>[]): Promise<void> {
    const { store } = this.#context;
    const notes = batch.map(({ lease, payload }) => ({ ...refOf(lease), ...(payload ? { progress: payload } : {}) }));
    const outcomes = await untilStored(this.#context, this.#topic, () => store.progress(this.#topic, notes));
    if (!outcomes) return;
    for (const [index, { lease, payload, receipt }] of batch.entries()) {
      const held = outcomes[index] !== "lease_lost";
      if (held && payload) tell.progressed(this.#context, lease, payload);
      receipt.noted(lease, held);
    }
  }
}

/** Gathers reports into calls of the store. */
export function reportBatcher<Payload>(
  { turn }: EngineContext,
  run: (batch: Report<Payload>[]) => Promise<void>,
  callsMax = 2,
): Batcher<Report<Payload>> {
  return new Batcher({
    turn,
    weigh: () => 1,
    weightMax: LIMITS.batchMax,
    weightShared: WEIGHT_SHARED,
    callsMax,
    run,
  });
}

export function abandon(batch: readonly Report<unknown>[]): void {
  for (const { lease, receipt } of batch) receipt.abandoned(lease);
}

function refOf({ id, session, token }: HeldLease): LeaseRef {
  return { id, session, token };
}

/** Repeats `call` until the store answers. Undefined when the broker stops first. */
export function untilStored<Answer>(
  context: EngineContext,
  topic: TopicName,
  call: () => Promise<Answer>,
): Promise<Answer | undefined> {
  return call().catch((error: unknown) => tryAgain(context, topic, call, error));
}

async function tryAgain<Answer>(
  { retries, log, random }: EngineContext,
  topic: TopicName,
  call: () => Promise<Answer>,
  firstError: unknown,
): Promise<Answer | undefined> {
  let error = firstError;
  for (let delay = RETRY_MS_MIN; ; delay = Math.min(delay * 2, RETRY_MS_MAX)) {
    if (!(error instanceof TaskqueueError)) {
      log.error({ err: error, topic }, "a report could not be stored; it will be tried again");
    }
    if (!(await retries.pause(delay * (0.5 + random())))) return undefined;
    try {
      return await call();
    } catch (latest) {
      error = latest;
    }
  }
}
