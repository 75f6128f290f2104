/**
 * A watch that survives its connection: it resumes after the last cursor it saw.
 * It reads from the broker only as fast as its consumer reads from it.
 */
import type { Metadata } from "nice-grpc";
import { topicName } from "./admin.js";
import { after, cancelTimer, deferred, monotonicMs, type Timer } from "./clock.js";
import { eventFromWire, eventTypeToWire, isEventType } from "./convert.js";
import { errorFromUnknown, TaskqueueError, unreachable } from "./errors.js";
import type { WatchRequest } from "./gen/taskqueue/v1/broker.js";
import { LIMITS } from "./limits.js";
import { invalid, refuseUnknown } from "./options.js";
import { jitteredBackoffMs } from "./random.js";
import { callMetadata, errorFromCall } from "./rpc.js";
import type { EventType, WatchEvent } from "./task-info.js";
import type { TopicRef } from "./topic.js";
import type { Transport } from "./transport.js";

/** The broker gives a sign of life every 5 s. */
const SILENCE_MS_MAX = 20_000;
const BACKOFF_BASE_MS = 50;
const BACKOFF_CAP_MS = 5_000;

export interface WatchOptions {
  /** Events of these topics. At most 100. Default: of all. */
  readonly topics?: readonly TopicRef[];
  /** Events of tasks with these ids. At most 100. Default: of all. */
  readonly taskIds?: readonly string[];
  /** Events of tasks with these external ids. At most 100. Default: of all. */
  readonly externalIds?: readonly string[];
  /** Events of these types. Default: of all. */
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

const OPTIONS = new Set(["topics", "taskIds", "externalIds", "types", "after", "signal"]);

/** Begins at once. For one consumer. */
export class EventWatch implements Watch {
  readonly ready: Promise<string>;
  readonly #transport: Transport;
  readonly #retryForMs: number;
  readonly #ready = deferred<string>();
  readonly #request: WatchRequest;
  /** Resolves when the watch is closed or has failed. */
  readonly closed: Promise<void>;
  readonly #closed = deferred();
  readonly #signal: AbortSignal | undefined;
  readonly #events: AsyncGenerator<WatchEvent, void, undefined>;
  #first: Promise<IteratorResult<WatchEvent, void>> | undefined;
  #isClosed = false;
  /** Whether events were lost before the next one; a new stream does not say it again. */
  #dropped = false;
  /** Ends the stream that is open now. */
  #cancel: (() => void) | undefined;
  readonly #onAbort = () => void this.close();

  constructor(transport: Transport, retryForMs: number, options: WatchOptions) {
    this.#transport = transport;
    this.#retryForMs = retryForMs;
    this.#request = toRequest(options);
    this.#signal = options.signal;
    this.ready = this.#ready.promise;
    this.closed = this.#closed.promise;
    // Nobody has to await it; the loop over the events throws the same.
    this.ready.catch(() => {});
    this.#events = this.#run();
    if (this.#signal?.aborted) this.#onAbort();
    else this.#signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#first = this.#events.next();
    this.#first.catch(() => {});
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchEvent, void, undefined> {
    return {
      next: () => {
        const first = this.#first;
        this.#first = undefined;
        return first ?? this.#events.next();
      },
      return: async () => {
        await this.close();
        return { done: true, value: undefined };
      },
    };
  }

  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#signal?.removeEventListener("abort", this.#onAbort);
      this.#ready.reject(new TaskqueueError("CLOSED", "the watch is closed"));
      this.#closed.resolve();
      this.#cancel?.();
    }
    await this.#events.return();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async *#run(): AsyncGenerator<WatchEvent, void, undefined> {
    let sinceMs = monotonicMs();
    let failures = 0;
    while (!this.#isClosed) {
      try {
        for await (const events of this.#stream()) {
          failures = 0;
          yield* events;
          sinceMs = monotonicMs();
        }
        if (this.#isClosed) return;
        throw new TaskqueueError("UNREACHABLE", "the broker ended the watch", { retryable: true });
      } catch (thrown) {
        if (this.#isClosed) return;
        const error = errorFromUnknown(thrown);
        const delayMs = Math.max(
          error.retryDelayMs ?? 0,
          failures === 0 ? 0 : jitteredBackoffMs(failures, BACKOFF_BASE_MS, BACKOFF_CAP_MS),
        );
        failures += 1;
        if (!error.retryable || monotonicMs() + delayMs - sinceMs >= this.#retryForMs) {
          this.#ready.reject(error);
          this.#closed.resolve();
          throw error;
        }
        await this.#pause(delayMs);
      }
    }
  }

  /** Waits, or less when the watch is closed meanwhile. */
  async #pause(ms: number): Promise<void> {
    let timer: Timer | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = after(ms, resolve);
    });
    await Promise.race([timeout, this.#closed.promise]);
    cancelTimer(timer);
  }

  /** One stream: the events of each message, and the cursor kept in step. */
  async *#stream(): AsyncGenerator<WatchEvent[], void, undefined> {
    const link = await this.#transport.connect();
    const controller = new AbortController();
    this.#cancel = () => controller.abort();
    if (this.#isClosed) return;
    let trailer: Metadata | undefined;
    let silent = false;
    const giveUp = () => {
      silent = true;
      controller.abort();
    };
    let silence = after(SILENCE_MS_MAX, giveUp);
    try {
      const responses = link.broker.watch(this.#request, {
        metadata: await callMetadata(this.#transport),
        signal: controller.signal,
        onTrailer: (received) => {
          trailer = received;
        },
      });
      for await (const response of responses) {
        cancelTimer(silence);
        this.#dropped ||= response.dropped;
        const events: WatchEvent[] = [];
        response.events.forEach((event, index) => {
          const isLast = index === response.events.length - 1;
          const cursor = isLast ? response.cursor : this.#request.after;
          const converted = eventFromWire(event, { cursor, dropped: this.#dropped });
          if (converted === undefined) return;
          events.push(converted);
          this.#dropped = false;
        });
        this.#ready.resolve(response.cursor);
        // While the consumer is busy with these, the broker's silence is of our own making.
        yield events;
        this.#request.after = response.cursor;
        silence = after(SILENCE_MS_MAX, giveUp);
      }
    } catch (error) {
      if (silent) {
        this.#transport.lost(link);
        throw unreachable(link.address, `no sign of life for ${SILENCE_MS_MAX} ms`);
      }
      const mapped = errorFromCall(error, trailer, link.address);
      if (mapped.code === "UNREACHABLE" || mapped.code === "DRAINING") this.#transport.lost(link);
      throw mapped;
    } finally {
      cancelTimer(silence);
      this.#cancel = undefined;
    }
  }
}

function toRequest(options: WatchOptions): WatchRequest {
  refuseUnknown("watch", options, OPTIONS);
  const { topics = [], taskIds = [], externalIds = [], types = [], after: cursor = "" } = options;
  for (const [field, list] of Object.entries({ topics, taskIds, externalIds })) {
    if (list.length > LIMITS.watchFilterMax) {
      throw invalid(field, list.length, `must have at most ${LIMITS.watchFilterMax} entries`);
    }
  }
  const unknown = types.find((type) => !isEventType(type));
  if (unknown !== undefined) throw invalid("types", unknown, "must be names of events, such as TASK_START");
  return {
    topics: topics.map(topicName),
    taskIds: [...taskIds],
    externalIds: [...externalIds],
    types: types.map(eventTypeToWire),
    after: cursor,
  };
}
