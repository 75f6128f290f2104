/** Random choices that a seed repeats exactly: the same seed, the same choices. */
import assert from "node:assert";

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). The generator is mulberry32: small, and good enough to draw tests with. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `min` to `max`, both included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.int(0, items.length - 1)];
    assert(item !== undefined, "nothing to pick from");
    return item;
  }

  /** Picks by weight. */
  weighted<Item>(items: readonly (readonly [weight: number, item: Item])[]): Item {
    const total = items.reduce((sum, [weight]) => sum + weight, 0);
    let rest = this.next() * total;
    for (const [weight, item] of items) {
      rest -= weight;
      if (rest < 0) return item;
    }
    assert.fail("nothing to pick from");
  }

  /** `draw` called `min` to `max` times. */
  several<Item>(min: number, max: number, draw: () => Item): Item[] {
    return Array.from({ length: this.int(min, max) }, draw);
  }
}

/** TASKQUEUE_SEED, or a new one. Whoever uses it prints it. */
export function chooseSeed(): number {
  const given = process.env.TASKQUEUE_SEED;
  return given === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(given);
}
