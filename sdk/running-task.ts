/** A task as its processor sees it, for one attempt. */
import type { TaskqueueError } from "./errors.js";
import type { Report } from "./lease-codec.js";
import { invalid } from "./options.js";

/** The second argument of every processor. */
export interface RunningTask {
  readonly topic: string;
  readonly id: string;
  /** 1 when the task runs for the first time. */
  readonly attempt: number;
  /** Failed attempts before this one. */
  readonly failures: number;
  /** The producer's own name for what this is about; empty when it gave none. */
  readonly externalId: string;
  /** Named values that travelled with the task, such as `traceparent`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The input as bytes, when the producer sent bytes; else undefined. */
  readonly payload: Uint8Array | undefined;
  /** The media type of `payload`; empty when the producer gave none. */
  readonly contentType: string;
  /** Proof of holding. Of two tokens of one topic the later is greater as a string: fit for fencing your own writes. */
  readonly leaseToken: string;
  /** How long the task had existed when it was handed to this worker, in milliseconds. */
  readonly ageMs: number;
  /** How long this attempt may take, in milliseconds; undefined when it has no limit. */
  readonly timeoutMs: number | undefined;
  /**
   * Fires when the attempt should stop. Its reason is a TaskqueueError with code
   * LEASE_LOST (somebody else may run the task now), TASK_CANCELLED,
   * TASK_TIMEOUT or CLOSED (the worker leaves).
   */
  readonly signal: AbortSignal;
  /** Tells how far it is: `fraction` from 0 to 1. Only the latest of a tick is sent. Never throws for a lost lease. */
  progress(fraction: number, message?: string): void;
}

/** The report of a task that is handed back. */
export const RELEASED: Report = { kind: "released" };

/** Shared by all tasks without metadata. */
export const EMPTY_METADATA: Record<string, string> = Object.freeze(Object.create(null));

/** What a delivery fills in. */
export interface LeasedFields {
  topic: string;
  id: string;
  args: unknown[] | undefined;
  /** Why the args could not be read. */
  unreadable: Error | undefined;
  payload: Uint8Array | undefined;
  contentType: string;
  externalId: string;
  metadata: Record<string, string>;
  /** Whether the task stays visible after its end, and its result with it. */
  retained: boolean;
  leaseToken: string;
  attempt: number;
  failures: number;
  ageMs: number;
  timeoutMs: number | undefined;
}

/** Told of progress by the attempts that make some. */
export interface ProgressSink {
  progressed(attempt: Attempt, fraction: number, message: string): void;
}

/**
 * One attempt in the hands of this worker.
 *
 * - `waiting`: delivered, its processor not yet entered.
 * - `running`: in its processor.
 * - `ended`: its report is made; what is left is to get it stored.
 * - `gone`: the lease is lost or handed back; whatever its processor does, nothing is reported.
 */
export class Attempt implements RunningTask, LeasedFields {
  topic = "";
  id = "";
  args: unknown[] | undefined = undefined;
  unreadable: Error | undefined = undefined;
  payload: Uint8Array | undefined = undefined;
  contentType = "";
  externalId = "";
  metadata: Record<string, string> = EMPTY_METADATA;
  retained = false;
  leaseToken = "";
  attempt = 0;
  failures = 0;
  ageMs = 0;
  timeoutMs: number | undefined = undefined;

  state: "waiting" | "running" | "ended" | "gone" = "waiting";
  /** What is reported once it has ended. */
  report: Report = RELEASED;
  /** Whether its report was sent on an earlier stream, with an unknown outcome. */
  reportedBefore = false;
  startedAtMs = 0;
  readonly #sink: ProgressSink;
  #controller: AbortController | undefined = undefined;
  #reason: TaskqueueError | undefined = undefined;

  constructor(sink: ProgressSink) {
    this.#sink = sink;
  }

  /** Made on first use: most processors never look. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Why the signal fired, if it did. */
  get abortReason(): TaskqueueError | undefined {
    return this.#reason;
  }

  /** Fires the signal; the first reason stays. */
  abort(reason: TaskqueueError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }

  progress(fraction: number, message = ""): void {
    if (!(fraction >= 0 && fraction <= 1)) throw invalid("fraction", fraction, "must be a number from 0 to 1");
    if (this.state === "running") this.#sink.progressed(this, fraction, message);
  }
}
