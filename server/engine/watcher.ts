/**
 * One watcher: a bounded queue between the hub and a stream.
 *
 * What the watcher missed, because it reads slowly, has had its share, or nobody
 * was told of it, it is told with the next page it takes; only what its filter
 * would have passed counts.
 */
import { LIMITS } from "../domain/limits.js";
import type { Wish } from "./event-wishes.js";
import type { EventBatch, EventType, LostEvents, TaskqueueEvent } from "./events.js";

/** Events of one page, which must fit a message of the usual 4 MiB. */
const PAGE_EVENTS_MAX = 500;

export interface WatchFilter {
  readonly topics: ReadonlySet<string>;
  readonly taskIds: ReadonlySet<string>;
  readonly externalIds: ReadonlySet<string>;
  readonly types: ReadonlySet<EventType>;
}

export interface WatchPage {
  readonly events: readonly TaskqueueEvent[];
  readonly cursor: string;
  /** Events were lost to this watcher since the page before. */
  readonly dropped: boolean;
}

/** An event as the hub read it. */
export interface ReadEvent {
  readonly event: TaskqueueEvent;
  /** Whether it is one of those that every watcher may have. */
  readonly chosen: boolean;
}

export interface WatcherParts {
  readonly filter: WatchFilter;
  readonly wish: Wish;
  /** Who keeps the wish. */
  readonly keeper: string;
  /** Where the watcher begins. */
  readonly cursor: string;
}

function passes(filter: WatchFilter, event: TaskqueueEvent): boolean {
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

function admitsAny<Value>(wanted: ReadonlySet<Value>, values: readonly Value[]): boolean {
  return wanted.size === 0 || values.some((value) => wanted.has(value));
}

/** Events of one entry of the log that passed a watcher's filter. */
interface Passed {
  readonly events: readonly TaskqueueEvent[];
  readonly cursor: string;
}

export class Watcher {
  readonly wish: Wish;
  readonly #filter: WatchFilter;
  readonly #keeper: string;
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
  /** How many events it takes for that. */
  #notifyAt = 0;

  constructor({ filter, wish, keeper, cursor }: WatcherParts) {
    this.#filter = filter;
    this.wish = wish;
    this.#keeper = keeper;
    this.#cursor = cursor;
  }

  /** An entry that this watcher read by itself, or the hub before it followed. */
  push({ events, lost }: EventBatch, cursor: string): void {
    this.#lose(lost);
    this.#put(
      events.filter((event) => passes(this.#filter, event)),
      cursor,
    );
  }

  /** What the hub reads up to and with this cursor is known already. */
  skipTo(cursor: string): void {
    this.#skipTo = cursor;
  }

  /**
   * An entry the hub read. `now` is on the monotonic clock; `share` is of events
   * per second: of those that are not chosen a watcher takes what is left of it.
   */
  follow(
    events: readonly ReadEvent[],
    lost: LostEvents | undefined,
    { cursor, now, share }: { readonly cursor: string; readonly now: number; readonly share: number },
  ): void {
    if (this.#skipTo !== undefined) {
      if (this.#skipTo === cursor) this.#skipTo = undefined;
      return;
    }
    this.#allowance = Math.min(share, this.#allowance + ((now - this.#allowedAt) * share) / 1_000);
    this.#allowedAt = now;
    this.#lose(lost);
    const passed: TaskqueueEvent[] = [];
    for (const { event, chosen } of events) {
      if (!passes(this.#filter, event)) continue;
      if (chosen || this.#allowance > share / 2) {
        this.#allowance = Math.max(0, this.#allowance - 1);
        passed.push(event);
      } else {
        this.#dropped = true;
      }
    }
    this.#put(passed, cursor);
  }

  /** Events were lost; the watcher goes on after `cursor`, if one is given. */
  gap(cursor = this.#cursor): void {
    this.#dropped = true;
    this.#put([], cursor);
  }

  #lose(lost: LostEvents | undefined): void {
    if (lost === undefined || this.#dropped) return;
    const { types, taskIds, externalIds, topics } = this.#filter;
    if (!admitsAny(types, lost.types) || (lost.topics && !admitsAny(topics, lost.topics))) return;
    const wished = taskIds.size + externalIds.size > 0;
    const { kept } = lost;
    if (wished && kept?.by === this.#keeper && kept.wishes >= this.wish.number) return;
    this.#dropped = true;
  }

  #put(events: readonly TaskqueueEvent[], cursor: string): void {
    this.#cursor = cursor;
    if (events.length > 0) {
      this.#queue.push({ events, cursor });
      this.#count += events.length;
    }
    if (this.#count > LIMITS.watcherEventsMax) {
      this.#queue = [];
      this.#count = 0;
      this.#dropped = true;
    }
    this.#wake();
  }

  #wake(): void {
    const notify = this.#notify;
    if (notify === undefined || !this.#has(this.#notifyAt)) return;
    this.#notify = undefined;
    notify();
  }

  #has(events: number): boolean {
    return this.#count >= events || (this.#dropped && events <= 1);
  }

  /** Resolves when there is something to take; one at a time may wait. */
  filled(): Promise<void> {
    return this.#until(1);
  }

  /** Resolves when there is a whole page to take. */
  full(): Promise<void> {
    return this.#until(PAGE_EVENTS_MAX);
  }

  #until(events: number): Promise<void> {
    if (this.#has(events)) return Promise.resolve();
    return new Promise((resolve) => {
      this.#notify = resolve;
      this.#notifyAt = events;
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
