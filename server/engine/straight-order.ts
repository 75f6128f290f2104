/**
 * Keeps the tasks of a topic in order while some of them are on the straight
 * way: those may be declined, and then come to the lane after all. So whatever
 * comes to the lane meanwhile waits until it is known.
 */
export class StraightOrder<Pending> {
  /** Tasks that wait on the straight way for a call. */
  waiting = 0;
  #underWay = 0;
  #held = 0;
  // Made when they are first needed: there may be tens of thousands of topics.
  #declined: Pending[] | undefined;
  #behind: Pending[] | undefined;

  /** Whether some wait here, which nothing may overtake. */
  get blocked(): boolean {
    return this.#behind !== undefined || this.#declined !== undefined;
  }

  /** How many tasks came to the lane and wait here. */
  get held(): number {
    return this.#held;
  }

  get idle(): boolean {
    return this.waiting === 0 && this.#underWay === 0;
  }

  /** A task's call begins. */
  begin(): void {
    this.#underWay++;
  }

  /** Keeps what comes to the lane, if it must wait; it is given back by `end`. */
  holds(pending: Pending, count: number): boolean {
    if (this.#underWay === 0) return false;
    this.#held += count;
    this.#behind ??= [];
    this.#behind.push(pending);
    return true;
  }

  /** The calls of so many tasks ended; those declined are for the lane. Returns what the lane may go on with, in order. */
  end(count: number, declined?: Pending): readonly Pending[] {
    this.#underWay -= count;
    if (declined !== undefined) {
      this.#declined ??= [];
      this.#declined.push(declined);
    }
    if (this.#underWay > 0 || !this.blocked) return NOTHING;
    const all = [...(this.#declined ?? NOTHING), ...(this.#behind ?? NOTHING)];
    this.#declined = undefined;
    this.#behind = undefined;
    this.#held = 0;
    return all;
  }
}

const NOTHING: readonly never[] = [];
