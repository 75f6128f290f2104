/**
 * Appends events to the store's log, in batches, and only while somebody
 * watches: at full speed events would cost as much as the tasks themselves. For
 * the same reason so many a second are appended and no more: see EventBound.
 *
 * Events are told after the stored change they are about. When there are more
 * than may be told, the log cannot keep up, or the store is away, some are
 * dropped; they never slow a task. The next entry of the log says what was
 * dropped before it, and one that says only that follows soon if there is none.
 */
import { LIMITS } from "../domain/limits.js";
import type { Millis } from "../domain/task.js";
import { type Clock, pause } from "../lib/clock.js";
import type { Log } from "../lib/log.js";
import type { Store } from "../store/store.js";
import { EventBound, type TopicShare } from "./event-bound.js";
import { EventLosses } from "./event-losses.js";
import { EventWishes } from "./event-wishes.js";
import { type EventType, encodeEvents, isRare, type TaskqueueEvent } from "./events.js";

const BATCH_MAX = 500;
/** Under load the log is written and read in turns of this length: each costs every watcher a message. */
const TURN_MS = 100;
/** How soon a log that was away is told again that events were lost. */
const RETRY_MS = 1_000;

export interface EventLogOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** Whether events are wanted though nobody watches. */
  readonly always: boolean;
  /** Events appended per second; 0: no bound. */
  readonly perSecond: number;
  readonly now: () => Millis;
}

/** Events of one type and topic, of which some may be told. */
export interface EventOffer {
  /** Whether the event of that task is to be built and emitted. An empty external id is none. */
  admits(taskId: string, externalId: string): boolean;
}

const ALL: EventOffer = { admits: () => true };

/** An offer of which no more is told than the bound lets through. */
class BoundedOffer implements EventOffer {
  readonly #bound: EventBound;
  readonly #share: TopicShare;
  readonly #isRare: boolean;
  readonly #wishes: EventWishes;
  readonly #lose: (isSure: boolean, isFirst: boolean) => void;
  #isWhole = true;

  /** `lose` is told of each event that is dropped, and whether it is the first of the offer. */
  constructor(
    bound: EventBound,
    share: TopicShare,
    isRare: boolean,
    wishes: EventWishes,
    lose: (isSure: boolean, isFirst: boolean) => void,
  ) {
    this.#bound = bound;
    this.#share = share;
    this.#isRare = isRare;
    this.#wishes = wishes;
    this.#lose = lose;
  }

  admits(taskId: string, externalId: string): boolean {
    const isSure = this.#isRare || this.#wishes.wants(taskId, externalId);
    if (this.#bound.admits(this.#share, taskId, isSure)) return true;
    this.#lose(isSure, this.#isWhole);
    this.#isWhole = false;
    return false;
  }
}

export class EventLog {
  readonly wishes = new EventWishes();
  readonly #store: Store;
  readonly #options: EventLogOptions;
  readonly #bound: EventBound | undefined;
  readonly #losses = new EventLosses(this.wishes);
  #watchedUntilMs = 0;
  #pending: TaskqueueEvent[] = [];
  #appending: Promise<void> | undefined;
  /** Cuts the turns short. */
  #flushing = new AbortController();

  constructor(store: Store, options: EventLogOptions) {
    const { clock, perSecond } = options;
    this.#store = store;
    this.#options = options;
    this.#bound = perSecond > 0 ? new EventBound(perSecond, () => clock.monotonic()) : undefined;
  }

  /** Whether somebody wants events. */
  get active(): boolean {
    return this.#options.always || this.#watchedUntilMs > this.#options.now();
  }

  /** Events lost so far: over the bound, or because the log was too slow or away. */
  get dropped(): number {
    return this.#losses.count;
  }

  watchedUntil(untilMs: Millis): void {
    this.#watchedUntilMs = Math.max(this.#watchedUntilMs, untilMs);
  }

  /** Ask before events are built. Undefined while nobody wants any. `topic` is empty for events of none. */
  offer(type: EventType, topic: string, count: number): EventOffer | undefined {
    if (!this.active) return undefined;
    if (this.#bound === undefined) return ALL;
    const rare = isRare(type);
    const share = this.#bound.offer(topic, rare ? 0 : count);
    return new BoundedOffer(this.#bound, share, rare, this.wishes, (isSure, isFirst) => {
      // Thousands of one offer differ in nothing.
      if (!isSure && !isFirst) return this.#losses.noteSame();
      this.#losses.note(type, topic, isSure);
      this.#appending ??= this.#append();
    });
  }

  /** An event that an offer admitted. */
  emit(event: TaskqueueEvent): void {
    if (this.#pending.length >= LIMITS.pendingEventsMax) {
      this.#pending.splice(0, BATCH_MAX);
      this.#losses.noteAny(BATCH_MAX);
    }
    this.#pending.push(event);
    this.#appending ??= this.#append();
  }

  /** Resolves once everything emitted so far is appended or given up. */
  async flush(): Promise<void> {
    this.#flushing.abort();
    while (this.#appending !== undefined) await this.#appending;
    this.#flushing = new AbortController();
  }

  async #append(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    let inTurn = 0;
    let failed = false;
    for (;;) {
      if (this.#pending.length === 0) {
        if (!this.#losses.any || !this.active || (failed && this.#flushing.signal.aborted)) break;
        // There will be events to tell it with, most likely.
        await this.#pause(failed ? RETRY_MS : TURN_MS);
      }
      const events = this.#pending.splice(0, BATCH_MAX);
      failed = !(await this.#appendBatch(events));
      inTurn += events.length;
      if (this.#pending.length >= BATCH_MAX || !this.#isLoad(inTurn)) continue;
      await this.#pause(TURN_MS);
      inTurn = 0;
    }
    this.#appending = undefined;
  }

  /** Whether so many events in a turn are more than a twentieth of what the bound lets through. */
  #isLoad(inTurn: number): boolean {
    const { perSecond } = this.#options;
    return perSecond > 0 && inTurn >= (perSecond * TURN_MS) / 1_000 / 20;
  }

  #pause(ms: Millis): Promise<void> {
    return pause(this.#options.clock, ms, this.#flushing.signal);
  }

  /** Whether the log took it. */
  async #appendBatch(events: readonly TaskqueueEvent[]): Promise<boolean> {
    const lost = this.#losses.take();
    try {
      await this.#store.appendEvents(encodeEvents(lost === undefined ? { events } : { events, lost }));
      return true;
    } catch (error) {
      this.#losses.noteAny(events.length);
      if (events.length > 0) {
        this.#options.log.warn({ err: error, events: events.length }, "events were lost: the log could not be written");
      }
      return false;
    }
  }
}
