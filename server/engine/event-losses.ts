/** Remembers what kinds of events were dropped, until the log tells the watchers. */

import type { EventWishes } from "./event-wishes.js";
import { EVENT_TYPES, type EventType, type LostEvents } from "./events.js";

/** Beyond, events of any topic may be missing: it is not worth remembering which. */
const TOPICS_MAX = 20;

export class EventLosses {
  readonly #wishes: EventWishes;
  readonly #types = new Set<EventType>();
  /** Undefined: of any topic. */
  #topics: Set<string> | undefined = new Set();
  /** The latest wish when the first of these was dropped; undefined when wished ones were dropped too. */
  #wishesKept: number | undefined;
  #count = 0;

  constructor(wishes: EventWishes) {
    this.#wishes = wishes;
  }

  /** Events lost so far. */
  get count(): number {
    return this.#count;
  }

  /** Whether there is something to tell. */
  get any(): boolean {
    return this.#types.size > 0;
  }

  /** An event was dropped; `sure` if it was one that should not have been. */
  note(type: EventType, topic: string, sure: boolean): void {
    if (this.#types.size === 0) this.#wishesKept = this.#wishes.number;
    if (sure) this.#wishesKept = undefined;
    this.#types.add(type);
    if (topic === "") this.#topics = undefined;
    else this.#topics?.add(topic);
    if (this.#topics && this.#topics.size > TOPICS_MAX) this.#topics = undefined;
    this.#count += 1;
  }

  /** One more like that which was noted last, and was not sure. */
  noteSame(): void {
    this.#count += 1;
  }

  /** Events of which nothing is known any more. */
  noteAny(count: number): void {
    for (const type of EVENT_TYPES) this.#types.add(type);
    this.#topics = undefined;
    this.#wishesKept = undefined;
    this.#count += count;
  }

  /** What to tell; then there is nothing to tell. */
  take(): LostEvents | undefined {
    if (!this.any) return undefined;
    const lost: LostEvents = {
      types: [...this.#types],
      ...(this.#topics === undefined ? {} : { topics: [...this.#topics] }),
      ...(this.#wishesKept === undefined ? {} : { kept: { by: this.#wishes.keeper, wishes: this.#wishesKept } }),
    };
    this.#types.clear();
    this.#topics = new Set();
    return lost;
  }
}
