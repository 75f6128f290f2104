/**
 * Turns a stream of items into few large calls without delaying a lone item.
 *
 * An item waits only for the end of the current turn of the event loop; where
 * items come one at a time, only until the callback that brought it is through.
 * While as many calls are under way as are allowed, items gather, and the next
 * call takes them all: the busier the store, the larger the batches. When
 * several calls may be made at once they share what waits, unless that is
 * little: while the store works on one part, broker and workers are busy with
 * another, where one large call would pass them one after the other. `run` deals
 * with its own errors; if it throws, that is a bug and ends the process.
 */
import type { Turn } from "../lib/turn.js";

/** What is worth a call of its own, in tasks: a call costs the broker and the store about as much as half of that. */
export const WEIGHT_SHARED = 100;

export interface BatcherOptions<Item> {
  readonly turn: Turn;
  /** What an item counts for in `weightMax`. */
  readonly weigh: (item: Item) => number;
  /** A call takes items up to this weight, and at least one. */
  readonly weightMax: number;
  /** Calls that share what waits get no less than about this. Default: they do not share. */
  readonly weightShared?: number;
  /** So many items are enough for a share too, whatever they weigh. Default: the weight alone counts. */
  readonly itemsShared?: number;
  /** Calls under way at once. */
  readonly callsMax: number;
  readonly run: (items: Item[]) => Promise<void>;
}

export class Batcher<Item> {
  readonly #options: BatcherOptions<Item>;
  #items: Item[] = [];
  #weight = 0;
  #calls = 0;
  #scheduled = false;
  /** Whether the latest call was for a lone item, so that waiting for more would be in vain. */
  #lone = true;
  #idle: (() => void)[] = [];

  constructor(options: BatcherOptions<Item>) {
    this.#options = options;
  }

  /** The weight of the items that wait for a call. */
  get weight(): number {
    return this.#weight;
  }

  /** Whether anything waits or is under way. */
  get busy(): boolean {
    return this.#items.length > 0 || this.#calls > 0;
  }

  add(item: Item): void {
    // What is pushed to an empty list makes room for seventeen.
    if (this.#items.length === 0) this.#items = [item];
    else this.#items.push(item);
    this.#weight += this.#options.weigh(item);
    if (!this.#scheduled && this.#calls < this.#options.callsMax) this.#schedule();
  }

  /** Resolves once nothing waits and no call is under way. */
  idle(): Promise<void> {
    if (!this.busy) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #schedule(): void {
    this.#scheduled = true;
    this.#options.turn.atEnd(this.#callAll, this.#lone && this.#calls === 0);
  }

  readonly #callAll = (): void => {
    this.#scheduled = false;
    while (this.#items.length > 0 && this.#calls < this.#options.callsMax) this.#call(this.#take());
  };

  #take(): Item[] {
    const { weigh } = this.#options;
    const weightMax = Math.min(this.#options.weightMax, Math.ceil(this.#weight / this.#shares()));
    if (this.#weight <= weightMax) {
      const all = this.#items;
      this.#items = [];
      this.#weight = 0;
      return all;
    }
    let weight = 0;
    let count = 0;
    for (const item of this.#items) {
      const next = weight + weigh(item);
      if (count > 0 && next > weightMax) break;
      weight = next;
      count++;
    }
    this.#weight -= weight;
    return this.#items.splice(0, count);
  }

  /** Among how many calls what waits is divided. */
  #shares(): number {
    const { weightMax, weightShared = weightMax, itemsShared = Number.POSITIVE_INFINITY, callsMax } = this.#options;
    const worth = Math.floor(Math.max(this.#weight / weightShared, this.#items.length / itemsShared));
    return Math.max(1, Math.min(worth, callsMax - this.#calls));
  }

  #call(items: Item[]): void {
    this.#calls++;
    this.#lone = items.length === 1;
    void this.#options.run(items).then(this.#callEnded);
  }

  readonly #callEnded = (): void => {
    this.#calls--;
    if (this.#items.length > 0) {
      if (!this.#scheduled) this.#schedule();
    } else if (this.#calls === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  };
}
