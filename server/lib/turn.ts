/**
 * The end of a turn of the event loop: what is put off until then, by however
 * many, is done in one go. Node would do the same with an immediate for each,
 * but would let promises go on between them, so that what thousands of topics
 * send to the store in one turn would travel one by one.
 */
import type { Clock } from "./clock.js";

/** What comes sooner after a call that was not put off was likely read together with it. */
const TOGETHER_MS = 0.25;

export class Turn {
  readonly #clock: Clock;
  #calls: (() => void)[] = [];
  /** Whether the latest turn had one call, so that waiting for more would be in vain. */
  #lone = true;
  /** When the latest call was made that was not put off. */
  #notPutOffAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Calls `call` at the end of the turn; it must not throw. With `soon`, and where
   * calls come one at a time, already when the current callback and its promises
   * are through. Requests that are read together come in callbacks of their own:
   * only the first of them is taken for one that is alone.
   */
  atEnd(call: () => void, soon = false): void {
    this.#calls.push(call);
    if (this.#calls.length > 1) return;
    // Ticks run once the callback's promises have settled.
    if (soon && this.#lone && this.#isFirst()) process.nextTick(() => this.#end());
    else setImmediate(() => this.#end());
  }

  /** Calls `call` when what was written in this turn, and in the callback that goes on, has been sent. */
  afterSending(call: () => void): void {
    setImmediate(call);
  }

  #isFirst(): boolean {
    const now = this.#clock.monotonic();
    if (now - this.#notPutOffAt < TOGETHER_MS) return false;
    this.#notPutOffAt = now;
    return true;
  }

  #end(): void {
    const calls = this.#calls;
    this.#calls = [];
    this.#lone = calls.length === 1;
    for (const call of calls) call();
  }
}
