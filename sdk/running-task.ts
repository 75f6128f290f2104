/** A task as its processor sees it, for one attempt. */

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
