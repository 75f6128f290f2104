/**
 * Every maximum in the system, in one place. The proto comments and
 * docs/operations.md quote these figures.
 */
const SECOND = 1_000;
const DAY = 24 * 60 * 60 * SECOND;

export const LIMITS = {
  /** Encoded bytes of one task, unless the broker is told otherwise. */
  taskBytesMax: 1024 * 1024,
  /** The largest value `--task-bytes-max` takes: a delivery must fit one message. */
  taskBytesCeiling: 64 * 1024 * 1024,
  /** Encoded bytes of one gRPC request. */
  requestBytesMax: 4 * 1024 * 1024,
  /** Tasks in one request, and in one store call. */
  batchMax: 1_000,
  /** Retries of a task. */
  numRetriesMax: 1_000_000,
  /** How far ahead a task may be scheduled. */
  delayMsMax: 3_650 * DAY,
  /** Time limit of an attempt; timers hold no more. */
  timeoutMsMax: 24 * DAY,
  /** How long an ended task may be kept. */
  retentionMsMax: 365 * DAY,
  /** Waiting time between attempts. */
  backoffMsMax: 24 * DAY,
  backoffFactorMax: 100,
  lostLeasesMax: 1_000,
  contentTypeBytesMax: 255,
  externalIdBytesMax: 255,
  metadataEntriesMax: 64,
  metadataKeyMax: 128,
  metadataValueBytesMax: 4_096,
  /** Error text kept with a task; longer ones are cut. */
  errorBytesMax: 4_096,
  progressMessageBytesMax: 1_024,
  workerNameMax: 128,
  sdkNameMax: 128,
  topicsPerWorkerMax: 1_000,
  /** Tasks one worker holds at once. */
  slotsMax: 10_000,
  weightMax: 1_000,
  pageSizeMax: 1_000,
  pageSizeDefault: 100,
  /** Entries of each kind in a Watch filter. */
  watchFilterMax: 100,
  /** Events a broker holds back while the log is slow; more are dropped, and watchers told so. */
  pendingEventsMax: 50_000,
  /** Enqueued tasks a broker holds back per topic while the store is slow; more are refused. */
  pendingTasksMax: 20_000,
  /** Bytes of enqueued tasks a broker holds back while the store is slow; more are refused. */
  pendingBytesMax: 256 * 1024 * 1024,
  /** Batches of events that the log keeps, about. */
  eventLogMax: 10_000,
  /** Watchers of one broker. */
  watchersMax: 1_000,
  /** Events a broker hands to its watchers per second, all together; a watcher beyond its share is told that it missed some. */
  watchedEventsPerSecond: 20_000,
  /** Events waiting for a slow watcher before it is told that it missed some. */
  watcherEventsMax: 10_000,
  /** Nesting of args: lists and objects within each other. */
  argsDepthMax: 30,
} as const;

/** What holds unless a task, a topic or the configuration says otherwise. */
export const DEFAULTS = {
  numRetries: 0,
  lostLeasesMax: 3,
  backoff: { initialMs: 1 * SECOND, factor: 2, maxMs: 3_600 * SECOND, jitter: 0.2 },
  /** How long an ended task's id is remembered, so that a repeated enqueue is recognised. */
  endedWindowMs: 30 * SECOND,
  /** How long a session outlives its lost stream. */
  graceMs: 2 * SECOND,
  /** How long a worker may owe a sign of life on a live stream. */
  sessionTimeoutMs: 15 * SECOND,
  /** How long a worker may be quiet before it is asked for a sign of life. */
  heartbeatMs: 7 * SECOND,
  /** The slow sweep that finds what a lost wake-up missed. */
  sweepMs: 5 * SECOND,
  /** How often a broker proves a piece of what the store holds. */
  scrubMs: 10 * SECOND,
  /** How long a worker may take to stop an attempt it was told to stop. */
  cancelGraceMs: 5 * SECOND,
  workerBytesMax: 64 * 1024 * 1024,
  /** Events that a broker appends per second while somebody watches; of more, some are dropped, and watchers told so. */
  eventsPerSecond: 5_000,
} as const;
