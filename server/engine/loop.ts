/**
 * The one timer loop behind every background duty: it calls `tick`, waits, and
 * calls it again until it is stopped.
 *
 * A duty is a function that a test can call by itself; the loop adds only the
 * interval with jitter (so that many brokers do not move in step), the log line
 * when ticks begin to fail, and a `stop` that waits for the tick under way. A
 * tick may return the milliseconds after which it wants to be called again,
 * and `poke` calls it sooner.
 */
import type { Clock } from "../lib/clock.js";
import type { Log } from "../lib/log.js";

/** However far off a tick's wish is, it comes after this time, or two intervals: timers hold no more than 24 days. */
const WAIT_MS_MAX = 60_000;
/** A tick that failed is tried again within this time. */
const RETRY_MS_MAX = 1_000;

export interface LoopOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds between ticks, unless a tick says otherwise. */
  readonly intervalMs: number;
  /** The part of the interval that is random, 0 to 1. */
  readonly jitter: number;
  readonly random: () => number;
  readonly tick: () => Promise<number | undefined>;
}

type State =
  | { readonly kind: "stopped" }
  | { readonly kind: "waiting"; readonly dueAt: number; readonly cancel: () => void }
  | { readonly kind: "ticking"; readonly done: Promise<void>; again: number | undefined };

export class Loop {
  readonly #options: LoopOptions;
  #state: State = { kind: "stopped" };
  #lastError: unknown;

  constructor(options: LoopOptions) {
    this.#options = options;
  }

  /** The error of the latest tick; undefined when it went well. */
  get lastError(): unknown {
    return this.#lastError;
  }

  start(firstAfterMs = 0): void {
    if (this.#state.kind === "stopped") this.#wait(firstAfterMs);
  }

  /** Makes the next tick happen within `ms`. */
  poke(ms = 0): void {
    const state = this.#state;
    if (state.kind === "waiting" && state.dueAt > this.#options.clock.monotonic() + ms) {
      state.cancel();
      this.#wait(ms);
    } else if (state.kind === "ticking") {
      state.again = Math.min(state.again ?? ms, ms);
    }
  }

  async stop(): Promise<void> {
    const state = this.#state;
    this.#state = { kind: "stopped" };
    if (state.kind === "waiting") state.cancel();
    if (state.kind === "ticking") await state.done;
  }

  #wait(wishMs: number): void {
    const { clock, intervalMs } = this.#options;
    const ms = Math.min(wishMs, Math.max(2 * intervalMs, WAIT_MS_MAX));
    const cancel = clock.after(ms, () => this.#run());
    this.#state = { kind: "waiting", dueAt: clock.monotonic() + ms, cancel };
  }

  #run(): void {
    const done = this.#tick();
    if (this.#state.kind === "waiting") this.#state = { kind: "ticking", done, again: undefined };
  }

  async #tick(): Promise<void> {
    const { name, log, tick, intervalMs, jitter, random } = this.#options;
    await Promise.resolve();
    let wish: number | undefined;
    try {
      wish = await tick();
      this.#lastError = undefined;
    } catch (error) {
      if (this.#lastError === undefined) {
        log.warn({ err: error, duty: name }, "a background duty failed; it will be tried again");
      }
      this.#lastError = error;
      wish = Math.min(intervalMs, RETRY_MS_MAX);
    }
    const state = this.#state;
    if (state.kind !== "ticking") return;
    const regular = intervalMs * (1 - jitter / 2 + jitter * random());
    this.#wait(Math.max(0, Math.min(wish ?? regular, state.again ?? Number.POSITIVE_INFINITY)));
  }
}
