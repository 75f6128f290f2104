/** The producers' side: puts tasks in, counts and watches them. */
import type { Admin } from "./admin.js";
import type { ClientOptions, EnqueueOptions } from "./options.js";
import type { EventType, StatsReport, WatchEvent } from "./task-info.js";
import type { Topic, TopicRef } from "./topic.js";

/** An accepted task. */
export interface Enqueued {
  readonly id: string;
  /** False when a task of this topic and id existed already: nothing was changed. */
  readonly created: boolean;
}

/** One task of `enqueueMany`, with options of its own. */
export interface EnqueueEntry<Input> extends EnqueueOptions {
  readonly args: Input;
}

/** Either the arguments alone, or an entry. Topics with a codec take entries only. */
export type EnqueueItem<Input> = (Input extends readonly unknown[] ? Input : never) | EnqueueEntry<Input>;

export interface WatchOptions {
  /** Events of these topics. At most 100. Default: of all. */
  readonly topics?: readonly TopicRef[];
  readonly taskIds?: readonly string[];
  readonly externalIds?: readonly string[];
  readonly types?: readonly EventType[];
  /** Begin after this cursor. Default: with what happens from now on. */
  readonly after?: string;
  /** Ends the watch, without an error. */
  readonly signal?: AbortSignal;
}

/** A running watch. Goes on by itself after a lost connection, from where it stood. */
export interface Watch extends AsyncIterable<WatchEvent>, AsyncDisposable {
  /** Resolves with the first cursor once the broker watches: what happens from then on is seen. */
  readonly ready: Promise<string>;
  /** Ends the watch, and the loop over it. */
  close(): Promise<void>;
}

/**
 * A producer's connection to the brokers. Connects when it is first used; close
 * it when done. One per process is enough, however many tasks it enqueues.
 */
export declare class Client implements AsyncDisposable {
  /** Inspect and repair. */
  readonly admin: Admin;

  /** Does not connect. Throws TaskqueueError INVALID_ARGUMENT when an option is unknown or out of bounds. */
  constructor(options?: ClientOptions);

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
  enqueue<Input>(topic: Topic<Input, unknown, unknown>, args: Input, options?: EnqueueOptions): Promise<Enqueued>;

  /**
   * Puts many tasks in; one result per item, in their order. All or nothing up
   * to 1,000 tasks and 4 MiB; beyond, in several such parts.
   */
  enqueueMany<Input>(
    topic: Topic<Input, unknown, unknown>,
    items: Iterable<EnqueueItem<Input>>,
    options?: Omit<EnqueueOptions, "id">,
  ): Promise<Enqueued[]>;

  /** Counters and sizes, of one topic or of all together. */
  stats(options?: { readonly topic?: TopicRef; readonly perTopic?: boolean }): Promise<StatsReport>;

  /** Follows what happens. Begins at once; read it by `for await`. */
  watch(options?: WatchOptions): Watch;

  /** Sends what is pending, waits for the answers, and disconnects. Closing twice is fine. */
  close(): Promise<void>;

  [Symbol.asyncDispose](): Promise<void>;
}
