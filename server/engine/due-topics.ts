/** Topics in order of when each is due for a background duty; a small in-memory diary. */
import type { TopicName } from "../domain/ids.js";
import type { Millis } from "../domain/task.js";

export class DueTopics {
  readonly #dueAtMs = new Map<TopicName, Millis>();
  /** The earliest of them: a topic's moment only becomes earlier, until it is taken. */
  #next = Number.POSITIVE_INFINITY;

  /** Notes a moment, unless an earlier one is noted. True when it is the earliest of all topics. */
  note(topic: TopicName, atMs: Millis): boolean {
    const known = this.#dueAtMs.get(topic);
    if (known !== undefined && known <= atMs) return false;
    this.#dueAtMs.set(topic, atMs);
    this.#next = Math.min(this.#next, atMs);
    return this.#next === atMs;
  }

  /** Takes out the topics due at `now`. */
  take(now: Millis): TopicName[] {
    const due: TopicName[] = [];
    if (this.#next > now) return due;
    this.#next = Number.POSITIVE_INFINITY;
    for (const [topic, atMs] of this.#dueAtMs) {
      if (atMs <= now) due.push(topic);
      else this.#next = Math.min(this.#next, atMs);
    }
    for (const topic of due) this.#dueAtMs.delete(topic);
    return due;
  }

  /** The earliest moment noted. */
  nextMs(): Millis | undefined {
    return this.#dueAtMs.size === 0 ? undefined : this.#next;
  }
}
