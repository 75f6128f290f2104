/**
 * Keeps an eye on the store: its clock, whether it answers, and whether anybody
 * watches events.
 *
 * After an outage all live sessions are extended before anything else is told
 * that the store is back: workers could not be renewed meanwhile, and must not
 * lose their leases for it. A broker that starts does the same, by a little: it
 * may be the first one after an outage of all brokers.
 */
import type { Millis } from "../domain/task.js";
import type { Clock } from "../lib/clock.js";
import type { Log } from "../lib/log.js";
import type { Store } from "../store/store.js";

type State =
  | { readonly kind: "unknown" }
  | { readonly kind: "available" }
  | { readonly kind: "away"; readonly since: number; readonly cause: unknown };

export interface StoreMonitorOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly sessionTimeoutMs: Millis;
  readonly graceMs: Millis;
  readonly onWatched: (untilMs: Millis) => void;
  /** The store came (true) or went (false). */
  readonly onChange: (available: boolean) => void;
}

export class StoreMonitor {
  readonly #options: StoreMonitorOptions;
  #state: State = { kind: "unknown" };
  #offsetMs = 0;

  constructor(options: StoreMonitorOptions) {
    this.#options = options;
  }

  get available(): boolean {
    return this.#state.kind === "available";
  }

  /** Milliseconds on the store's clock. */
  now(): Millis {
    return Math.floor(this.#options.clock.now() + this.#offsetMs);
  }

  /** Asks the store once. Never rejects. */
  async tick(): Promise<void> {
    const { store, clock, onWatched } = this.#options;
    const before = clock.now();
    try {
      const { nowMs, watchedUntilMs } = await store.pulse();
      // The answer was made somewhere between question and receipt: take the middle.
      this.#offsetMs = nowMs - (before + clock.now()) / 2;
      onWatched(watchedUntilMs);
      await this.#extendSessions();
      this.#become({ kind: "available" });
    } catch (error) {
      const { log } = this.#options;
      if (this.#state.kind !== "away") log.error({ err: error }, "the store does not answer");
      const since = this.#state.kind === "away" ? this.#state.since : clock.monotonic();
      this.#become({ kind: "away", since, cause: error });
    }
  }

  async #extendSessions(): Promise<void> {
    const { store, clock, log, sessionTimeoutMs, graceMs } = this.#options;
    switch (this.#state.kind) {
      case "available":
        return;
      case "unknown":
        await store.extendSessions(this.now() + 2 * graceMs);
        return;
      case "away": {
        const extended = await store.extendSessions(this.now() + sessionTimeoutMs);
        const awayMs = Math.round(clock.monotonic() - this.#state.since);
        log.warn({ awayMs, extended }, "the store is back; live sessions were extended");
      }
    }
  }

  #become(state: State): void {
    const was = this.available;
    this.#state = state;
    if (was !== this.available) this.#options.onChange(this.available);
  }
}
