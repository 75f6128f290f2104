/**
 * What a worker tells about itself, so that metrics, simulators and tests can
 * await facts. Events are made only while somebody listens.
 */
import type { TaskqueueError } from "./errors.js";
import type { RunningTask } from "./running-task.js";

export type WorkerEvent =
  /** A session was opened, or taken up again after a lost stream or a drain. */
  | {
      readonly type: "connected";
      readonly address: string;
      readonly broker: string;
      readonly sessionId: string;
      readonly resumed: boolean;
    }
  /** The stream was lost, or an attempt to open one failed. The worker tries again by itself. */
  | { readonly type: "disconnected"; readonly address: string; readonly error: TaskqueueError }
  /** The broker is about to stop; the worker moves to another one. Running tasks go on. */
  | { readonly type: "draining"; readonly address: string; readonly deadlineMs: number }
  /** The session is over: every lease is lost and every signal has fired. A new session is opened. */
  | { readonly type: "session:lost"; readonly sessionId: string; readonly leases: number }
  /** A processor was entered. */
  | { readonly type: "task:started"; readonly task: RunningTask }
  /** A processor returned; the report is on its way. */
  | { readonly type: "task:completed"; readonly task: RunningTask; readonly durationMs: number }
  /** A processor failed; the report is on its way. */
  | { readonly type: "task:failed"; readonly task: RunningTask; readonly durationMs: number; readonly error: unknown }
  /** A task was handed back unfinished. */
  | { readonly type: "task:released"; readonly task: RunningTask }
  /** A signal fired because the task was cancelled or ran out of time. */
  | { readonly type: "task:cancelled"; readonly task: RunningTask; readonly reason: TaskqueueError }
  /** A lease is no longer held; its signal has fired and its report is dropped or was refused. */
  | { readonly type: "lease:lost"; readonly topic: string; readonly taskId: string; readonly leaseToken: string }
  /** The broker has stored the reports of so many attempts, on these leases. */
  | { readonly type: "settled"; readonly reports: number; readonly leaseTokens: readonly string[] }
  /** The worker has left. */
  | { readonly type: "closed" };

export type WorkerEventType = WorkerEvent["type"];
export type WorkerEventOf<Type extends WorkerEventType> = Extract<WorkerEvent, { readonly type: Type }>;
