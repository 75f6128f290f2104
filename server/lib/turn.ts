/**
 * The end of a turn of the event loop: what is put off until then, by however
 * many, is done in one go. Node would do the same with an immediate for each,
 * but would let promises go on between them, so that what thousands of topics
 * send to the store in one turn would travel one by one.
 */
export class Turn {
  #calls: (() => void)[] = [];
  /** Whether the latest turn had one call, so that waiting for more would be in vain. */
  #lone = true;

  /**
   * Calls `call` at the end of the turn; it must not throw. With `soon`, and where
   * calls come one at a time, already when the current callback and its promises
   * are through.
   */
  atEnd(call: () => void, soon = false): void {
    this.#calls.push(call);
    if (this.#calls.length > 1) return;
    // Ticks run once the callback's promises have settled.
    if (soon && this.#lone) process.nextTick(() => this.#end());
    else setImmediate(() => this.#end());
  }

  #end(): void {
    const calls = this.#calls;
    this.#calls = [];
    this.#lone = calls.length === 1;
    for (const call of calls) call();
  }
}
