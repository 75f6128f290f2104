/**
 * Reports on ended attempts, from when they are made until the broker has
 * settled them. Those that a lost stream leaves unsettled are made again on the
 * next one: they carry a lease token, so a report that was stored after all is
 * refused the second time, and changes nothing.
 */
import { writeReport } from "./lease-codec.js";
import type { Attempt } from "./running-task.js";
import type { Writer } from "./wire.js";

/** Reports in one update. */
const REPORTS_MAX = 1_000;
/** An update takes no more reports when it has grown to this; the broker takes 4 MiB. */
const UPDATE_BYTES = 1024 * 1024;

export class Reports {
  /** To be sent, oldest first. */
  #due: Attempt[] = [];
  /** Sent, by the number of their update, rising. */
  #unsettled: { readonly number: number; readonly attempts: readonly Attempt[] }[] = [];

  add(attempt: Attempt): void {
    this.#due.push(attempt);
  }

  /** Whether any is to be sent. */
  get due(): boolean {
    return this.#due.length > 0;
  }

  /** Whether any was sent and is not settled. */
  get underWay(): boolean {
    return this.#unsettled.length > 0;
  }

  /** How many are not settled. */
  get count(): number {
    return this.#due.length + this.#unsettled.reduce((sum, { attempts }) => sum + attempts.length, 0);
  }

  /** All that are not settled, oldest first. */
  all(): Attempt[] {
    return [...this.#unsettled.flatMap(({ attempts }) => attempts), ...this.#due];
  }

  /** Writes as many as one update takes. */
  writeTo(writer: Writer, number: number): void {
    if (this.#due.length === 0) return;
    let count = 0;
    for (const attempt of this.#due) {
      if (count >= REPORTS_MAX || writer.length > UPDATE_BYTES) break;
      count += 1;
      writeReport(writer, attempt);
    }
    const isAll = count === this.#due.length;
    this.#unsettled.push({ number, attempts: isAll ? this.#due : this.#due.slice(0, count) });
    this.#due = isAll ? [] : this.#due.slice(count);
  }

  /** The updates up to `number` are stored; returns what they reported on. */
  settle(number: number): Attempt[] {
    const open = this.#unsettled.findIndex((update) => update.number > number);
    const settled = this.#unsettled.splice(0, open < 0 ? this.#unsettled.length : open);
    return settled.flatMap(({ attempts }) => attempts);
  }

  /** Forgets the reports on these leases, and returns what they were on. */
  forget(tokens: ReadonlySet<string>): Attempt[] {
    const forgotten: Attempt[] = [];
    const keep = (attempt: Attempt) => {
      if (!tokens.has(attempt.leaseToken)) return true;
      forgotten.push(attempt);
      return false;
    };
    this.#due = this.#due.filter(keep);
    this.#unsettled = this.#unsettled.map(({ number, attempts }) => ({ number, attempts: attempts.filter(keep) }));
    return forgotten;
  }

  /** Forgets them all, and returns what they were on. */
  clear(): Attempt[] {
    const all = this.all();
    this.#due = [];
    this.#unsettled = [];
    return all;
  }

  /** The stream is a new one: whatever is not settled is to be sent on it. */
  reopen(): void {
    for (const { attempts } of this.#unsettled) for (const attempt of attempts) attempt.reportedBefore = true;
    this.#due = this.all();
    this.#unsettled = [];
  }
}
