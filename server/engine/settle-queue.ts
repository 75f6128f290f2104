/**
 * Tells when all reports of a worker's updates are stored: a cumulative number,
 * as updates may be settled in any order but are told in theirs.
 */
import type { HeldLease } from "./held-lease.js";
import type { ReportReceipt } from "./worker-session.js";

/** One update whose reports are under way. */
export class UpdateReceipt implements ReportReceipt {
  readonly number: number;
  pending = 0;
  readonly #onSettled: () => void;
  #session: ReportReceipt | undefined;

  constructor(number: number, onSettled: () => void) {
    this.number = number;
    this.#onSettled = onSettled;
  }

  /** This receipt, passing on what it is told to `session`. */
  bind(session: ReportReceipt): this {
    this.#session = session;
    return this;
  }

  stored(lease: HeldLease, held: boolean): void {
    this.#session?.stored(lease, held);
    this.#settle();
  }

  noted(lease: HeldLease, held: boolean): void {
    this.#session?.noted(lease, held);
    this.#settle();
  }

  /** Nothing is known, and so nothing is settled: the worker reports again elsewhere. */
  abandoned(lease: HeldLease): void {
    this.#session?.abandoned(lease);
  }

  #settle(): void {
    this.pending--;
    if (this.pending === 0) this.#onSettled();
  }
}

export class SettleQueue {
  readonly #tell: (number: number) => void;
  readonly #open: UpdateReceipt[] = [];
  #next: UpdateReceipt | undefined;

  constructor(tell: (number: number) => void) {
    this.#tell = tell;
  }

  /** Begins an update. */
  open(number: number): UpdateReceipt {
    const receipt = new UpdateReceipt(number, () => this.#advance());
    this.#next = receipt;
    return receipt;
  }

  /** All reports of the update are under way; one without reports is settled with those before it. */
  close(receipt: UpdateReceipt): void {
    this.#next = undefined;
    if (receipt.number === 0 && receipt.pending === 0) return;
    this.#open.push(receipt);
    this.#advance();
  }

  #advance(): void {
    if (this.#next !== undefined) return;
    let done = 0;
    let number = 0;
    for (const receipt of this.#open) {
      if (receipt.pending > 0) break;
      number = receipt.number;
      done++;
    }
    if (done === 0) return;
    this.#open.splice(0, done);
    if (number > 0) this.#tell(number);
  }
}
