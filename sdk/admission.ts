/**
 * Bounds what is under way to the broker. Callers beyond the bounds wait, first
 * come first served, and bring their tasks one after the other as room comes.
 */
import { type Deferred, deferred } from "./clock.js";

export class Admission {
  readonly #tasksMax: number;
  readonly #bytesMax: number;
  readonly #onQuiet: () => void;
  #tasks = 0;
  #bytes = 0;
  readonly #waiters: Deferred<void>[] = [];
  /** Callers that have yet to bring tasks: those who wait, and those in between parts. */
  #producing = 0;

  /** @param onQuiet called whenever nothing is under way and nobody is about to bring anything */
  constructor(tasksMax: number, bytesMax: number, onQuiet: () => void) {
    this.#tasksMax = tasksMax;
    this.#bytesMax = bytesMax;
    this.#onQuiet = onQuiet;
  }

  /** Whether tasks are under way. */
  get busy(): boolean {
    return this.#tasks > 0;
  }

  get quiet(): boolean {
    return this.#tasks === 0 && this.#producing === 0;
  }

  /** Whether whoever comes now has to wait. */
  get crowded(): boolean {
    return this.#full || this.#waiters.length > 0;
  }

  get #full(): boolean {
    return this.#tasks >= this.#tasksMax || this.#bytes >= this.#bytesMax;
  }

  /**
   * Runs a caller that may have to wait: it awaits `room` before each part it
   * brings. Whoever follows it gets its turn when it is through.
   */
  async enter<Result>(bring: (room: () => Promise<void>) => Promise<Result>): Promise<Result> {
    this.#producing += 1;
    try {
      return await bring(async () => {
        if (!this.crowded) return;
        const waiter = deferred();
        this.#waiters.push(waiter);
        await waiter.promise;
      });
    } finally {
      this.#producing -= 1;
      this.#next();
    }
  }

  add(tasks: number, bytes: number): void {
    this.#tasks += tasks;
    this.#bytes += bytes;
  }

  remove(tasks: number, bytes: number): void {
    this.#tasks -= tasks;
    this.#bytes -= bytes;
    this.#next();
  }

  /** One at a time: how much the next one brings is not known before. */
  #next(): void {
    if (!this.#full) this.#waiters.shift()?.resolve();
    if (this.quiet) this.#onQuiet();
  }
}
