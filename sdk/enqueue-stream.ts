/**
 * Enqueueing in batches, unseen by callers: whatever is enqueued in one tick
 * travels in one request, and while requests are under way the next one grows.
 * A lone task is sent before the event loop goes on.
 *
 * Requests carry tasks of unrelated callers, so a refusal is taken apart until
 * it meets only the call that caused it. Every task has an id, so whatever has
 * no answer is sent again, over any broker, until its time is up.
 *
 * The life of the stream:
 * - `idle`: nothing is to be sent. Left by the first task.
 * - `connecting`: a link is being dialled, and the stream opened on it.
 * - `attached`: requests go out, at most WINDOW unanswered ones, and answers come
 *   in the same order.
 * - `lost`: the stream broke or could not be opened. All unanswered requests are
 *   queued again; a timer leads back to `connecting`.
 * - `closed`: for good; nothing is pending.
 */
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { Admission } from "./admission.js";
import { type Batch, type Call, type Enqueued, judge, OpenBatch, resolveBatch } from "./batch.js";
import { after, beforeNextInput, cancelTimer, type Deferred, deferred, monotonicMs, type Timer } from "./clock.js";
import { type EnqueueAnswer, readEnqueueAnswer } from "./enqueue-answer.js";
import { type CallStatus, errorFromReason, errorFromStatus, errorFromUnknown, TaskqueueError } from "./errors.js";
import { BrokerServiceDefinition } from "./gen/taskqueue/v1/broker.js";
import type { EnqueueOptions, Logger } from "./options.js";
import { encodePart, type TaskToEnqueue } from "./part.js";
import { jitteredBackoffMs, timedId } from "./random.js";
import { checkTaskId, writeTask } from "./task-codec.js";
import type { AnyTopic } from "./topic.js";
import type { Link, Transport } from "./transport.js";

const PATH = `/${BrokerServiceDefinition.fullName}/${BrokerServiceDefinition.methods.enqueueStream.name}`;

/** Unanswered requests on the stream. Few, so that batches grow under load instead of queueing at the broker. */
const WINDOW = 4;
/**
 * Requests that share what has gathered get no less than this. While broker and
 * workers are busy with one, the next is on its way, where one large request
 * would pass them one after the other; smaller ones cost more than they save.
 */
const TASKS_SHARED = 100;
const BACKOFF_BASE_MS = 50;
/** Below any patience with a broker that restarts: what is enqueued then should not wait for long when it is back. */
const BACKOFF_CAP_MS = 1_000;
/** How often deadlines are looked at while anything is pending. */
const WATCH_MS = 500;
/** A broker that is silent for so long is as good as lost. */
const ANSWER_MS_MAX = 15_000;

export interface EnqueueStreamOptions {
  readonly retryForMs: number;
  readonly taskBytesMax: number;
  readonly bufferedTasksMax: number;
  readonly bufferedBytesMax: number;
  readonly logger: Logger | undefined;
}

type Stream = ClientDuplexStream<Buffer, EnqueueAnswer>;

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "connecting" }
  | { readonly kind: "attached"; readonly link: Link; readonly stream: Stream; answered: boolean; blocked: boolean }
  | { readonly kind: "lost"; readonly timer: Timer }
  | { readonly kind: "closed" };

export class EnqueueStream {
  readonly #transport: Transport;
  readonly #options: EnqueueStreamOptions;
  readonly #admission: Admission;
  #state: State = { kind: "idle" };
  readonly #open = new OpenBatch();
  /** Closed batches to send before the open one, in this order. */
  #ready: Batch[] = [];
  /** Sent and unanswered, in this order. */
  #unanswered: Batch[] = [];
  #flushing = false;
  #watchdog: Timer | undefined;
  #failures = 0;
  /** Why the stream was lost last: said of what was never sent, too. */
  #lostBy: TaskqueueError | undefined;
  #closing: Deferred<void> | undefined;

  constructor(transport: Transport, options: EnqueueStreamOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#admission = new Admission(options.bufferedTasksMax, options.bufferedBytesMax, () => this.#onQuiet());
  }

  /** Puts one task in; see Client.enqueue. */
  enqueue(topic: AnyTopic, input: unknown, options: EnqueueOptions | undefined): Promise<Enqueued> {
    if (this.#closing) return Promise.reject(closedError());
    if (this.#admission.crowded) return this.#enqueueLater(topic, input, options);
    return this.#enqueueNow(topic, input, options);
  }

  #enqueueNow(topic: AnyTopic, input: unknown, options: EnqueueOptions | undefined): Promise<Enqueued> {
    return new Promise((resolveOne, reject) => {
      const { writer } = this.#open;
      const own = options?.id === undefined;
      const ids = options?.id === undefined ? timedId() : checkTaskId(options.id);
      const start = writer.length;
      writeTask(writer, topic, ids, input, options, this.#options.taskBytesMax);
      this.#append({ topic: topic.name, ids, own, start, end: 0, resolveOne, resolveMany: undefined, reject }, 1);
    });
  }

  async #enqueueLater(topic: AnyTopic, input: unknown, options: EnqueueOptions | undefined): Promise<Enqueued> {
    const { enqueued } = await this.#admission.enter(async (room) => {
      await room();
      // Wrapped, so that its turn ends here and not with the broker's answer.
      return { enqueued: this.#enqueueNow(topic, input, options) };
    });
    return enqueued;
  }

  /**
   * Puts many tasks in, all or nothing up to 1,000 and 4 MiB. The tasks are
   * checked part by part: what is wrong in a later part does not stop the parts
   * before it.
   */
  async enqueueMany(topic: AnyTopic, tasks: readonly TaskToEnqueue[]): Promise<Enqueued[]> {
    if (this.#closing) throw closedError();
    const parts: Promise<Enqueued[]>[] = [];
    let failure: { readonly error: unknown } | undefined;
    await this.#admission.enter(async (room) => {
      try {
        for (let from = 0; from < tasks.length; ) {
          await room();
          const { part, next } = this.#enqueuePart(topic, tasks, from);
          // It is awaited below; until then its rejection must not count as unhandled.
          part.catch(() => {});
          parts.push(part);
          from = next;
        }
      } catch (error) {
        failure = { error };
      }
    });
    const settled = await Promise.allSettled(parts);
    if (failure !== undefined) throw failure.error;
    return settled.flatMap((part) => {
      if (part.status === "rejected") throw part.reason;
      return part.value;
    });
  }

  /** Enqueues as many tasks as fit one request, from `from` on; `next` is where the following part begins. */
  #enqueuePart(
    topic: AnyTopic,
    tasks: readonly TaskToEnqueue[],
    from: number,
  ): { part: Promise<Enqueued[]>; next: number } {
    const { bytes, ids, own } = encodePart(topic, tasks, from, this.#options.taskBytesMax);
    const part = new Promise<Enqueued[]>((resolveMany, reject) => {
      const start = this.#open.writer.length;
      this.#open.writer.raw(bytes);
      const call = { topic: topic.name, ids, own, start, end: 0, resolveOne: undefined, resolveMany, reject };
      this.#append(call, ids.length);
    });
    return { part, next: from + ids.length };
  }

  /** Adds a call whose tasks were just written to the open batch. */
  #append(call: Call, tasks: number): void {
    const full = this.#open.append(call);
    if (full !== undefined) this.#ready.push(full);
    this.#admission.add(tasks, call.end - call.start);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    const flush = () => {
      this.#flushing = false;
      this.#flush();
    };
    // While an answer is awaited there is time to read all input that waits, so that what it leads to travels together.
    if (this.#unanswered.length > 0) setImmediate(flush);
    else beforeNextInput(flush);
  }

  #flush(): void {
    if (!this.#admission.busy) return;
    this.#watchdog ??= after(WATCH_MS, () => this.#watch());
    const state = this.#state;
    if (state.kind === "idle") void this.#connect();
    if (state.kind !== "attached") return;
    while (!state.blocked && this.#unanswered.length < WINDOW) {
      const batch = this.#ready.shift() ?? this.#open.close(this.#share());
      if (batch === undefined) return;
      batch.sentAtMs = monotonicMs();
      this.#unanswered.push(batch);
      if (!state.stream.write(batch.bytes)) state.blocked = true;
    }
  }

  /** How many of the tasks that have gathered the next request takes: they are divided among those that may be sent. */
  #share(): number {
    return Math.max(TASKS_SHARED, Math.ceil(this.#open.tasks / (WINDOW - this.#unanswered.length)));
  }

  /** The one setter: leaves a state with its timer or stream, and enters the next. */
  #enter(next: State): void {
    const previous: State = this.#state;
    this.#state = next;
    if (previous.kind === "lost") cancelTimer(previous.timer);
    if (previous.kind !== "attached") return;
    if (next.kind === "closed") previous.stream.end();
    else previous.stream.cancel();
  }

  async #connect(): Promise<void> {
    const connecting: State = { kind: "connecting" };
    this.#enter(connecting);
    try {
      const link = await this.#transport.connect();
      const metadata = await this.#transport.dialer.metadata();
      if (this.#state !== connecting) return;
      this.#attach(
        link,
        link.streams.makeBidiStreamRequest(PATH, (bytes: Buffer) => bytes, readEnqueueAnswer, metadata),
      );
    } catch (error) {
      if (this.#state === connecting) this.#lose(errorFromUnknown(error));
    }
  }

  #attach(link: Link, stream: Stream): void {
    const state: State = { kind: "attached", link, stream, answered: false, blocked: false };
    this.#enter(state);
    stream.on("data", (answer: EnqueueAnswer) => {
      if (this.#state !== state) return;
      state.answered = true;
      this.#failures = 0;
      this.#answered(answer);
    });
    stream.on("drain", () => {
      state.blocked = false;
      this.#schedule();
    });
    // "status" says the same, and comes after all data.
    stream.on("error", () => {});
    stream.on("status", (status: CallStatus) => {
      if (this.#state !== state) return;
      this.#transport.lost(link);
      this.#lose(errorFromStatus(status, link.address));
    });
    this.#flush();
  }

  /** The stream is gone, or could not be opened: everything unanswered is to be sent again. */
  #lose(error: TaskqueueError): void {
    const hadAnswers = this.#state.kind === "attached" && this.#state.answered;
    this.#lostBy = error;
    const open = this.#open.close(Number.POSITIVE_INFINITY);
    const batches = [...this.#unanswered, ...this.#ready, ...(open ? [open] : [])];
    this.#unanswered = [];
    this.#ready = [];
    const now = monotonicMs();
    for (const batch of batches) {
      batch.lastError = error;
      if (isFinal(error) || this.#expired(batch, now)) this.#reject(batch, error);
      else this.#ready.push(batch);
    }
    if (this.#state.kind === "closed") return;
    if (!this.#admission.busy) {
      // Nobody waits for anything: connect again when somebody does.
      this.#enter({ kind: "idle" });
      return;
    }
    const details = { code: error.code, error: error.message, tasks: batches.length };
    this.#options.logger?.warn(details, "the enqueue stream is lost; connecting again");
    const delayMs = Math.max(
      error.code === "DRAINING" ? 0 : (error.retryDelayMs ?? 0),
      hadAnswers ? 0 : jitteredBackoffMs(this.#failures, BACKOFF_BASE_MS, BACKOFF_CAP_MS),
    );
    this.#failures += 1;
    this.#enter({ kind: "lost", timer: after(delayMs, () => void this.#connect()) });
  }

  #expired(batch: Batch, now: number): boolean {
    return now - batch.sinceMs >= this.#options.retryForMs;
  }

  /** Rejects what has waited too long; gives up a broker that has gone silent. */
  #watch(): void {
    this.#watchdog = undefined;
    if (!this.#admission.busy) return;
    const now = monotonicMs();
    const oldest = this.#unanswered[0];
    if (this.#state.kind === "attached" && oldest !== undefined && now - oldest.sentAtMs > ANSWER_MS_MAX) {
      const message = `the broker at ${this.#state.link.address} has not answered for ${ANSWER_MS_MAX} ms`;
      this.#transport.lost(this.#state.link);
      this.#lose(new TaskqueueError("UNREACHABLE", message, { retryable: true }));
    }
    if (this.#state.kind !== "attached") {
      const expired = this.#ready.filter((batch) => this.#expired(batch, now));
      this.#ready = this.#ready.filter((batch) => !expired.includes(batch));
      for (const batch of expired) this.#reject(batch, batch.lastError ?? this.#lostBy ?? unreachedError());
    }
    this.#watchdog ??= after(WATCH_MS, () => this.#watch());
  }

  #answered({ existing, error }: EnqueueAnswer): void {
    const batch = this.#unanswered.shift();
    if (batch === undefined) return;
    if (error === undefined) {
      resolveBatch(batch, existing);
      this.#admission.remove(batch.tasks, batch.bytes.length);
    } else {
      this.#refused(batch, errorFromReason(error));
    }
    this.#schedule();
  }

  #refused(batch: Batch, error: TaskqueueError): void {
    batch.failures += 1;
    batch.lastError = error;
    const { rejected, again, later } = judge(batch, error);
    this.#ready.unshift(...again);
    if (later !== undefined) this.#repeatLater(later, error);
    for (const refusal of rejected) this.#reject(refusal.batch, refusal.error);
  }

  #repeatLater(batch: Batch, error: TaskqueueError): void {
    if (error.code === "DRAINING") {
      // Not to this broker, which is about to stop; and neither what else it was sent.
      this.#ready.unshift(batch);
      if (this.#state.kind === "attached") this.#transport.lost(this.#state.link);
      this.#lose(error);
      return;
    }
    const backoffMs = jitteredBackoffMs(batch.failures - 1, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
    const delayMs = Math.max(error.retryDelayMs ?? 0, backoffMs);
    if (monotonicMs() + delayMs - batch.sinceMs >= this.#options.retryForMs) {
      this.#reject(batch, error);
      return;
    }
    // It always fires before the stream can be closed: the batch is still under way.
    after(delayMs, () => {
      this.#ready.push(batch);
      this.#schedule();
    });
  }

  #reject(batch: Batch, error: TaskqueueError): void {
    const reason = error.retryable && this.#options.retryForMs > 0 ? gaveUp(error, this.#options.retryForMs) : error;
    for (const call of batch.calls) call.reject(reason);
    this.#admission.remove(batch.tasks, batch.bytes.length);
  }

  #onQuiet(): void {
    cancelTimer(this.#watchdog);
    this.#watchdog = undefined;
    if (this.#closing) this.#finish(this.#closing);
  }

  /** Waits until everything enqueued has an answer, and closes the stream. New tasks are refused from now on. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = deferred();
      if (this.#admission.quiet) this.#finish(this.#closing);
    }
    return this.#closing.promise;
  }

  #finish(closing: Deferred<void>): void {
    this.#enter({ kind: "closed" });
    closing.resolve();
  }
}

function closedError(): TaskqueueError {
  return new TaskqueueError("CLOSED", "the client is closed");
}

function unreachedError(): TaskqueueError {
  return new TaskqueueError("UNREACHABLE", "no broker could be reached so far", { retryable: true });
}

/** Errors of a whole stream that no repetition mends. */
function isFinal(error: TaskqueueError): boolean {
  return !error.retryable && ["UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "CLOSED"].includes(error.code);
}

function gaveUp(error: TaskqueueError, afterMs: number): TaskqueueError {
  return new TaskqueueError(error.code, `gave up after ${afterMs} ms: ${error.message}`, {
    field: error.field,
    retryable: true,
    retryDelayMs: error.retryDelayMs,
    status: error.status,
    cause: error,
  });
}
