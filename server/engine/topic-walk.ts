/**
 * The slow walk over all topics: a bounded piece at each step, round and round.
 * It finds what lost wake-ups missed, and what was there before this broker.
 */

import type { TopicRow } from "../store/store.js";
import type { EngineContext } from "./context.js";

const TOPICS_PER_STEP = 100;

export class TopicWalk {
  readonly #context: EngineContext;
  readonly #visit: (row: TopicRow) => void;
  #after: string | undefined;

  constructor(context: EngineContext, visit: (row: TopicRow) => void) {
    this.#context = context;
    this.#visit = visit;
  }

  restart(): void {
    this.#after = undefined;
  }

  async step(): Promise<void> {
    const { store } = this.#context;
    const page = await store.topics({
      limit: TOPICS_PER_STEP,
      ...(this.#after === undefined ? {} : { after: this.#after }),
    });
    if (page.rows.length > 0) for (const row of await store.describe(page.rows)) this.#visit(row);
    this.#after = page.next;
  }
}
