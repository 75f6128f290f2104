/** Topics in order of when each is due for a background duty; a small in-memory diary. */
import type { TopicName } from "../domain/ids.js";
import type { Millis } from "../domain/task.js";

export class DueTopics {
  readonly #dueAtMs = new Map<TopicName, Millis>();

  /** Notes a moment, unless an earlier one is noted. True when it is the earliest of all topics. */
  note(topic: TopicName, atMs: Millis): boolean {
    const known = this.#dueAtMs.get(topic);
    if (known !== undefined && known <= atMs) return false;
    this.#dueAtMs.set(topic, atMs);
    return this.nextMs() === atMs;
  }

  /** Takes out the topics due at `now`. */
  take(now: Millis): TopicName[] {
    const due: TopicName[] = [];
    for (const [topic, atMs] of this.#dueAtMs) if (atMs <= now) due.push(topic);
    for (const topic of due) this.#dueAtMs.delete(topic);
    return due;
  }

  /** The earliest moment noted. */
  nextMs(): Millis | undefined {
    let next: Millis | undefined;
    for (const atMs of this.#dueAtMs.values()) if (next === undefined || atMs < next) next = atMs;
    return next;
  }
}
