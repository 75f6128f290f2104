/**
 * Ends attempts that take too long: tells the worker when an attempt's timeout
 * is over, and ends the lease of an attempt that was told to stop and did not.
 *
 * Knows only leases held on this broker; a session that moves takes its leases
 * along, and the broker it moves to watches them from then on.
 */
import type { Clock } from "../lib/clock.js";
import type { HeldLease } from "./held-lease.js";
import type { WorkerSession } from "./worker-session.js";

export class AttemptWatch {
  readonly #clock: Clock;
  readonly #now: () => number;
  /** Per lease, on the monotonic clock: when something is to be done about it. */
  readonly #watched = new Map<HeldLease, { readonly session: WorkerSession; readonly timeoutAt: number }>();
  #onEarlier: (ms: number) => void = () => {};

  constructor(clock: Clock, now: () => number) {
    this.#clock = clock;
    this.#now = now;
  }

  /** Whom to tell that the next tick should come within `ms`. */
  set onEarlier(onEarlier: (ms: number) => void) {
    this.#onEarlier = onEarlier;
  }

  watch(session: WorkerSession, lease: HeldLease): void {
    const monotonic = this.#clock.monotonic();
    const leftMs = lease.leasedAtMs + lease.timeoutMs - this.#now();
    const timeoutAt = lease.timeoutMs > 0 ? monotonic + leftMs : Number.POSITIVE_INFINITY;
    this.#watched.set(lease, { session, timeoutAt });
    this.#onEarlier(Math.max(0, Math.min(timeoutAt, lease.stop?.deadline ?? timeoutAt) - monotonic));
  }

  forget(lease: HeldLease): void {
    this.#watched.delete(lease);
  }

  /** Does what is due; returns the milliseconds until something is due next. */
  tick(): number | undefined {
    const now = this.#clock.monotonic();
    let next = Number.POSITIVE_INFINITY;
    for (const [lease, { session, timeoutAt }] of this.#watched) {
      if (lease.stop === undefined && timeoutAt <= now) session.stopAttempt(lease, "timeout");
      if (lease.stop !== undefined && lease.stop.deadline <= now) {
        session.endAttempt(lease);
        continue;
      }
      next = Math.min(next, lease.stop?.deadline ?? timeoutAt);
    }
    return Number.isFinite(next) ? Math.max(1, next - now) : undefined;
  }
}
