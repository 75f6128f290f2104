/**
 * Serves any number of watchers from one reader of the store's event log.
 *
 * While somebody watches, the hub announces it, reads the log and hands each
 * event to the watchers whose filter it passes. A watcher that reads too slowly
 * loses what does not fit its queue and is told so; it never slows the hub, and
 * the hub never slows a task: what watchers cost is bounded by a number of
 * events per second, of which each has an equal share. Of more, the hub chooses
 * once for all watchers what they see: whole stories, and what is rare. A
 * watcher that begins at an older cursor reads the log by itself until it
 * reaches the hub.
 */
import { TaskqueueError } from "../domain/errors.js";
import { LIMITS } from "../domain/limits.js";
import { pause } from "../lib/clock.js";
import type { EventEntry } from "../store/store.js";
import type { EngineContext } from "./context.js";
import { EventBound } from "./event-bound.js";
import type { Wish } from "./event-wishes.js";
import { decodeEvents, isRare } from "./events.js";
import { type ReadEvent, Watcher, type WatchFilter } from "./watcher.js";

const READ_LIMIT = 100;
const READ_WAIT_MS = 2_000;
/** Entries the hub remembers, for watchers that catch up with it. */
const RECENT_MAX = 500;
/** Their bytes, likewise: an entry of a large batch, or of long errors, can be megabytes. */
const RECENT_BYTES_MAX = 4 * 1024 * 1024;
/** How long a watch is announced for; refreshed at a third of it. */
const ANNOUNCE_MS = 15_000;

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
  readonly #bound: EventBound;

  constructor(context: EngineContext) {
    this.#context = context;
    this.#bound = new EventBound(LIMITS.watchedEventsPerSecond, () => context.clock.monotonic());
  }

  /** Joins; the watcher is fed until `leave`. Throws TOO_MANY_WATCHERS or STORE_UNAVAILABLE. */
  async join(filter: WatchFilter, after: string): Promise<Watcher> {
    if (this.#count >= LIMITS.watchersMax) {
      throw new TaskqueueError("TOO_MANY_WATCHERS", `this broker serves ${LIMITS.watchersMax} watchers and no more`, {
        retryDelayMs: 5_000,
      });
    }
    this.#count++;
    const { wishes } = this.#context.events;
    const wish = wishes.add(filter);
    try {
      const reading = await this.#start();
      const watcher = new Watcher({ filter, wish, keeper: wishes.keeper, cursor: reading.cursor });
      if (after === "") this.#watchers.add(watcher);
      else await this.#catchUp(watcher, after, reading);
      return watcher;
    } catch (error) {
      this.#left(wish);
      throw error;
    }
  }

  leave(watcher: Watcher): void {
    if (this.#watchers.delete(watcher)) this.#left(watcher.wish);
  }

  #left(wish: Wish): void {
    this.#context.events.wishes.remove(wish);
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
    const { events, lost } = decodeEvents(entry.batch);
    const share = LIMITS.watchedEventsPerSecond / Math.max(1, this.#watchers.size);
    this.#bound.perSecond = share;
    const read = events.map((event): ReadEvent => {
      const { type, topic = "", taskId = "" } = event;
      const rare = isRare(type);
      return { event, chosen: this.#bound.admits(this.#bound.offer(topic, rare ? 0 : 1), taskId, rare) };
    });
    const now = this.#context.clock.monotonic();
    for (const watcher of this.#watchers) watcher.follow(read, lost, { cursor: entry.cursor, now, share });
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
