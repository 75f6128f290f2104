/** The model's log of events: a list, of which the last `eventLogMax` entries count as kept. */
import { invalid } from "../../server/domain/errors.js";
import { LIMITS } from "../../server/domain/limits.js";
import type { Millis } from "../../server/domain/task.js";
import type { EventPage } from "../../server/store/store.js";

export class ModelEvents {
  readonly #entries: Uint8Array[] = [];
  readonly #waiting = new Set<() => void>();

  append(batch: Uint8Array): void {
    this.#entries.push(batch);
    for (const wake of this.#waiting) wake();
  }

  async read(options: {
    readonly after?: string;
    readonly limit: number;
    readonly waitMs: Millis;
  }): Promise<EventPage> {
    const { after, limit, waitMs } = options;
    if (after !== undefined && waitMs > 0 && this.#after(after, limit).entries.length === 0) {
      await this.#appended(waitMs);
    }
    return this.#after(after, limit);
  }

  close(): void {
    for (const wake of this.#waiting) wake();
  }

  /** A cursor says how many entries came up to it, itself included. */
  #after(after: string | undefined, limit: number): EventPage {
    const end = this.#entries.length;
    if (after !== undefined && !/^\d+$/.test(after)) throw invalid("after", after, "must be a cursor");
    const start = after === undefined ? end : Number(after);
    const first = Math.max(start, end - LIMITS.eventLogMax);
    const entries = this.#entries
      .slice(first, first + limit)
      .map((batch, index) => ({ cursor: String(first + index + 1), batch }));
    return { entries, cursor: entries.at(-1)?.cursor ?? String(start), gap: first > start };
  }

  #appended(waitMs: Millis): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#waiting.delete(done);
        resolve();
      };
      AbortSignal.timeout(waitMs).addEventListener("abort", done);
      this.#waiting.add(done);
    });
  }
}
