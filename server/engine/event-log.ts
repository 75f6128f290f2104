/**
 * Appends events to the store's log, in batches, and only while somebody
 * watches: at full speed events would cost as much as the tasks themselves.
 *
 * Events are told after the stored change they are about. When the log cannot
 * keep up, or the store is away, the oldest waiting ones are dropped and
 * counted; they never slow a task.
 */
import { LIMITS } from "../domain/limits.js";
import type { Millis } from "../domain/task.js";
import type { Log } from "../lib/log.js";
import type { Store } from "../store/store.js";
import { encodeEvents, type TaskqueueEvent } from "./events.js";

const BATCH_MAX = 500;

export class EventLog {
  readonly #store: Store;
  readonly #log: Log;
  readonly #always: boolean;
  readonly #now: () => Millis;
  #watchedUntilMs = 0;
  #pending: TaskqueueEvent[] = [];
  #appending: Promise<void> | undefined;
  #dropped = 0;

  constructor(store: Store, options: { log: Log; always: boolean; now: () => Millis }) {
    this.#store = store;
    this.#log = options.log;
    this.#always = options.always;
    this.#now = options.now;
  }

  /** Whether events are wanted now: look before you build one. */
  get active(): boolean {
    return this.#always || this.#watchedUntilMs > this.#now();
  }

  /** Events lost because the log was too slow or away. */
  get dropped(): number {
    return this.#dropped;
  }

  watchedUntil(untilMs: Millis): void {
    this.#watchedUntilMs = Math.max(this.#watchedUntilMs, untilMs);
  }

  emit(event: TaskqueueEvent): void {
    if (!this.active) return;
    if (this.#pending.length >= LIMITS.pendingEventsMax) {
      this.#pending.splice(0, BATCH_MAX);
      this.#dropped += BATCH_MAX;
    }
    this.#pending.push(event);
    this.#appending ??= this.#append();
  }

  /** Resolves once everything emitted so far is appended or given up. */
  async flush(): Promise<void> {
    while (this.#appending !== undefined) await this.#appending;
  }

  async #append(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#pending.length > 0) {
      const batch = this.#pending.splice(0, BATCH_MAX);
      try {
        await this.#store.appendEvents(encodeEvents(batch));
      } catch (error) {
        this.#dropped += batch.length;
        this.#log.warn({ err: error, events: batch.length }, "events were lost: the log could not be written");
      }
    }
    this.#appending = undefined;
  }
}
