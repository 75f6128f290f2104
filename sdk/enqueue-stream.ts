/**
 * Enqueueing in batches, unseen by callers: whatever is enqueued in one tick
 * travels in one request, and while requests are under way the next one grows.
 * A lone task is sent at the end of its tick, never later.
 *
 * Requests carry tasks of unrelated callers, so a refusal is taken apart until
 * it meets only the call that caused it. Every task has an id, so whatever has
 * no answer is sent again, over any broker, until its time is up.
 *
 * The life of the stream:
 * - `idle`: nothing was enqueued yet. Left by the first task.
 * - `connecting`: a link is being dialled, and the stream opened on it.
 * - `attached`: requests go out, at most WINDOW unanswered ones, and answers come
 *   in the same order.
 * - `lost`: the stream broke or could not be opened. All unanswered requests are
 *   queued again; a timer leads back to `connecting`.
 * - `closed`: for good; nothing is pending.
 */
import type { ClientDuplexStream } from "@grpc/grpc-js";
import {
  after,
  cancelTimer,
  type Deferred,
  deferred,
  jitteredBackoffMs,
  monotonicMs,
  randomId,
  type Timer,
} from "./clock.js";
import { type CallStatus, errorFromReason, errorFromStatus, errorFromUnknown, TaskqueueError } from "./errors.js";
import { BrokerServiceDefinition } from "./gen/taskqueue/v1/broker.js";
import { LIMITS } from "./limits.js";
import type { EnqueueOptions, Logger } from "./options.js";
import { checkTaskId, writeTask } from "./task-codec.js";
import type { AnyTopic } from "./topic.js";
import type { Link, Transport } from "./transport.js";
import { Reader, readMillis, Writer } from "./wire.js";

const PATH = `/${BrokerServiceDefinition.fullName}/${BrokerServiceDefinition.methods.enqueueStream.name}`;

/** Unanswered requests on the stream. Small, so that batches grow under load instead of queueing at the broker. */
const WINDOW = 4;
/** A batch is closed at this size; only a single larger task makes a larger one. */
const BATCH_BYTES = 1024 * 1024;
const BACKOFF_BASE_MS = 50;
const BACKOFF_CAP_MS = 5_000;
/** How often deadlines are looked at while anything is pending. */
const WATCH_MS = 500;
/** A broker that is silent for so long is as good as lost, whatever `retryForMs` says. */
const ANSWER_MS_MIN = 15_000;

/** An accepted task. */
export interface Enqueued {
  readonly id: string;
  /** False when a task of this topic and id existed already: nothing was changed. */
  readonly created: boolean;
}

export interface EnqueueStreamOptions {
  readonly retryForMs: number;
  readonly taskBytesMax: number;
  readonly bufferedTasksMax: number;
  readonly bufferedBytesMax: number;
  readonly logger: Logger | undefined;
}

/** One task of a call for many. */
export interface TaskToEnqueue {
  readonly input: unknown;
  readonly options: EnqueueOptions | undefined;
}

/** The tasks of one caller within a batch. They succeed or fail together. */
interface Call {
  readonly topic: string;
  /** One id, or as many as there are tasks. */
  readonly ids: string | readonly string[];
  /** Which of the ids were made here: for these, `existing` can only mean an earlier sending of the same. */
  readonly own: boolean | readonly boolean[];
  /** Where its tasks are in the batch's bytes. */
  start: number;
  end: number;
  /** Set when `ids` is one id. */
  readonly resolveOne: ((enqueued: Enqueued) => void) | undefined;
  readonly resolveMany: ((enqueued: Enqueued[]) => void) | undefined;
  readonly reject: (error: TaskqueueError) => void;
}

interface Batch {
  readonly bytes: Buffer;
  readonly calls: readonly Call[];
  readonly tasks: number;
  /** When its first task was enqueued, on the monotonic clock. */
  readonly sinceMs: number;
  /** When it was last sent. */
  sentAtMs: number;
  /** How often it was refused or lost. */
  failures: number;
  lastError: TaskqueueError | undefined;
}

type Stream = ClientDuplexStream<Buffer, Answer>;

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "connecting" }
  | { readonly kind: "attached"; readonly link: Link; readonly stream: Stream; answered: boolean; blocked: boolean }
  | { readonly kind: "lost"; readonly timer: Timer }
  | { readonly kind: "closed" };

export class EnqueueStream {
  readonly #transport: Transport;
  readonly #options: EnqueueStreamOptions;
  #state: State = { kind: "idle" };

  /** The batch that is being filled. */
  readonly #writer = new Writer();
  #calls: Call[] = [];
  #tasks = 0;
  #sinceMs = 0;

  /** Closed batches to send before the open one, in this order. */
  #ready: Batch[] = [];
  /** Sent and unanswered, in this order. */
  #unanswered: Batch[] = [];
  /** Refused for now, each with the timer that brings it back. */
  readonly #delayed = new Map<Batch, Timer>();

  #bufferedTasks = 0;
  #bufferedBytes = 0;
  /** Callers that wait for room, in their order. */
  readonly #waiters: Deferred<void>[] = [];
  /** Callers that have yet to bring tasks they were called with: waiting ones, and those in between parts. */
  #producing = 0;
  #flushing = false;
  #watchdog: Timer | undefined;
  #failures = 0;
  #closing: Deferred<void> | undefined;

  constructor(transport: Transport, options: EnqueueStreamOptions) {
    this.#transport = transport;
    this.#options = options;
  }

  /** Puts one task in; see Client.enqueue. */
  enqueue(topic: AnyTopic, input: unknown, options: EnqueueOptions | undefined): Promise<Enqueued> {
    if (this.#closing) return Promise.reject(closedError());
    if (this.#full || this.#waiters.length > 0) return this.#enqueueLater(topic, input, options);
    return this.#enqueueNow(topic, input, options);
  }

  #enqueueNow(topic: AnyTopic, input: unknown, options: EnqueueOptions | undefined): Promise<Enqueued> {
    return new Promise((resolveOne, reject) => {
      const start = this.#writer.length;
      const own = options?.id === undefined;
      const ids = options?.id === undefined ? randomId() : checkTaskId(options.id);
      writeTask(this.#writer, topic, ids, input, options, this.#options.taskBytesMax);
      this.#append({ topic: topic.name, ids, own, start, end: 0, resolveOne, resolveMany: undefined, reject }, 1);
    });
  }

  async #enqueueLater(topic: AnyTopic, input: unknown, options: EnqueueOptions | undefined): Promise<Enqueued> {
    this.#producing += 1;
    let enqueued: Promise<Enqueued>;
    try {
      await this.#room();
      enqueued = this.#enqueueNow(topic, input, options);
    } finally {
      this.#producing -= 1;
      this.#wake();
    }
    return await enqueued;
  }

  /**
   * Puts many tasks in, all or nothing up to 1,000 and 4 MiB. The tasks are
   * checked part by part: what is wrong in a later part does not stop the parts
   * before it.
   */
  async enqueueMany(topic: AnyTopic, tasks: readonly TaskToEnqueue[]): Promise<Enqueued[]> {
    if (this.#closing) throw closedError();
    const parts: Promise<Enqueued[]>[] = [];
    let failure: unknown;
    this.#producing += 1;
    try {
      for (let from = 0; from < tasks.length; ) {
        if (this.#full || this.#waiters.length > 0) await this.#room();
        from = this.#enqueuePart(topic, tasks, from, parts);
        // It is awaited below; until then its rejection must not count as unhandled.
        parts.at(-1)?.catch(() => {});
      }
    } catch (error) {
      failure = error;
    } finally {
      this.#producing -= 1;
      this.#wake();
    }
    const settled = await Promise.allSettled(parts);
    if (failure !== undefined) throw failure;
    return settled.flatMap((part) => {
      if (part.status === "rejected") throw part.reason;
      return part.value;
    });
  }

  /** Encodes as many tasks as fit one request, from `from` on; returns where the next part begins. */
  #enqueuePart(topic: AnyTopic, tasks: readonly TaskToEnqueue[], from: number, parts: Promise<Enqueued[]>[]): number {
    const writer = new Writer();
    const ids: string[] = [];
    const own: boolean[] = [];
    let to = from;
    for (; to < tasks.length && ids.length < LIMITS.batchTasksMax; to += 1) {
      const task = tasks[to];
      if (task === undefined) break;
      const before = writer.length;
      try {
        const id = task.options?.id === undefined ? randomId() : checkTaskId(task.options.id);
        writeTask(writer, topic, id, task.input, task.options, this.#options.taskBytesMax);
        if (writer.length > LIMITS.requestBytesMax && ids.length > 0) {
          writer.truncate(before);
          break;
        }
        ids.push(id);
        own.push(task.options?.id === undefined);
      } catch (error) {
        throw tasks.length === 1 ? error : atItem(to, errorFromUnknown(error));
      }
    }
    parts.push(
      new Promise((resolveMany, reject) => {
        if (this.#writer.length + writer.length > BATCH_BYTES || this.#tasks + ids.length > LIMITS.batchTasksMax) {
          this.#close();
        }
        const start = this.#writer.length;
        this.#writer.raw(writer.take());
        this.#append(
          { topic: topic.name, ids, own, start, end: 0, resolveOne: undefined, resolveMany, reject },
          ids.length,
        );
      }),
    );
    return to;
  }

  /** Adds a call whose tasks have just been written, to the open batch or, when that is full, to a new one. */
  #append(call: Call, tasks: number): void {
    if (call.start > 0 && (this.#writer.length > BATCH_BYTES || this.#tasks + tasks > LIMITS.batchTasksMax)) {
      this.#ready.push(this.#batchUpTo(call.start));
      this.#writer.drop(call.start);
      call.start = 0;
    }
    call.end = this.#writer.length;
    if (this.#calls.length === 0) this.#sinceMs = monotonicMs();
    this.#calls.push(call);
    this.#tasks += tasks;
    this.#bufferedTasks += tasks;
    this.#bufferedBytes += call.end - call.start;
    this.#schedule();
  }

  #batchUpTo(end: number): Batch {
    const batch = {
      bytes: this.#writer.copy(0, end),
      calls: this.#calls,
      tasks: this.#tasks,
      sinceMs: this.#sinceMs,
      sentAtMs: 0,
      failures: 0,
      lastError: undefined,
    };
    this.#calls = [];
    this.#tasks = 0;
    return batch;
  }

  /** Closes the open batch, if there is anything in it. */
  #close(): void {
    if (this.#calls.length === 0) return;
    this.#ready.push(this.#batchUpTo(this.#writer.length));
    this.#writer.take();
  }

  get #full(): boolean {
    return (
      this.#bufferedTasks >= this.#options.bufferedTasksMax || this.#bufferedBytes >= this.#options.bufferedBytesMax
    );
  }

  /** Waits for its turn and for room. Whoever was woken wakes the next, by `#wake`. */
  #room(): Promise<void> {
    const waiter = deferred();
    this.#waiters.push(waiter);
    return waiter.promise;
  }

  #wake(): void {
    if (!this.#full) this.#waiters.shift()?.resolve();
    if (this.#closing !== undefined && !this.#pending && this.#producing === 0) this.#finish();
  }

  #schedule(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    // After the tick's input is read and everything that follows from it has run, so that all of it travels together.
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    const state = this.#state;
    if (state.kind === "idle" && this.#pending) void this.#connect();
    if (this.#pending) this.#watchdog ??= after(WATCH_MS, () => this.#watch());
    if (state.kind !== "attached") return;
    while (!state.blocked && this.#unanswered.length < WINDOW) {
      if (this.#ready.length === 0) this.#close();
      const batch = this.#ready.shift();
      if (batch === undefined) return;
      batch.sentAtMs = monotonicMs();
      this.#unanswered.push(batch);
      if (!state.stream.write(batch.bytes)) state.blocked = true;
    }
  }

  get #pending(): boolean {
    return this.#bufferedTasks > 0;
  }

  /** The one setter: leaves a state with its timer or stream, and enters the next. */
  #enter(next: State): void {
    const previous: State = this.#state;
    this.#state = next;
    if (previous.kind === "lost") cancelTimer(previous.timer);
    if (previous.kind === "attached" && next.kind !== "closed") previous.stream.cancel();
    if (previous.kind === "attached" && next.kind === "closed") previous.stream.end();
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
        link.streams.makeBidiStreamRequest(PATH, (bytes: Buffer) => bytes, readAnswer, metadata),
      );
    } catch (error) {
      if (this.#state === connecting) this.#lose(errorFromUnknown(error));
    }
  }

  #attach(link: Link, stream: Stream): void {
    const state: State = { kind: "attached", link, stream, answered: false, blocked: false };
    this.#enter(state);
    stream.on("data", (answer: Answer) => {
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
    const wasGood = this.#state.kind === "attached" && this.#state.answered;
    const lost = this.#unanswered;
    this.#unanswered = [];
    const now = monotonicMs();
    const again: Batch[] = [];
    this.#close();
    for (const batch of [...lost, ...this.#ready]) {
      batch.lastError = error;
      if (isFinal(error) || this.#expired(batch, now)) this.#reject(batch, error);
      else again.push(batch);
    }
    this.#ready = again;
    if (!this.#pending && this.#closing === undefined) {
      // Nobody waits: connect again when somebody does.
      this.#enter({ kind: "idle" });
      return;
    }
    this.#options.logger?.warn(
      { error: error.message, code: error.code },
      "the enqueue stream is lost; connecting again",
    );
    const delayMs = wasGood
      ? 0
      : Math.max(error.retryDelayMs ?? 0, jitteredBackoffMs(this.#failures, BACKOFF_BASE_MS, BACKOFF_CAP_MS));
    this.#failures += 1;
    this.#enter({ kind: "lost", timer: after(delayMs, () => void this.#connect()) });
  }

  #expired(batch: Batch, now: number): boolean {
    return now - batch.sinceMs >= this.#options.retryForMs;
  }

  /** Rejects what has waited too long; breaks a stream whose broker has gone silent. */
  #watch(): void {
    this.#watchdog = undefined;
    if (!this.#pending) return;
    const now = monotonicMs();
    const oldest = this.#unanswered[0];
    if (this.#state.kind === "attached" && oldest !== undefined && now - oldest.sentAtMs > this.#answerMsMax) {
      const { address } = this.#state.link;
      this.#transport.lost(this.#state.link);
      this.#lose(
        new TaskqueueError("UNREACHABLE", `the broker at ${address} has not answered for ${this.#answerMsMax} ms`, {
          retryable: true,
        }),
      );
    }
    if (this.#state.kind !== "attached") {
      const expired = this.#ready.filter((batch) => this.#expired(batch, now));
      this.#ready = this.#ready.filter((batch) => !expired.includes(batch));
      for (const batch of expired) this.#reject(batch, batch.lastError ?? closedError());
    }
    this.#watchdog ??= after(WATCH_MS, () => this.#watch());
  }

  get #answerMsMax(): number {
    return Math.max(ANSWER_MS_MIN, this.#options.retryForMs / 2);
  }

  #answered(answer: Answer): void {
    const batch = this.#unanswered.shift();
    if (batch === undefined) return;
    if (answer.error === undefined) this.#resolve(batch, answer.existing);
    else this.#refused(batch, errorFromReason(answer.error));
    this.#schedule();
  }

  #resolve(batch: Batch, existing: readonly number[]): void {
    const known = existing.length === 0 ? undefined : new Set(existing);
    let position = 0;
    for (const call of batch.calls) {
      const { ids, own } = call;
      if (typeof ids === "string") {
        call.resolveOne?.({ id: ids, created: own === true || known === undefined || !known.has(position) });
        position += 1;
        continue;
      }
      const first = position;
      call.resolveMany?.(
        ids.map((id, i) => ({ id, created: (typeof own !== "boolean" && own[i] === true) || !known?.has(first + i) })),
      );
      position += ids.length;
    }
    this.#release(batch);
  }

  #reject(batch: Batch, error: TaskqueueError): void {
    for (const call of batch.calls) {
      call.reject(
        this.#options.retryForMs > 0 && error.retryable
          ? new TaskqueueError(error.code, `gave up after ${this.#options.retryForMs} ms: ${error.message}`, {
              field: error.field,
              retryable: true,
              retryDelayMs: error.retryDelayMs,
              status: error.status,
              cause: error,
            })
          : error,
      );
    }
    this.#release(batch);
  }

  /** The batch is done with: makes room for those who wait. */
  #release(batch: Batch): void {
    this.#bufferedTasks -= batch.tasks;
    this.#bufferedBytes -= batch.bytes.length;
    if (!this.#pending) {
      cancelTimer(this.#watchdog);
      this.#watchdog = undefined;
    }
    this.#wake();
  }

  /**
   * The broker refused a request. What may pass later is sent again after a
   * while; else the call at fault is found and rejected, and the others are sent
   * again without it.
   */
  #refused(batch: Batch, error: TaskqueueError): void {
    batch.failures += 1;
    batch.lastError = error;
    const [first, ...others] = batch.calls;
    if (first === undefined) return;
    if (error.retryable) {
      this.#repeatLater(batch, error);
      return;
    }
    if (others.length === 0) {
      this.#reject(batch, error);
      return;
    }
    const culprit = callAt(batch, error.field);
    if (culprit !== undefined) {
      const { call, from } = culprit;
      this.#reject(subBatch(batch, [call]), relativeTo(from, typeof call.ids === "string", error));
      this.#ready.unshift(
        subBatch(
          batch,
          batch.calls.filter((other) => other !== call),
        ),
      );
      return;
    }
    if (error.code !== "INVALID_ARGUMENT" && error.code !== "TASK_TOO_LARGE") {
      this.#reject(batch, error);
      return;
    }
    // The broker did not say which: halve until the fault is alone.
    const middle = batch.calls.length >> 1;
    this.#ready.unshift(subBatch(batch, batch.calls.slice(0, middle)), subBatch(batch, batch.calls.slice(middle)));
  }

  /** Sends the batch again after a while, apart by topic: one that is full must not hold up the others. */
  #repeatLater(batch: Batch, error: TaskqueueError): void {
    const topics = new Map<string, Call[]>();
    for (const call of batch.calls) {
      const calls = topics.get(call.topic);
      if (calls) calls.push(call);
      else topics.set(call.topic, [call]);
    }
    if (topics.size > 1 && error.code === "TOPIC_FULL") {
      this.#ready.unshift(...[...topics.values()].map((calls) => subBatch(batch, calls)));
      return;
    }
    const delayMs = Math.max(
      error.retryDelayMs ?? 0,
      jitteredBackoffMs(batch.failures - 1, BACKOFF_BASE_MS, BACKOFF_CAP_MS),
    );
    if (monotonicMs() + delayMs - batch.sinceMs >= this.#options.retryForMs) {
      this.#reject(batch, error);
      return;
    }
    const timer = after(delayMs, () => {
      this.#delayed.delete(batch);
      this.#ready.push(batch);
      this.#schedule();
    });
    this.#delayed.set(batch, timer);
    if (error.code === "DRAINING") this.#moveOn(error);
  }

  /** The broker is about to stop: what it has not answered goes to the next one. */
  #moveOn(error: TaskqueueError): void {
    if (this.#state.kind !== "attached") return;
    this.#transport.lost(this.#state.link);
    this.#lose(error);
  }

  /** Waits until everything enqueued has an answer, and closes the stream. New tasks are refused from now on. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = deferred();
      if (!this.#pending && this.#producing === 0) this.#finish();
    }
    return this.#closing.promise;
  }

  #finish(): void {
    this.#enter({ kind: "closed" });
    this.#closing?.resolve();
  }
}

function closedError(): TaskqueueError {
  return new TaskqueueError("CLOSED", "the client is closed");
}

/** Errors of a whole stream that no repetition mends. */
function isFinal(error: TaskqueueError): boolean {
  return !error.retryable && ["UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "CLOSED"].includes(error.code);
}

/** The error of the item at `index` of enqueueMany. */
function atItem(index: number, error: TaskqueueError): TaskqueueError {
  return new TaskqueueError(error.code, `item ${index}: ${error.message}`, {
    field: `items[${index}]${error.field === undefined ? "" : `.${error.field}`}`,
    cause: error,
  });
}

const TASK_FIELD = /^tasks\[(\d+)\]\.?/;

/** The call whose task a field such as `tasks[3].priority` names, and the position of its first task. */
function callAt(batch: Batch, field: string | undefined): { call: Call; from: number } | undefined {
  const index = TASK_FIELD.exec(field ?? "")?.[1];
  if (index === undefined) return undefined;
  let from = 0;
  for (const call of batch.calls) {
    const count = typeof call.ids === "string" ? 1 : call.ids.length;
    if (Number(index) < from + count) return { call, from };
    from += count;
  }
  return undefined;
}

/** The error in terms of the caller's own tasks. */
function relativeTo(from: number, single: boolean, error: TaskqueueError): TaskqueueError {
  const rename = (text: string) =>
    text.replace(/tasks\[(\d+)\]\.?/g, (_, index: string) => (single ? "" : `items[${Number(index) - from}].`));
  return new TaskqueueError(error.code, rename(error.message), {
    field: error.field === undefined ? undefined : rename(error.field),
    status: error.status,
    cause: error,
  });
}

function subBatch(batch: Batch, calls: readonly Call[]): Batch {
  const bytes = Buffer.concat(calls.map((call) => batch.bytes.subarray(call.start, call.end)));
  let at = 0;
  const moved = calls.map((call) => {
    const start = at;
    at += call.end - call.start;
    return { ...call, start, end: at };
  });
  const tasks = calls.reduce((sum, call) => sum + (typeof call.ids === "string" ? 1 : call.ids.length), 0);
  return { ...batch, bytes, calls: moved, tasks };
}

interface Answer {
  readonly existing: readonly number[];
  readonly error: Parameters<typeof errorFromReason>[0] | undefined;
}

const ALL_CREATED: Answer = { existing: [], error: undefined };

/** Reads an EnqueueStreamResponse. Ids are not looked at: every task has one of its own. */
function readAnswer(bytes: Buffer): Answer {
  if (bytes.length === 0) return ALL_CREATED;
  const reader = new Reader(bytes);
  const existing: number[] = [];
  let error: Answer["error"];
  while (reader.next(reader.length)) {
    if (reader.field === 2) reader.uints(existing);
    else if (reader.field === 3) error = readError(reader);
    else reader.skip();
  }
  return { existing, error };
}

function readError(reader: Reader): NonNullable<Answer["error"]> {
  const end = reader.block();
  const error = { code: 0, reason: "", message: "", field: "", retryDelayMs: undefined as number | undefined };
  while (reader.next(end)) {
    if (reader.field === 1) error.code = reader.int32();
    else if (reader.field === 2) error.reason = reader.string();
    else if (reader.field === 3) error.message = reader.string();
    else if (reader.field === 4) error.field = reader.string();
    else if (reader.field === 5) error.retryDelayMs = readMillis(reader);
    else reader.skip();
  }
  return error;
}
