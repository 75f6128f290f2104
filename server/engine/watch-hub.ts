/**
 * Serves any number of watchers from one reader of the store's event log.
 *
 * While somebody watches, the hub announces it, reads the log and hands each
 * event to the watchers whose filter it passes. A watcher that reads too slowly
 * loses what does not fit its queue and is told so; it never slows the hub, and
 * the hub never slows a task: what watchers cost is bounded by a number of
 * events per second, of which each has an equal share. A watcher that begins at an older cursor reads the
 * log by itself until it reaches the hub.
 */
import { TaskqueueError } from "../domain/errors.js";
import { LIMITS } from "../domain/limits.js";
import { pause } from "../lib/clock.js";
import type { EventEntry } from "../store/store.js";
import type { EngineContext } from "./context.js";
import { decodeEvents, type EventType, type TaskqueueEvent } from "./events.js";

const READ_LIMIT = 100;
/** Events of one page, which must fit a message of the usual 4 MiB. */
const PAGE_EVENTS_MAX = 500;
const READ_WAIT_MS = 2_000;
/** Entries the hub remembers, for watchers that catch up with it. */
const RECENT_MAX = 500;
/** Their bytes, likewise: an entry of a large batch, or of long errors, can be megabytes. */
const RECENT_BYTES_MAX = 4 * 1024 * 1024;
/** How long a watch is announced for; refreshed at a third of it. */
const ANNOUNCE_MS = 15_000;

export interface WatchFilter {
  readonly topics: ReadonlySet<string>;
  readonly taskIds: ReadonlySet<string>;
  readonly externalIds: ReadonlySet<string>;
  readonly types: ReadonlySet<EventType>;
}

export interface WatchPage {
  readonly events: readonly TaskqueueEvent[];
  readonly cursor: string;
  /** Events before these were lost to this watcher. */
  readonly dropped: boolean;
}

export function passes(filter: WatchFilter, event: TaskqueueEvent): boolean {
  return (
    admits(filter.types, event.type) &&
    admits(filter.topics, event.topic) &&
    admits(filter.taskIds, event.taskId) &&
    admits(filter.externalIds, event.externalId)
  );
}

function admits<Value>(wanted: ReadonlySet<Value>, value: Value | undefined): boolean {
  return wanted.size === 0 || (value !== undefined && wanted.has(value));
}

/** Events of one entry of the log that passed a watcher's filter. */
interface Passed {
  readonly events: readonly TaskqueueEvent[];
  readonly cursor: string;
}

/** One watcher: a bounded queue between the hub and a stream. */
export class Watcher {
  readonly #filter: WatchFilter;
  #queue: Passed[] = [];
  /** Events in the queue. */
  #count = 0;
  /** Where the watcher stands when the queue is taken. */
  #cursor: string;
  #dropped = false;
  /** Set while the hub still reads entries that this watcher has read by itself. */
  #skipTo: string | undefined;
  /** Events this watcher may be handed now; grows with time up to a second's share. */
  #allowance = Number.POSITIVE_INFINITY;
  #allowedAt = 0;
  #notify: (() => void) | undefined;

  constructor(filter: WatchFilter, cursor: string) {
    this.#filter = filter;
    this.#cursor = cursor;
  }

  push(events: readonly TaskqueueEvent[], cursor: string): void {
    const passed = events.filter((event) => passes(this.#filter, event));
    this.#cursor = cursor;
    if (passed.length === 0) return;
    this.#queue.push({ events: passed, cursor });
    this.#count += passed.length;
    if (this.#count > LIMITS.watcherEventsMax) {
      this.#queue = [];
      this.#count = 0;
      this.#dropped = true;
    }
    this.#wake();
  }

  /** What the hub reads up to and with this cursor is known already. */
  skipTo(cursor: string): void {
    this.#skipTo = cursor;
  }

  /** An entry the hub read. `now` is on the monotonic clock; `share` is of events per second. */
  follow(events: readonly TaskqueueEvent[], cursor: string, now: number, share: number): void {
    if (this.#skipTo !== undefined) {
      if (this.#skipTo === cursor) this.#skipTo = undefined;
      return;
    }
    this.#allowance = Math.min(share, this.#allowance + ((now - this.#allowedAt) * share) / 1_000);
    this.#allowedAt = now;
    if (this.#allowance <= 0) {
      this.gap(cursor);
      return;
    }
    const before = this.#count;
    this.push(events, cursor);
    this.#allowance -= Math.max(0, this.#count - before);
  }

  /** Events were lost; the watcher goes on after `cursor`, if one is given. */
  gap(cursor = this.#cursor): void {
    this.#cursor = cursor;
    this.#dropped = true;
    this.#wake();
  }

  #wake(): void {
    const notify = this.#notify;
    this.#notify = undefined;
    notify?.();
  }

  /** Resolves when there is something to take. */
  filled(): Promise<void> {
    if (this.#count > 0 || this.#dropped) return Promise.resolve();
    return new Promise((resolve) => {
      this.#notify = resolve;
    });
  }

  /** Takes as much as fits a page: whole entries of the log, so that its cursor can be resumed from. */
  take(): WatchPage {
    let entries = 0;
    let count = 0;
    for (const { events } of this.#queue) {
      if (entries > 0 && count + events.length > PAGE_EVENTS_MAX) break;
      count += events.length;
      entries++;
    }
    const taken = this.#queue.splice(0, entries);
    this.#count -= count;
    const last = this.#queue.length > 0 ? taken.at(-1) : undefined;
    const page = {
      events: taken.flatMap(({ events }) => events),
      cursor: last?.cursor ?? this.#cursor,
      dropped: this.#dropped,
    };
    this.#dropped = false;
    return page;
  }
}

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "reading"; readonly stop: AbortController; readonly started: Promise<void>; cursor: string };

export class WatchHub {
  readonly #context: EngineContext;
  readonly #watchers = new Set<Watcher>();
  #state: State = { kind: "idle" };
  #recent: EventEntry[] = [];
  #recentBytes = 0;
  #count = 0;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** Joins; the watcher is fed until `leave`. Throws TOO_MANY_WATCHERS or STORE_UNAVAILABLE. */
  async join(filter: WatchFilter, after: string): Promise<Watcher> {
    if (this.#count >= LIMITS.watchersMax) {
      throw new TaskqueueError("TOO_MANY_WATCHERS", `this broker serves ${LIMITS.watchersMax} watchers and no more`, {
        retryDelayMs: 5_000,
      });
    }
    this.#count++;
    try {
      const reading = await this.#start();
      const watcher = new Watcher(filter, reading.cursor);
      if (after === "") this.#watchers.add(watcher);
      else await this.#catchUp(watcher, after, reading);
      return watcher;
    } catch (error) {
      this.#left();
      throw error;
    }
  }

  leave(watcher: Watcher): void {
    if (this.#watchers.delete(watcher)) this.#left();
  }

  #left(): void {
    this.#count--;
    if (this.#count === 0) this.stop();
  }

  stop(): void {
    if (this.#state.kind === "reading") this.#state.stop.abort();
    this.#state = { kind: "idle" };
    this.#recent = [];
    this.#recentBytes = 0;
  }

  async #start(): Promise<State & { kind: "reading" }> {
    if (this.#state.kind === "idle") {
      const stop = new AbortController();
      const state: State & { kind: "reading" } = {
        kind: "reading",
        stop,
        cursor: "",
        started: Promise.resolve(),
      };
      this.#state = state;
      const started = this.#open(state);
      Object.assign(state, { started });
    }
    const state = this.#state;
    try {
      await state.started;
    } catch (error) {
      if (this.#state === state) this.#state = { kind: "idle" };
      throw error;
    }
    return state;
  }

  async #open(state: State & { kind: "reading" }): Promise<void> {
    const { store } = this.#context;
    await this.#announce();
    state.cursor = (await store.readEvents({ limit: 1, waitMs: 0 })).cursor;
    void this.#read(state);
    void this.#keepAnnouncing(state.stop.signal);
  }

  async #announce(): Promise<void> {
    const untilMs = this.#context.now() + ANNOUNCE_MS;
    await this.#context.store.announceWatch(untilMs);
    this.#context.events.watchedUntil(untilMs);
  }

  async #keepAnnouncing(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#context;
    for (;;) {
      await pause(clock, ANNOUNCE_MS / 3, signal);
      if (signal.aborted) return;
      await this.#announce().catch((error: unknown) => log.debug({ err: error }, "a watch could not be announced"));
    }
  }

  async #read(state: State & { kind: "reading" }): Promise<void> {
    const { store, clock, log } = this.#context;
    const { signal } = state.stop;
    while (!signal.aborted) {
      try {
        const page = await store.readEvents({ after: state.cursor, limit: READ_LIMIT, waitMs: READ_WAIT_MS });
        if (signal.aborted) return;
        if (page.gap) for (const watcher of this.#watchers) watcher.gap();
        for (const entry of page.entries) this.#spread(entry);
        state.cursor = page.cursor;
      } catch (error) {
        log.debug({ err: error }, "the event log could not be read; trying again");
        await pause(clock, 500, signal);
      }
    }
  }

  #spread(entry: EventEntry): void {
    this.#remember(entry);
    const events = decodeEvents(entry.batch);
    const now = this.#context.clock.monotonic();
    const share = LIMITS.watchedEventsPerSecond / this.#watchers.size;
    for (const watcher of this.#watchers) watcher.follow(events, entry.cursor, now, share);
  }

  /** Forgets the oldest once there is twice as much as it should keep. */
  #remember(entry: EventEntry): void {
    this.#recent.push(entry);
    this.#recentBytes += entry.batch.length;
    if (this.#recent.length <= 2 * RECENT_MAX && this.#recentBytes <= 2 * RECENT_BYTES_MAX) return;
    let surplus = 0;
    while (this.#recent.length - surplus > RECENT_MAX || this.#recentBytes > RECENT_BYTES_MAX) {
      this.#recentBytes -= this.#recent[surplus]?.batch.length ?? 0;
      surplus += 1;
    }
    this.#recent.splice(0, surplus);
  }

  /** Feeds a watcher from the log until it stands where the hub stands, and lets it follow from there. */
  async #catchUp(watcher: Watcher, after: string, state: State & { kind: "reading" }): Promise<void> {
    const { store } = this.#context;
    let cursor = after;
    for (let strange = false; ; strange = true) {
      for (let more = true; more; ) {
        const page = await store.readEvents({ after: cursor, limit: READ_LIMIT, waitMs: 0 });
        if (page.gap) watcher.gap();
        for (const entry of page.entries) watcher.push(decodeEvents(entry.batch), entry.cursor);
        cursor = page.cursor;
        if (this.#meets(watcher, cursor, state)) return;
        more = page.entries.length > 0;
      }
      // The watcher is ahead of the hub, or its cursor is of a log that is no more.
      const end = await store.readEvents({ limit: 1, waitMs: 0 });
      if (this.#meets(watcher, cursor, state)) return;
      if (end.cursor !== cursor && !strange) continue;
      if (end.cursor === cursor) watcher.skipTo(cursor);
      else watcher.gap(state.cursor);
      this.#watchers.add(watcher);
      return;
    }
  }

  /**
   * Lets a watcher follow from a cursor that the hub has come by, after what the
   * hub read since; false when it has not. Without an await: nothing slips in between.
   */
  #meets(watcher: Watcher, cursor: string, state: State & { kind: "reading" }): boolean {
    const index = this.#recent.findIndex((entry) => entry.cursor === cursor);
    if (cursor !== state.cursor && index === -1) return false;
    const since = cursor === state.cursor ? [] : this.#recent.slice(index + 1);
    for (const entry of since) watcher.push(decodeEvents(entry.batch), entry.cursor);
    this.#watchers.add(watcher);
    return true;
  }
}
