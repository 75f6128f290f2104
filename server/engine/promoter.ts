/**
 * Makes scheduled tasks ready when they are due.
 *
 * Every broker does it for every topic it has heard of; a promotion that another
 * broker was faster with costs one empty call. Moments are learned from
 * wake-ups, from each answer, and from a slow walk over all topics that finds
 * what a lost wake-up missed.
 */
import type { TopicName } from "../domain/ids.js";
import { LIMITS } from "../domain/limits.js";
import type { Millis } from "../domain/task.js";
import type { EngineContext } from "./context.js";
import { DueTopics } from "./due-topics.js";

/** A topic whose tasks fall due one after the other is promoted at most this often. */
const PAUSE_MS = 5;
/** When the store fails, what is due waits this long. */
const RETRY_MS = 1_000;

export class Promoter {
  readonly #context: EngineContext;
  readonly #due = new DueTopics();
  #onEarlier: (ms: number) => void = () => {};

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** Whom to tell that the next tick should come within `ms`. */
  set onEarlier(onEarlier: (ms: number) => void) {
    this.#onEarlier = onEarlier;
  }

  /** A task of the topic is due at that moment. */
  note(topic: TopicName, atMs: Millis): void {
    if (this.#due.note(topic, atMs)) this.#onEarlier(Math.max(0, atMs - this.#context.now()));
  }

  /** Returns the milliseconds until something is due next. */
  async tick(): Promise<number | undefined> {
    const { store } = this.#context;
    const now = this.#context.now();
    const topics = this.#due.take(now);
    for (const [index, topic] of topics.entries()) {
      try {
        const { nextDueMs } = await store.promote(topic, { now, limit: LIMITS.batchMax });
        if (nextDueMs !== undefined)
          this.#due.note(topic, nextDueMs <= now ? now : Math.max(nextDueMs, now + PAUSE_MS));
      } catch (error) {
        for (const left of topics.slice(index)) this.#due.note(left, now + RETRY_MS);
        throw error;
      }
    }
    const next = this.#due.nextMs();
    return next === undefined ? undefined : Math.max(0, next - this.#context.now());
  }
}
