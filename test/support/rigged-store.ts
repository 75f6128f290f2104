/**
 * A store with strings attached: around any store, for tests of the engine. It
 * counts calls, takes the store away, loses answers or keeps them back, and, given
 * a clock, lets the store's own clock and its waits go by it.
 */
import { TaskqueueError } from "../../server/domain/errors.js";
import { type Clock, pause } from "../../server/lib/clock.js";
import type { Store, Wake } from "../../server/store/store.js";

export type Verb = Exclude<keyof Store, "description" | "listen">;

type Call = (...args: readonly unknown[]) => Promise<unknown>;

export class RiggedStore {
  /** What the engine is given. */
  readonly store: Store;
  readonly #clock: Clock | undefined;
  readonly #calls = new Map<PropertyKey, number>();
  readonly #away = new Set<Verb>();
  readonly #answersLost = new Set<Verb>();
  readonly #gates = new Map<PropertyKey, Promise<void>>();
  readonly #listeners = new Set<(message: Wake) => void>();
  #isAway = false;
  #muted = false;

  constructor(store: Store, clock?: Clock) {
    this.#clock = clock;
    this.store = new Proxy(store, {
      get: (target, verb) => {
        const value: unknown = Reflect.get(target, verb, target);
        if (typeof value !== "function") return value;
        const call = value.bind(target);
        if (verb === "listen") return (wake: (message: Wake) => void) => this.#listen(call, wake);
        return (...args: readonly unknown[]) => this.#call(verb, this.#inClockTime(verb, call), args);
      },
    });
  }

  /** Calls so far of one verb, or of all. */
  calls(verb?: Verb): number {
    if (verb !== undefined) return this.#calls.get(verb) ?? 0;
    let sum = 0;
    for (const count of this.#calls.values()) sum += count;
    return sum;
  }

  /** From now on these verbs, or all, throw STORE_UNAVAILABLE and do nothing. */
  goAway(...verbs: readonly Verb[]): void {
    if (verbs.length === 0) this.#isAway = true;
    for (const verb of verbs) this.#away.add(verb);
  }

  comeBack(): void {
    this.#isAway = false;
    this.#away.clear();
    this.#answersLost.clear();
  }

  /** From now on these verbs do their work and throw STORE_UNAVAILABLE instead of answering. */
  loseAnswers(...verbs: readonly Verb[]): void {
    for (const verb of verbs) this.#answersLost.add(verb);
  }

  /** From now on answers of the verb are kept back, after the work was done, until the returned function is called. */
  hold(verb: Verb): () => void {
    let open = () => {};
    this.#gates.set(
      verb,
      new Promise((resolve) => {
        open = resolve;
      }),
    );
    return () => {
      this.#gates.delete(verb);
      open();
    };
  }

  /** From now on no wake-up comes through. */
  mute(): void {
    this.#muted = true;
  }

  /** Wakes the engine as the store would. */
  wake(message: Wake): void {
    for (const listener of this.#listeners) listener(message);
  }

  #listen(listen: (wake: (message: Wake) => void) => () => void, wake: (message: Wake) => void): () => void {
    this.#listeners.add(wake);
    const unlisten = listen((message) => {
      if (!this.#muted) wake(message);
    });
    return () => {
      this.#listeners.delete(wake);
      unlisten();
    };
  }

  async #call(verb: PropertyKey, call: Call, args: readonly unknown[]): Promise<unknown> {
    this.#calls.set(verb, (this.#calls.get(verb) ?? 0) + 1);
    if (this.#isAway || isIn(this.#away, verb)) throw unavailable();
    const lost = isIn(this.#answersLost, verb);
    const answer = await call(...args);
    await this.#gates.get(verb);
    if (lost) throw unavailable();
    return answer;
  }

  #inClockTime(verb: PropertyKey, call: Call): Call {
    const clock = this.#clock;
    if (clock === undefined) return call;
    if (verb === "pulse") {
      return async () => Object.assign({}, await call(), { nowMs: clock.now() });
    }
    if (verb === "readEvents") {
      return async (query) => {
        const { waitMs, ...rest } = Object.assign({ waitMs: 0 }, query);
        const page: { entries?: readonly unknown[] } = Object.assign({}, await call({ ...rest, waitMs: 0 }));
        if (waitMs === 0 || page.entries?.length !== 0) return page;
        await pause(clock, waitMs, this.#appended());
        return call({ ...rest, waitMs: 0 });
      };
    }
    if (verb === "appendEvents") {
      return async (...args) => {
        await call(...args);
        for (const waiter of this.#readers) waiter.abort();
        this.#readers.clear();
      };
    }
    if (verb === "close") {
      return async () => {
        for (const waiter of this.#readers) waiter.abort();
        return call();
      };
    }
    return call;
  }

  readonly #readers = new Set<AbortController>();

  /** Aborts at the next append. */
  #appended(): AbortSignal {
    const waiter = new AbortController();
    this.#readers.add(waiter);
    return waiter.signal;
  }
}

function isIn(verbs: ReadonlySet<Verb>, verb: PropertyKey): boolean {
  for (const one of verbs) if (one === verb) return true;
  return false;
}

function unavailable(): TaskqueueError {
  return new TaskqueueError("STORE_UNAVAILABLE", "the store was taken away by the test");
}
