/**
 * Keeps an eye on the store: its clock, whether it answers, and whether anybody
 * watches events.
 *
 * After an outage all live sessions are extended before anything else is told
 * that the store is back: workers could not be renewed meanwhile, and must not
 * lose their leases for it. The same after this process stood still, or the
 * store's clock was set forward. A broker that starts does it too, by a little:
 * it may be the first one after an outage of all brokers.
 */
import type { Millis } from "../domain/task.js";
import type { Clock } from "../lib/clock.js";
import type { Log } from "../lib/log.js";
import type { Store } from "../store/store.js";

/** As long as this may pass between two answers without anything being made of it. */
const BLIND_MS_MIN = 3_000;

type State =
  | { readonly kind: "unknown" }
  /** The store's time when it answered last. */
  | { readonly kind: "available"; readonly nowMs: Millis }
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
  /** From the monotonic clock, which nobody sets, to the store's. */
  #offsetMs: Millis;

  constructor(options: StoreMonitorOptions) {
    this.#options = options;
    this.#offsetMs = options.clock.now() - options.clock.monotonic();
  }

  get available(): boolean {
    return this.#state.kind === "available";
  }

  /** Whether the store answered lately: not so when this process itself stood still. */
  get current(): boolean {
    return this.#state.kind === "available" && this.now() - this.#state.nowMs <= this.#blindMsMax;
  }

  get #blindMsMax(): Millis {
    return Math.max(BLIND_MS_MIN, this.#options.sessionTimeoutMs / 3);
  }

  /** Milliseconds on the store's clock. */
  now(): Millis {
    return Math.floor(this.#options.clock.monotonic() + this.#offsetMs);
  }

  /** Asks the store once. Never rejects. */
  async tick(): Promise<void> {
    const { store, clock, onWatched } = this.#options;
    const before = clock.monotonic();
    try {
      const { nowMs, watchedUntilMs } = await store.pulse();
      const answeredAt = clock.monotonic();
      onWatched(watchedUntilMs);
      await this.#extendSessions(nowMs);
      // The answer was made somewhere between question and receipt: take the middle.
      this.#offsetMs = nowMs - (before + answeredAt) / 2;
      this.#become({ kind: "available", nowMs });
    } catch (error) {
      const { log } = this.#options;
      if (this.#state.kind !== "away") log.error({ err: error }, "the store does not answer");
      const since = this.#state.kind === "away" ? this.#state.since : clock.monotonic();
      this.#become({ kind: "away", since, cause: error });
    }
  }

  /** Before anybody here goes by the time `nowMs`. */
  async #extendSessions(nowMs: Millis): Promise<void> {
    const { store, clock, log, sessionTimeoutMs, graceMs } = this.#options;
    switch (this.#state.kind) {
      case "available": {
        const passedMs = nowMs - this.#state.nowMs;
        if (passedMs <= this.#blindMsMax) return;
        const extended = await store.extendSessions(nowMs + sessionTimeoutMs);
        log.warn(
          { passedMs, extended },
          "this broker stood still, or the store's clock was set; live sessions were extended",
        );
        return;
      }
      case "unknown":
        await store.extendSessions(nowMs + 2 * graceMs);
        return;
      case "away": {
        const extended = await store.extendSessions(nowMs + sessionTimeoutMs);
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
