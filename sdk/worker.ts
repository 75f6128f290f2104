/** The workers' side: leases tasks over one stream, runs them, and reports. */
import type { CloseOptions, CloseReport, RegisterOptions, WorkerOptions } from "./options.js";
import type { RunningTask } from "./running-task.js";
import type { Topic } from "./topic.js";
import type { WorkerEventOf, WorkerEventType } from "./worker-event.js";

/** Does the work of a topic. What it returns is the task's result; what it throws fails the attempt. */
export type Processor<Input, Result> = (input: Input, task: RunningTask) => Result | Promise<Result>;

/**
 * Runs the tasks of the topics registered with it. A processor that throws or
 * rejects fails its attempt; it never ends the worker.
 */
export declare class Worker implements AsyncDisposable {
  /** Does not connect. Throws TaskqueueError INVALID_ARGUMENT when an option is unknown or out of bounds. */
  constructor(options?: WorkerOptions);

  /** Names the processor of a topic. Before `start`, and once per topic; else throws INVALID_ARGUMENT. */
  register<Output, Result>(
    topic: Topic<never, Output, Result>,
    processor: Processor<Output, Result | undefined | void>,
    options?: RegisterOptions,
  ): this;

  /**
   * Opens a session; resolves when a broker has welcomed it. From then on the
   * worker stays connected by itself.
   *
   * @throws TaskqueueError UNREACHABLE when no broker answers within
   * `startTimeoutMs`; UNAUTHENTICATED or INVALID_ARGUMENT when one refuses.
   */
  start(): Promise<void>;

  /**
   * Leaves. Without a timeout at once: signals fire, and what is held is handed
   * back uncharged. With one, takes no more, waits that long for running
   * processors, and then does the same to what is left. Closing twice gives the
   * same promise (a shorter timeout shortens the wait); before `start` it is fine.
   */
  close(options?: CloseOptions): Promise<CloseReport>;

  /** On the first SIGTERM or SIGINT closes with this timeout (default 15 s), on the second exits at once with status 1. Returns an undo. */
  closeOnSignals(options?: CloseOptions & { readonly signals?: readonly NodeJS.Signals[] }): () => void;

  /** Calls `listener` for every event of a type. Returns an undo. */
  on<Type extends WorkerEventType>(type: Type, listener: (event: WorkerEventOf<Type>) => void): () => void;

  /** Tasks held now: running, and waiting to run. */
  readonly held: number;

  [Symbol.asyncDispose](): Promise<void>;
}
