/** From the broker's words to the wire's. Maps are checked to be complete: a new word stops the build. */
import { Value } from "@taskqueue/sdk/gen/google/protobuf/struct.js";
import {
  type ScrubProblem,
  ScrubProblemKind,
  TaskOutcome,
  type TaskResult,
  type TopicInfo,
  type TopicSettings,
  type WorkerInfo,
} from "@taskqueue/sdk/gen/taskqueue/v1/admin.js";
import { type Event, EventType, type Stats } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { DeadReason, Task, type TaskInfo, TaskState } from "@taskqueue/sdk/gen/taskqueue/v1/task.js";
import { TaskqueueError } from "../domain/errors.js";
import type { TopicName } from "../domain/ids.js";
import type { Backoff } from "../domain/retry.js";
import type * as states from "../domain/states.js";
import { attemptOf, type TaskRecord } from "../domain/task.js";
import type * as topics from "../domain/topic.js";
import type { EventType as EngineEventType, TaskqueueEvent } from "../engine/events.js";
import type { TopicProblem } from "../engine/scrubber.js";
import type { StatsRow } from "../engine/stats-reader.js";
import type { MoveOutcome, SessionRecord, ScrubProblemKind as StoreProblemKind } from "../store/store.js";
import { toDuration } from "./time.js";

export const STATES = {
  scheduled: TaskState.SCHEDULED,
  ready: TaskState.READY,
  leased: TaskState.LEASED,
  dead: TaskState.DEAD,
  completed: TaskState.COMPLETED,
  cancelled: TaskState.CANCELLED,
} as const satisfies Record<states.TaskState, TaskState>;

const DEAD_REASONS = {
  retries_exhausted: DeadReason.RETRIES_EXHAUSTED,
  do_not_retry: DeadReason.DO_NOT_RETRY,
  lost_leases: DeadReason.LOST_LEASES,
} as const satisfies Record<states.DeadReason, DeadReason>;

const SCRUB_PROBLEMS = {
  stray_task: ScrubProblemKind.STRAY_TASK,
  two_states: ScrubProblemKind.TWO_STATES,
  ghost_entry: ScrubProblemKind.GHOST_ENTRY,
  ghost_lease: ScrubProblemKind.GHOST_LEASE,
  orphan_lease: ScrubProblemKind.ORPHAN_LEASE,
  ghost_note: ScrubProblemKind.GHOST_NOTE,
  wrong_index: ScrubProblemKind.WRONG_INDEX,
  wrong_retention: ScrubProblemKind.WRONG_RETENTION,
  wrong_bytes: ScrubProblemKind.WRONG_BYTES,
  wrong_count: ScrubProblemKind.WRONG_COUNT,
} as const satisfies Record<StoreProblemKind, ScrubProblemKind>;

export const EVENT_TYPES = {
  MANAGER_START: EventType.MANAGER_START,
  MANAGER_STOP: EventType.MANAGER_STOP,
  MANAGER_STATS: EventType.MANAGER_STATS,
  TASK_ENQUEUE: EventType.TASK_ENQUEUE,
  TASK_START: EventType.TASK_START,
  TASK_RETRY: EventType.TASK_RETRY,
  TASK_COMPLETION: EventType.TASK_COMPLETION,
  TASK_FAILURE: EventType.TASK_FAILURE,
  TASK_RELEASE: EventType.TASK_RELEASE,
  TASK_EXPIRE: EventType.TASK_EXPIRE,
  TASK_REQUEUE: EventType.TASK_REQUEUE,
  TASK_CANCEL: EventType.TASK_CANCEL,
  TASK_DELETE: EventType.TASK_DELETE,
  TASK_PROGRESS: EventType.TASK_PROGRESS,
} as const satisfies Record<EngineEventType, EventType>;

const date = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms));

/** The task as its producer sent it. A spec that cannot be read is a bug, or another version's. */
export function decodeTask(topic: TopicName, id: string, spec: Uint8Array): Task {
  try {
    return { ...Task.decode(spec), topic, id };
  } catch (error) {
    throw new TaskqueueError("INTERNAL", `the stored task ${id} of topic ${topic} cannot be read`, { cause: error });
  }
}

export function toTaskInfo(topic: TopicName, record: TaskRecord): TaskInfo {
  return {
    task: decodeTask(topic, record.id, record.spec),
    state: STATES[record.state],
    attempt: attemptOf(record),
    failures: record.failures,
    lostLeases: record.lostLeases,
    enqueuedAt: new Date(record.head.enqueuedAtMs),
    dueAt: date(record.dueAtMs),
    startedAt: date(record.lease?.leasedAtMs),
    finishedAt: date(record.endedAtMs),
    sessionId: record.lease?.session ?? "",
    lastError: record.error,
    deadReason: record.deadReason ? DEAD_REASONS[record.deadReason] : DeadReason.UNSPECIFIED,
    progress: record.progress,
    result: record.result ? Value.unwrap(Value.decode(record.result)) : undefined,
    cancelRequested: record.cancelRequested ?? false,
  };
}

/** `nowMs` on the store's clock. */
export function toStats(stats: topics.TopicStats, workers: number, slots: number, nowMs: number): Stats {
  const { scheduled, ready, leased, dead, completedKept, cancelledKept, bytes, oldestReadyMs } = stats;
  const { enqueued, started, retried, failed, completed, released, expired } = stats;
  const { cancelled, aborted, requeued, deleted } = stats;
  return {
    enqueued,
    started,
    retried,
    failed,
    completed,
    released,
    expired,
    cancelled,
    aborted,
    requeued,
    deleted,
    inputQueueSize: ready,
    workQueueSize: leased,
    deadQueueSize: dead,
    scheduledSize: scheduled,
    completedSize: completedKept,
    cancelledSize: cancelledKept,
    bytes,
    oldestReadyAge: oldestReadyMs === undefined ? undefined : toDuration(Math.max(0, nowMs - oldestReadyMs)),
    workers,
    slots,
  };
}

export function toTaskResult(id: string, outcome: MoveOutcome): TaskResult {
  switch (outcome.kind) {
    case "done":
      return { id, outcome: TaskOutcome.DONE, state: TaskState.UNSPECIFIED };
    case "not_found":
      return { id, outcome: TaskOutcome.NOT_FOUND, state: TaskState.UNSPECIFIED };
    case "wrong_state":
      return { id, outcome: TaskOutcome.WRONG_STATE, state: STATES[outcome.state] };
    case "cancel_requested":
      return { id, outcome: TaskOutcome.CANCEL_REQUESTED, state: TaskState.UNSPECIFIED };
  }
}

export function toEvent(event: TaskqueueEvent, stats?: Stats): Event {
  return {
    type: EVENT_TYPES[event.type] ?? EventType.UNSPECIFIED,
    at: new Date(event.atMs),
    broker: event.broker,
    worker: event.worker ?? "",
    topic: event.topic ?? "",
    taskId: event.taskId ?? "",
    externalId: event.externalId ?? "",
    attempt: event.attempt ?? 0,
    duration: event.durationMs === undefined ? undefined : toDuration(event.durationMs),
    error: event.error ?? "",
    stats,
    progress: event.progress,
  };
}

export function toTopicInfo(row: StatsRow, nowMs: number): TopicInfo {
  return {
    topic: row.topic,
    stats: toStats(row.stats, row.workers, row.slots, nowMs),
    settings: toSettings(row.settings),
    paused: row.settings.paused,
  };
}

export function toSettings(settings: topics.TopicSettings): TopicSettings {
  return {
    numRetries: settings.numRetries,
    backoff: settings.backoff && toBackoff(settings.backoff),
    timeout: settings.timeoutMs === undefined ? undefined : toDuration(settings.timeoutMs),
    lostLeasesMax: settings.lostLeasesMax,
    tasksMax: settings.tasksMax,
    bytesMax: settings.bytesMax,
  };
}

function toBackoff({ initialMs, factor, maxMs, jitter }: Backoff) {
  return { initial: toDuration(initialMs), factor, max: toDuration(maxMs), jitter };
}

export function toWorkerInfo(session: SessionRecord, nowMs: number): WorkerInfo {
  return {
    sessionId: session.id,
    worker: session.worker,
    broker: session.broker,
    sdk: session.sdk,
    address: session.address,
    topics: session.subscriptions.map(({ topic, concurrency, weight }) => ({ topic, concurrency, weight })),
    slots: session.slots,
    startedAt: new Date(session.startedAtMs),
    expiresIn: toDuration(Math.max(0, session.expiresAtMs - nowMs)),
    attached: session.attached,
  };
}

export function toScrubProblem({ topic, kind, id, detail, repaired }: TopicProblem): ScrubProblem {
  return { topic, kind: SCRUB_PROBLEMS[kind], taskId: id ?? "", detail, repaired };
}
