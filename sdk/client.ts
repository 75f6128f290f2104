/** The producers' side: puts tasks in, counts and watches them. */
import { type Admin, AdminClient, topicName } from "./admin.js";
import type { Enqueued } from "./batch.js";
import { statsReportFromWire } from "./convert.js";
import { EnqueueStream } from "./enqueue-stream.js";
import { LIMITS } from "./limits.js";
import { type ClientOptions, type EnqueueOptions, integer, invalid, refuseUnknown } from "./options.js";
import type { TaskToEnqueue } from "./part.js";
import { createRpc, type Rpc } from "./rpc.js";
import { checked } from "./schema.js";
import type { StatsReport } from "./task-info.js";
import type { AnyTopic, Topic, TopicRef } from "./topic.js";
import { Dialer, Transport } from "./transport.js";
import { EventWatch, type Watch, type WatchOptions } from "./watch.js";

/** One task of `enqueueMany`, with options of its own. */
export interface EnqueueEntry<Input> extends EnqueueOptions {
  readonly args: Input;
}

/** Either the arguments alone, or an entry. Topics with a codec take entries only. */
export type EnqueueItem<Input> = (Input extends readonly unknown[] ? Input : never) | EnqueueEntry<Input>;

const OPTIONS = new Set([
  "address",
  "tls",
  "token",
  "connectTimeoutMs",
  "logger",
  "retryForMs",
  "taskBytesMax",
  "bufferedTasksMax",
  "bufferedBytesMax",
]);
const RETRY_FOR_MS_DEFAULT = 30_000;
const BUFFERED_TASKS_DEFAULT = 20_000;
const BUFFERED_BYTES_DEFAULT = 32 * 1024 * 1024;
const DAY_MS = 86_400_000;

/**
 * A producer's connection to the brokers. Connects when it is first used; close
 * it when done. One per process is enough, however many tasks it enqueues.
 */
export class Client implements AsyncDisposable {
  /** Inspect and repair. */
  readonly admin: Admin;
  readonly #transport: Transport;
  readonly #enqueueing: EnqueueStream;
  readonly #rpc: Rpc;
  readonly #retryForMs: number;
  readonly #watches = new Set<EventWatch>();
  #closing: Promise<void> | undefined;

  /** Does not connect. Throws TaskqueueError INVALID_ARGUMENT when an option is unknown or out of bounds. */
  constructor(options: ClientOptions = {}) {
    refuseUnknown("Client", options, OPTIONS);
    this.#retryForMs = integer("retryForMs", options.retryForMs, RETRY_FOR_MS_DEFAULT, 0, DAY_MS);
    this.#transport = new Transport(new Dialer(options));
    this.#rpc = createRpc(this.#transport, this.#retryForMs);
    this.admin = new AdminClient(this.#rpc);
    const bufferMax = Number.MAX_SAFE_INTEGER;
    this.#enqueueing = new EnqueueStream(this.#transport, {
      retryForMs: this.#retryForMs,
      taskBytesMax: integer("taskBytesMax", options.taskBytesMax, LIMITS.taskBytesMax, 1, 64 * LIMITS.taskBytesMax),
      bufferedTasksMax: integer("bufferedTasksMax", options.bufferedTasksMax, BUFFERED_TASKS_DEFAULT, 1, bufferMax),
      bufferedBytesMax: integer("bufferedBytesMax", options.bufferedBytesMax, BUFFERED_BYTES_DEFAULT, 1, bufferMax),
      logger: options.logger,
    });
  }

  /**
   * Puts a task in. Once it resolves the task is kept.
   *
   * Whatever is enqueued in one tick travels together. While the brokers are
   * away or full the call is repeated, safely, for `retryForMs`. It waits while
   * too much is under way already. Do not change `args` until it has settled.
   *
   * @throws TaskqueueError INVALID_ARGUMENT or TASK_TOO_LARGE (nothing was
   * enqueued), UNREACHABLE or TOPIC_FULL and others that are `retryable` (it
   * may have been enqueued: repeat with the same id to be sure), CLOSED.
   */
  enqueue<Input>(
    topic: Topic<Input, unknown, unknown>,
    args: NoInfer<Input>,
    options?: EnqueueOptions,
  ): Promise<Enqueued> {
    if (topic.args === undefined) return this.#enqueueing.enqueue(topic, args, options);
    return this.#enqueueChecked(topic, args, options);
  }

  async #enqueueChecked(topic: AnyTopic, args: unknown, options: EnqueueOptions | undefined): Promise<Enqueued> {
    // The input travels as it is, and the worker's check makes the output of it.
    await checked(topic.args, args, "args");
    return this.#enqueueing.enqueue(topic, args, options);
  }

  /**
   * Puts many tasks in; one result per item, in their order. All or nothing up
   * to 1,000 tasks and 4 MiB; beyond, in several such parts, of which those
   * before a refused one are kept.
   */
  async enqueueMany<Input>(
    topic: Topic<Input, unknown, unknown>,
    items: Iterable<EnqueueItem<NoInfer<Input>>>,
    options?: Omit<EnqueueOptions, "id">,
  ): Promise<Enqueued[]> {
    const tasks = Array.from(items, (item) => toTask(topic, item, options));
    if (topic.args !== undefined) {
      for (const [index, task] of tasks.entries()) await checked(topic.args, task.input, `items[${index}].args`);
    }
    return this.#enqueueing.enqueueMany(topic, tasks);
  }

  /** Counters and sizes, of one topic or of all together. */
  async stats(options: { readonly topic?: TopicRef; readonly perTopic?: boolean } = {}): Promise<StatsReport> {
    const { topic = "", perTopic = false, ...unknown } = options;
    refuseUnknown("stats", unknown, new Set());
    const request = { topic: topicName(topic), perTopic };
    return statsReportFromWire(await this.#rpc.repeat((link, call) => link.broker.stats(request, call)));
  }

  /** Follows what happens. Begins at once; read it by `for await`. */
  watch(options: WatchOptions = {}): Watch {
    const watch = new EventWatch(this.#transport, this.#retryForMs, options);
    this.#watches.add(watch);
    void watch.closed.then(() => this.#watches.delete(watch));
    return watch;
  }

  /** Sends what is pending, waits for the answers, ends the watches, and disconnects. Closing twice is fine. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#enqueueing.close();
    await Promise.all([...this.#watches].map((watch) => watch.close()));
    this.#transport.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function toTask(topic: AnyTopic, item: unknown, shared: EnqueueOptions | undefined): TaskToEnqueue {
  if (Array.isArray(item) && topic.codec === undefined) return { input: item, options: shared };
  if (typeof item !== "object" || item === null || !("args" in item)) {
    throw invalid("items", item, "must be lists of arguments, or entries such as { args, id }");
  }
  const { args, ...own } = item;
  return { input: args, options: shared === undefined ? own : { ...shared, ...own } };
}
