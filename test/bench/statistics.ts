/** The few statistics the benchmarks print. Pure; tested in test/unit/bench. */

/**
 * The `fraction` quantile of numbers sorted upwards, by nearest rank: the
 * smallest of them that at least that part of all does not exceed. No
 * interpolation, so every figure printed was really measured.
 */
export function percentile(sorted: ArrayLike<number>, fraction: number): number {
  if (!(fraction >= 0 && fraction <= 1)) throw new RangeError(`a fraction is from 0 to 1 (got ${fraction})`);
  const rank = Math.max(1, Math.ceil(fraction * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}

/** The middle number, or the mean of the middle two. NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  if (sorted.length % 2 === 1) return sorted[Math.floor(half)] ?? Number.NaN;
  return ((sorted[half - 1] ?? Number.NaN) + (sorted[half] ?? Number.NaN)) / 2;
}

export interface Distribution {
  count: number;
  min: number;
  p50: number;
  p99: number;
  p999: number;
  max: number;
}

/** Sorts `values` in place. */
export function distribution(values: Float64Array): Distribution {
  values.sort();
  return {
    count: values.length,
    min: percentile(values, 0),
    p50: percentile(values, 0.5),
    p99: percentile(values, 0.99),
    p999: percentile(values, 0.999),
    max: percentile(values, 1),
  };
}

/** Numbers collected one by one, without an allocation for each. */
export class Sample {
  #values = new Float64Array(1024);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(value: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(this.#values.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#count] = value;
    this.#count += 1;
  }

  clear(): void {
    this.#count = 0;
  }

  distribution(): Distribution {
    return distribution(this.#values.slice(0, this.#count));
  }
}
