/**
 * What is to be told to a worker, until its stream can take it.
 *
 * The stream takes everything there is in one go and then waits until the
 * transport can take more; meanwhile the outbox is *stalled* as long as tasks
 * wait in it, and the session asks for no further ones: a worker that does not
 * read costs no more memory than the credit it gave.
 */
import type { CancelReason, HeldLease } from "./held-lease.js";

/** One delivery carries tasks of about this many bytes, and at least one. */
const DELIVERY_BYTES_MAX = 1024 * 1024;

export interface Delivery {
  /** 0 when no tasks are carried. */
  readonly number: number;
  readonly leased: readonly HeldLease[];
  readonly settled: number;
  readonly lost: readonly string[];
  readonly cancels: readonly { readonly token: string; readonly reason: CancelReason }[];
  readonly drainMs: number | undefined;
  readonly heartbeat: number;
}

export class Outbox {
  readonly #onDelivery: (number: number, count: number) => void;
  #leased: HeldLease[] = [];
  #lost: string[] = [];
  #cancels: { token: string; reason: CancelReason }[] = [];
  #settled = 0;
  #drainMs: number | undefined;
  #heartbeat = 0;
  #deliveries = 0;
  #filled = false;
  #notify: (() => void) | undefined;

  constructor(onDelivery: (number: number, count: number) => void) {
    this.#onDelivery = onDelivery;
  }

  /** Whether tasks wait for the stream. */
  get stalled(): boolean {
    return this.#leased.length > 0;
  }

  lease(lease: HeldLease): void {
    this.#leased.push(lease);
    this.#fill();
  }

  settled(number: number): void {
    this.#settled = number;
    this.#fill();
  }

  lost(token: string): void {
    this.#lost.push(token);
    this.#fill();
  }

  cancel(token: string, reason: CancelReason): void {
    this.#cancels.push({ token, reason });
    this.#fill();
  }

  drain(drainMs: number): void {
    this.#drainMs = drainMs;
    this.#fill();
  }

  heartbeat(number: number): void {
    this.#heartbeat = number;
    this.#fill();
  }

  /** Whether there is something to take. */
  get filled(): boolean {
    return this.#filled;
  }

  /** Calls `notify` once there is something to take, at once if there is; and returns it. */
  whenFilled(notify: () => void): () => void {
    if (this.#filled) notify();
    else this.#notify = notify;
    return notify;
  }

  #fill(): void {
    if (this.#filled) return;
    this.#filled = true;
    const notify = this.#notify;
    this.#notify = undefined;
    notify?.();
  }

  /** Takes what there is; undefined when there is nothing. */
  take(): Delivery | undefined {
    if (!this.#filled) return undefined;
    const leased = this.#takeLeased();
    const number = leased.length > 0 ? ++this.#deliveries : 0;
    if (number > 0) this.#onDelivery(number, leased.length);
    for (const lease of leased) lease.delivery = number;
    const delivery: Delivery = {
      number,
      leased,
      settled: this.#settled,
      lost: this.#lost,
      cancels: this.#cancels,
      drainMs: this.#drainMs,
      heartbeat: this.#heartbeat,
    };
    this.#lost = [];
    this.#cancels = [];
    this.#settled = 0;
    this.#drainMs = undefined;
    this.#heartbeat = 0;
    this.#filled = this.#leased.length > 0;
    return delivery;
  }

  #takeLeased(): HeldLease[] {
    let bytes = 0;
    let count = 0;
    for (const lease of this.#leased) {
      bytes += lease.bytes;
      if (count > 0 && bytes > DELIVERY_BYTES_MAX) break;
      count++;
    }
    if (count < this.#leased.length) return this.#leased.splice(0, count);
    const all = this.#leased;
    this.#leased = [];
    return all;
  }
}
