/** BrokerService: parse, call, convert. */
import type {
  EnqueueStreamResponse,
  Event,
  EventType,
  Stats,
  StatsRequest,
  WatchRequest,
} from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import type { CallContext } from "nice-grpc-common";
import { invalid, TaskqueueError } from "../domain/errors.js";
import { LIMITS } from "../domain/limits.js";
import type { Broker } from "../engine/broker.js";
import { EVENT_TYPES as ENGINE_EVENT_TYPES, type EventType as EngineEventType } from "../engine/events.js";
import type { WatchFilter } from "../engine/watcher.js";
import type { Clock } from "../lib/clock.js";
import type { Log } from "../lib/log.js";
import { EVENT_TYPES, toEvent, toStats } from "./convert.js";
import { topicName } from "./parse.js";
import { retryDelayMsOf, statusOf } from "./status.js";
import type { TaskInputOptions } from "./task-input.js";
import { readEnqueue } from "./task-scan.js";
import { toDuration } from "./time.js";
import type { WatchMessage } from "./watch-codec.js";

/** Requests of one EnqueueStream that are stored at once; further ones wait in the transport. */
const PIPELINE_MAX = 64;
const SIGN_OF_LIFE_MS = 5_000;
const STATS_MS = 1_000;
/** A watcher is sent what there is at once, and then as long nothing unless a page is full: each message costs as much as many events. */
const PAGE_MS = 200;

export function brokerService(broker: Broker, clock: Clock, log: Log) {
  const watchStats = new WatchStats(broker, clock);
  return {
    async enqueue(request: Uint8Array) {
      const { tasks } = readEnqueue(request, inputOptions(broker));
      const created = await broker.enqueue(tasks);
      return { results: tasks.map(({ id }, index) => ({ id, created: created[index] ?? false })) };
    },

    enqueueStream(requests: AsyncIterable<Uint8Array>, context: CallContext) {
      return pipeline(broker, requests, context, (request) => enqueueOne(broker, log, request));
    },

    async stats({ topic, perTopic }: StatsRequest) {
      const report = await broker.stats(topic === "" ? undefined : topicName("topic", topic));
      return {
        at: new Date(report.atMs),
        stats: toStats(report.total, report.workers, report.slots, report.atMs),
        topics: perTopic
          ? report.rows.map((row) => ({
              topic: row.topic,
              stats: toStats(row.stats, row.workers, row.slots, report.atMs),
              paused: row.settings.paused,
            }))
          : [],
      };
    },

    watch(request: WatchRequest, context: CallContext) {
      return watch(broker, clock, watchStats, request, context);
    },
  };
}

function inputOptions(broker: Broker): TaskInputOptions {
  return { now: broker.now(), taskBytesMax: broker.options.taskBytesMax };
}

async function enqueueOne(broker: Broker, log: Log, request: Uint8Array): Promise<EnqueueStreamResponse> {
  try {
    const { tasks, withIds } = readEnqueue(request, inputOptions(broker));
    const created = await broker.enqueue(tasks);
    const existing: number[] = [];
    for (let index = 0; index < created.length; index++) if (!created[index]) existing.push(index);
    return { ids: withIds ? [] : tasks.map(({ id }) => id), existing, error: undefined };
  } catch (error) {
    return { ids: [], existing: [], error: enqueueError(log, error) };
  }
}

function enqueueError(log: Log, error: unknown) {
  let known: TaskqueueError;
  if (error instanceof TaskqueueError) {
    known = error;
  } else {
    log.error({ err: error }, "an enqueue failed unexpectedly: this is a bug");
    known = new TaskqueueError("INTERNAL", "an unexpected error; the broker's log has the details");
  }
  const retryDelayMs = retryDelayMsOf(known);
  return {
    code: statusOf(known),
    reason: known.code,
    message: known.message,
    field: known.field ?? "",
    retryDelay: retryDelayMs === undefined ? undefined : toDuration(retryDelayMs),
  };
}

/**
 * Handles requests concurrently and answers them in their order. When the broker
 * drains, answers what it has begun and ends the stream, so that the producer
 * moves on.
 */
async function* pipeline<Request, Response>(
  broker: Broker,
  requests: AsyncIterable<Request>,
  context: CallContext,
  handle: (request: Request) => Promise<Response>,
): AsyncGenerator<Response> {
  const answers: Promise<Response>[] = [];
  let ended = false;
  let failure: unknown;
  let wake = () => {};
  let wakeReader = () => {};
  const reading = (async () => {
    for await (const request of requests) {
      answers.push(handle(request));
      wake();
      while (answers.length >= PIPELINE_MAX && !context.signal.aborted) {
        await new Promise<void>((resolve) => (wakeReader = resolve));
      }
      if (context.signal.aborted) return;
    }
  })();
  reading
    .catch((error: unknown) => {
      failure = error;
    })
    .finally(() => {
      ended = true;
      wake();
    });
  const onAbort = () => {
    wake();
    wakeReader();
  };
  context.signal.addEventListener("abort", onAbort);
  const unlisten = broker.onHealth(() => wake());
  try {
    while (!context.signal.aborted) {
      const answer = answers.shift();
      if (answer !== undefined) {
        yield await answer;
        wakeReader();
      } else if (ended) {
        if (failure !== undefined) throw failure;
        return;
      } else if (broker.health === "draining" || broker.health === "stopped") {
        throw new TaskqueueError("DRAINING", "this broker is about to stop; enqueue through another one");
      } else {
        await new Promise<void>((resolve) => (wake = resolve));
      }
    }
  } finally {
    context.signal.removeEventListener("abort", onAbort);
    unlisten();
    wakeReader();
  }
}

// ── Watch ────────────────────────────────────────────────────────────────────

async function* watch(
  broker: Broker,
  clock: Clock,
  stats: WatchStats,
  request: WatchRequest,
  context: CallContext,
): AsyncGenerator<WatchMessage> {
  const filter = watchFilter(request);
  const wantsStats =
    (filter.types.size === 0 || filter.types.has("MANAGER_STATS")) &&
    filter.topics.size + filter.taskIds.size + filter.externalIds.size === 0;
  const watcher = await broker.watch(filter, request.after);
  let lastSent = clock.monotonic();
  let lastStats = clock.monotonic();
  let lastPage = Number.NEGATIVE_INFINITY;
  try {
    const first = watcher.take();
    yield { ...first, own: [] };
    while (!context.signal.aborted && broker.health !== "draining" && broker.health !== "stopped") {
      const now = clock.monotonic();
      const quietLeft = lastSent + SIGN_OF_LIFE_MS - now;
      const statsLeft = wantsStats ? lastStats + STATS_MS - now : Number.POSITIVE_INFINITY;
      await waitFor(watcher.filled(), clock, Math.max(0, Math.min(quietLeft, statsLeft, 1_000)), context.signal);
      const restMs = lastPage + PAGE_MS - clock.monotonic();
      if (restMs > 0) await waitFor(watcher.full(), clock, restMs, context.signal);
      if (context.signal.aborted) return;
      const page = watcher.take();
      const own: Event[] = [];
      if (wantsStats && clock.monotonic() - lastStats >= STATS_MS) {
        lastStats = clock.monotonic();
        const wire = await stats.read();
        const event = { type: "MANAGER_STATS" as const, atMs: broker.now(), broker: broker.options.broker };
        if (wire) own.push(toEvent(event, wire));
      }
      if (page.events.length + own.length === 0 && !page.dropped && clock.monotonic() - lastSent < SIGN_OF_LIFE_MS)
        continue;
      lastSent = clock.monotonic();
      if (page.events.length > 0 || page.dropped) lastPage = lastSent;
      yield { ...page, own };
    }
    if (!context.signal.aborted) throw new TaskqueueError("DRAINING", "this broker is about to stop");
  } finally {
    broker.unwatch(watcher);
  }
}

function waitFor(fact: Promise<void>, clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      cancel();
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const cancel = clock.after(ms, finish);
    signal.addEventListener("abort", finish);
    void fact.then(finish);
  });
}

function watchFilter(request: WatchRequest): WatchFilter {
  const bounded = (field: string, values: readonly string[]) => {
    if (values.length > LIMITS.watchFilterMax) {
      throw invalid(field, `${values.length} entries`, `must hold at most ${LIMITS.watchFilterMax} entries`);
    }
    return new Set(values);
  };
  return {
    topics: bounded(
      "topics",
      request.topics.map((text, index) => topicName(`topics[${index}]`, text)),
    ),
    taskIds: bounded("task_ids", request.taskIds),
    externalIds: bounded("external_ids", request.externalIds),
    types: new Set(request.types.map((type, index) => eventType(`types[${index}]`, type))),
  };
}

function eventType(field: string, type: EventType): EngineEventType {
  const known = ENGINE_EVENT_TYPES.find((name) => EVENT_TYPES[name] === type);
  if (known === undefined) throw invalid(field, type, "must be a known type of event");
  return known;
}

/** The namespace's stats for all watchers of this broker, read at most once a second. */
class WatchStats {
  readonly #broker: Broker;
  readonly #clock: Clock;
  #read: Promise<Stats | undefined> | undefined;
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(broker: Broker, clock: Clock) {
    this.#broker = broker;
    this.#clock = clock;
  }

  /** Undefined when the store does not answer. */
  read(): Promise<Stats | undefined> {
    const now = this.#clock.monotonic();
    if (this.#read === undefined || now - this.#readAt >= STATS_MS * 0.9) {
      this.#readAt = now;
      this.#read = this.#broker.stats().then(
        (report) => toStats(report.total, report.workers, report.slots, report.atMs),
        () => undefined,
      );
    }
    return this.#read;
  }
}
