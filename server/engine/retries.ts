/**
 * The pauses of all lanes before they try again what the store did not answer.
 * One for all of them: ten thousand topics have no use for ten thousand of their
 * own, and it is one store that comes back.
 */
import { setMaxListeners } from "node:events";
import type { Millis } from "../domain/task.js";
import { type Clock, pause } from "../lib/clock.js";

export class Retries {
  readonly #clock: Clock;
  #stopped = false;
  /** Cuts short the pauses there are; a new one each time. */
  #again = newSignal();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Waits, but not beyond `hurry` or `stop`. False when there is no use in trying again: the broker stops. */
  async pause(ms: Millis): Promise<boolean> {
    if (!this.#stopped) await pause(this.#clock, ms, this.#again.signal);
    return !this.#stopped;
  }

  /** The store is back: what waits is tried again now. */
  hurry(): void {
    this.#again.abort();
    this.#again = newSignal();
  }

  stop(): void {
    this.#stopped = true;
    this.hurry();
  }
}

/** Any number of calls wait for it. */
function newSignal(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}
