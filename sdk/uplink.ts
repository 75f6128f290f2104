/**
 * What goes from a worker to its broker, gathered for a moment and sent as one
 * update: receipt, credit, reports, progress. While the stream's buffer is full
 * nothing is sent, and the next update grows; only the answer to a heartbeat
 * goes past it.
 *
 * Numbers, receipts and credit count per stream; reports outlive it.
 */
import { beforeNextInput } from "./clock.js";
import { beginUpdate, writeProgress } from "./lease-codec.js";
import type { LeaseStream } from "./lease-stream.js";
import { cutToBytes, LIMITS } from "./limits.js";
import { Reports } from "./reports.js";
import type { Attempt } from "./running-task.js";
import { Writer } from "./wire.js";

/** Where updates go. */
export interface UplinkStream {
  /** The stream to write to, if there is one now. */
  readonly stream: LeaseStream | undefined;
  /** Whether credit given on it has a meaning. */
  readonly takesCredit: boolean;
}

/** What the worker holds. */
export interface UplinkSource {
  /** How many more tasks it takes. */
  readonly credit: number;
}

export class Uplink {
  readonly reports = new Reports();
  readonly #connection: UplinkStream;
  readonly #source: UplinkSource;
  readonly #progress = new Map<Attempt, { readonly fraction: number; readonly message: string }>();
  readonly #writer = new Writer();
  #number = 0;
  #received = 0;
  #receiptDue = false;
  #heartbeat = 0;
  /** What the broker may still send, as far as it has been told. */
  #creditGiven = 0;
  /** The same, of the stream that was opened last and is not welcomed yet. */
  #creditInHello = 0;
  #flushing = false;

  constructor(connection: UplinkStream, source: UplinkSource) {
    this.#connection = connection;
    this.#source = source;
  }

  /** The credit for the hello of a new stream. */
  creditForHello(): number {
    this.#creditInHello = this.#source.credit;
    return this.#creditInHello;
  }

  /** The stream is a new one. */
  reopen(): void {
    this.#number = 0;
    this.#received = 0;
    this.#receiptDue = false;
    this.#heartbeat = 0;
    this.#creditGiven = this.#creditInHello;
    this.reports.reopen();
    this.schedule();
  }

  /** A delivery of so many tasks arrived. */
  received(delivery: number, tasks: number): void {
    this.#received = delivery;
    this.#receiptDue = true;
    this.#creditGiven -= tasks;
    this.schedule();
  }

  /** To be answered at once, and past a full buffer: it is a few bytes, and the session hangs on it. */
  answer(heartbeat: number): void {
    this.#heartbeat = heartbeat;
    this.flush();
  }

  report(attempt: Attempt): void {
    this.forgetProgress(attempt);
    this.reports.add(attempt);
    this.schedule();
  }

  /** Only the latest of a tick is sent. */
  progressed(attempt: Attempt, fraction: number, message: string): void {
    this.#progress.set(attempt, { fraction, message: cutToBytes(message, LIMITS.progressMessageBytesMax) });
    this.schedule();
  }

  forgetProgress(attempt: Attempt): void {
    if (this.#progress.size > 0) this.#progress.delete(attempt);
  }

  /**
   * Sends soon; also what credit there is to tell of. What a lone task leads to is
   * sent at once, what more lead to is gathered for a turn of the event loop.
   */
  schedule(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    const flush = () => {
      this.#flushing = false;
      this.flush();
    };
    if (this.reports.underWay) setImmediate(flush);
    else beforeNextInput(flush);
  }

  /** Sends what there is to say, in as few updates as it takes. */
  flush(): void {
    const { stream } = this.#connection;
    if (stream === undefined) return;
    do {
      if (stream.blocked && this.#heartbeat === 0) return;
      const update = this.#nextUpdate(stream.blocked);
      if (update === undefined) return;
      stream.write(update);
    } while (this.reports.due || this.#progress.size > 0);
  }

  /** An update with as much as fits, or with the heartbeat only; undefined when there is nothing to say. */
  #nextUpdate(heartbeatOnly: boolean): Buffer | undefined {
    const credit = this.#connection.takesCredit ? this.#source.credit : 0;
    const newCredit = credit !== this.#creditGiven;
    const says = !heartbeatOnly && (this.reports.due || this.#progress.size > 0);
    if (!says && !newCredit && !this.#receiptDue && this.#heartbeat === 0) return undefined;
    const writer = this.#writer;
    if (says) this.#number += 1;
    const start = beginUpdate(writer, {
      number: says ? this.#number : 0,
      received: this.#received,
      slots: newCredit ? credit : undefined,
      heartbeat: this.#heartbeat,
    });
    this.#heartbeat = 0;
    this.#receiptDue = false;
    this.#creditGiven = credit;
    if (says) {
      this.reports.writeTo(writer, this.#number);
      this.#writeProgress();
    }
    writer.end(start);
    return writer.take();
  }

  #writeProgress(): void {
    for (const [{ leaseToken }, { fraction, message }] of this.#progress) {
      writeProgress(this.#writer, { leaseToken, fraction, message });
    }
    this.#progress.clear();
  }
}
