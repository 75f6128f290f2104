/**
 * A Clock that only the test moves.
 *
 * `advance` fires due timers in the order in which they fall due, and lets
 * everything a timer set off come to rest before the next one fires: after it
 * returned, what was to happen by that moment has happened. That holds for work
 * that only awaits promises; what waits for a disk or a socket takes `until`.
 */
import assert from "node:assert";
import type { Clock } from "../../server/lib/clock.js";
import { NOW } from "./task-factory.js";

/** Longer timers fire at once in Node. */
const TIMER_MS_MAX = 2 ** 31 - 1;
/** Turns of the event loop that a chain of calls takes at most, with some to spare. */
const TURNS = 16;

interface Timer {
  readonly dueAt: number;
  readonly fn: () => void;
}

/** Lets promises and immediates under way come to rest. */
export async function settle(turns = TURNS): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

export class ManualClock implements Clock {
  readonly #startMs: number;
  readonly #timers = new Set<Timer>();
  #elapsed = 0;
  #stepped = 0;
  #fired = 0;

  constructor(startMs: number = NOW) {
    this.#startMs = startMs;
  }

  now(): number {
    return this.#startMs + this.#elapsed + this.#stepped;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  after(ms: number, fn: () => void): () => void {
    assert(ms <= TIMER_MS_MAX, `a timer of ${ms} ms would fire at once`);
    const timer = { dueAt: this.#elapsed + Math.max(0, ms), fn };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers that have neither fired nor been cancelled. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Timers that fired so far: what waiting costs. */
  get fired(): number {
    return this.#fired;
  }

  /** Moves the time of day alone, as an operator or a time server does. No timer fires for it. */
  step(ms: number): void {
    this.#stepped += ms;
  }

  /** Lets `ms` pass. */
  async advance(ms: number): Promise<void> {
    const end = this.#elapsed + ms;
    await settle();
    for (let timer = this.#next(end); timer !== undefined; timer = this.#next(end)) {
      this.#elapsed = Math.max(this.#elapsed, timer.dueAt);
      this.#timers.delete(timer);
      this.#fired += 1;
      timer.fn();
      await settle();
    }
    this.#elapsed = end;
  }

  /** Lets `ms` pass during which the process does not run: what fell due fires late, all at the end. */
  async freeze(ms: number): Promise<void> {
    await settle();
    this.#elapsed += ms;
    await this.advance(0);
  }

  /** The timer that is due first, of equals the one set first. */
  #next(end: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueAt <= end && (first === undefined || timer.dueAt < first.dueAt)) first = timer;
    }
    return first;
  }
}
