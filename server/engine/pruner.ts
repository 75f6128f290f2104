/**
 * Forgets what need not be kept any longer: ended tasks whose retention is
 * over, and ids of ended tasks whose window is over. Works through topics in
 * which tasks ended, a bounded piece at a time.
 */
import type { TopicName } from "../domain/ids.js";
import { LIMITS } from "../domain/limits.js";
import type { Millis } from "../domain/task.js";
import type { EngineContext } from "./context.js";
import { DueTopics } from "./due-topics.js";

const TICK_MS_MIN = 20;
/** Topics that are asked about together, which share the bound of one call. */
const AT_ONCE = 64;
/** Where tasks end without pause, that is noted so often. */
export const NOTED_AGAIN_MS = 1_000;
/** When the store fails, what is due waits this long. */
const RETRY_MS = 1_000;

export class Pruner {
  readonly #context: EngineContext;
  readonly #due = new DueTopics();
  /** When tasks of a topic ended last, as far as this broker knows. */
  readonly #endedAtMs = new Map<TopicName, Millis>();

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** Tasks of the topic ended, and may go on ending for `NOTED_AGAIN_MS`: look at it once their window is over. */
  note(topic: TopicName): void {
    const now = this.#context.now();
    this.#endedAtMs.set(topic, now);
    this.#due.note(topic, now + this.#windowMs);
  }

  get #windowMs(): Millis {
    return Math.max(this.#context.options.endedWindowMs, 1_000);
  }

  /** Returns the milliseconds until something is due next. */
  async tick(): Promise<number | undefined> {
    const now = this.#context.now();
    const topics = this.#due.take(now);
    for (let from = 0; from < topics.length; from += AT_ONCE) {
      const some = topics.slice(from, from + AT_ONCE);
      const limit = Math.floor(LIMITS.batchMax / some.length);
      const outcomes = await Promise.allSettled(some.map((topic) => this.#prune(topic, now, limit)));
      const failed = outcomes.find((outcome) => outcome.status === "rejected");
      if (failed === undefined) continue;
      for (const left of topics.slice(from)) this.#due.note(left, now + RETRY_MS);
      throw failed.reason;
    }
    const next = this.#due.nextMs();
    return next === undefined ? undefined : Math.max(TICK_MS_MIN, next - this.#context.now());
  }

  async #prune(topic: TopicName, now: Millis, limit: number): Promise<void> {
    const { store, options } = this.#context;
    const { pruned, nextMs } = await store.prune(topic, { now, endedWindowMs: options.endedWindowMs, limit });
    if (pruned === limit) this.#due.note(topic, now);
    else if (nextMs !== undefined) this.#due.note(topic, Math.max(nextMs, now + 1_000));
    this.#noteWindow(topic, now);
  }

  /** Ids are remembered for up to two windows: come back until the last ones are forgotten. */
  #noteWindow(topic: TopicName, now: Millis): void {
    const endedAtMs = this.#endedAtMs.get(topic) ?? 0;
    if (endedAtMs + NOTED_AGAIN_MS + 2 * this.#windowMs > now) this.#due.note(topic, now + this.#windowMs);
    else this.#endedAtMs.delete(topic);
  }
}
