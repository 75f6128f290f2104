/**
 * taskqueue for producers and workers.
 *
 *     const clicks = defineTopic<[width: number, height: number]>("clicks");
 *     const client = new Client({ address: "localhost:50051" });
 *     await client.enqueue(clicks, [640, 480]);
 *
 *     const worker = new Worker({ address: "localhost:50051", concurrency: 25 });
 *     worker.register(clicks, async ([width, height], task) => { … });
 *     await worker.start();
 *     await worker.close({ timeoutMs: 15_000 });
 *
 * This file is the public surface; whatever it does not name may change.
 */
export type { Admin, PageOptions, TaskQuery } from "./admin.js";
export type { Enqueued } from "./batch.js";
export { Client, type EnqueueEntry, type EnqueueItem } from "./client.js";
export { DoNotRetry, type ErrorCode, RetryLater, TaskqueueError } from "./errors.js";
export type {
  BackoffOptions,
  ClientOptions,
  CloseOptions,
  CloseReport,
  ConnectionOptions,
  EnqueueOptions,
  Logger,
  RegisterOptions,
  TaskDefaults,
  TlsOptions,
  WorkerOptions,
} from "./options.js";
export type { Processor } from "./registration.js";
export type { RunningTask } from "./running-task.js";
export type {
  DeadReason,
  EventType,
  Listing,
  Page,
  Progress,
  ScrubPiece,
  ScrubProblem,
  ScrubProblemKind,
  Stats,
  StatsReport,
  TaskInfo,
  TaskOutcome,
  TaskResult,
  TaskState,
  TopicInfo,
  TopicSettings,
  TopicSettingsChange,
  TopicStats,
  WatchEvent,
  WorkerInfo,
} from "./task-info.js";
export {
  type AnyTopic,
  bytesCodec,
  type Codec,
  defineTopic,
  type StandardSchema,
  type Topic,
  type TopicRef,
} from "./topic.js";
export type { Watch, WatchOptions } from "./watch.js";
export { Worker } from "./worker.js";
export type { WorkerEvent, WorkerEventOf, WorkerEventType } from "./worker-event.js";
