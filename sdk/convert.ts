/** From the generated messages to the SDK's own words. A new enum value in the proto stops the build here. */

import type { Duration } from "./gen/google/protobuf/duration.js";
import * as admin from "./gen/taskqueue/v1/admin.js";
import * as broker from "./gen/taskqueue/v1/broker.js";
import * as task from "./gen/taskqueue/v1/task.js";
import type { BackoffOptions } from "./options.js";
import type {
  DeadReason,
  EventType,
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
  WatchEvent,
  WorkerInfo,
} from "./task-info.js";

const STATES = {
  scheduled: task.TaskState.SCHEDULED,
  ready: task.TaskState.READY,
  leased: task.TaskState.LEASED,
  dead: task.TaskState.DEAD,
  completed: task.TaskState.COMPLETED,
  cancelled: task.TaskState.CANCELLED,
} as const satisfies Record<TaskState, task.TaskState>;

const STATE_NAMES = {
  [task.TaskState.UNSPECIFIED]: undefined,
  [task.TaskState.SCHEDULED]: "scheduled",
  [task.TaskState.READY]: "ready",
  [task.TaskState.LEASED]: "leased",
  [task.TaskState.DEAD]: "dead",
  [task.TaskState.COMPLETED]: "completed",
  [task.TaskState.CANCELLED]: "cancelled",
} as const satisfies Record<task.TaskState, TaskState | undefined>;

const DEAD_REASONS = {
  [task.DeadReason.UNSPECIFIED]: undefined,
  [task.DeadReason.RETRIES_EXHAUSTED]: "retries_exhausted",
  [task.DeadReason.DO_NOT_RETRY]: "do_not_retry",
  [task.DeadReason.LOST_LEASES]: "lost_leases",
} as const satisfies Record<task.DeadReason, DeadReason | undefined>;

const OUTCOMES = {
  [admin.TaskOutcome.UNSPECIFIED]: undefined,
  [admin.TaskOutcome.DONE]: "done",
  [admin.TaskOutcome.NOT_FOUND]: "not_found",
  [admin.TaskOutcome.WRONG_STATE]: "wrong_state",
  [admin.TaskOutcome.CANCEL_REQUESTED]: "cancel_requested",
} as const satisfies Record<admin.TaskOutcome, TaskOutcome | undefined>;

const EVENT_TYPES = {
  MANAGER_START: broker.EventType.MANAGER_START,
  MANAGER_STOP: broker.EventType.MANAGER_STOP,
  MANAGER_STATS: broker.EventType.MANAGER_STATS,
  TASK_ENQUEUE: broker.EventType.TASK_ENQUEUE,
  TASK_START: broker.EventType.TASK_START,
  TASK_RETRY: broker.EventType.TASK_RETRY,
  TASK_COMPLETION: broker.EventType.TASK_COMPLETION,
  TASK_FAILURE: broker.EventType.TASK_FAILURE,
  TASK_RELEASE: broker.EventType.TASK_RELEASE,
  TASK_EXPIRE: broker.EventType.TASK_EXPIRE,
  TASK_REQUEUE: broker.EventType.TASK_REQUEUE,
  TASK_CANCEL: broker.EventType.TASK_CANCEL,
  TASK_DELETE: broker.EventType.TASK_DELETE,
  TASK_PROGRESS: broker.EventType.TASK_PROGRESS,
} as const satisfies Record<EventType, broker.EventType>;

const EVENT_NAMES = {
  [broker.EventType.UNSPECIFIED]: undefined,
  [broker.EventType.MANAGER_START]: "MANAGER_START",
  [broker.EventType.MANAGER_STOP]: "MANAGER_STOP",
  [broker.EventType.MANAGER_STATS]: "MANAGER_STATS",
  [broker.EventType.TASK_ENQUEUE]: "TASK_ENQUEUE",
  [broker.EventType.TASK_START]: "TASK_START",
  [broker.EventType.TASK_RETRY]: "TASK_RETRY",
  [broker.EventType.TASK_COMPLETION]: "TASK_COMPLETION",
  [broker.EventType.TASK_FAILURE]: "TASK_FAILURE",
  [broker.EventType.TASK_RELEASE]: "TASK_RELEASE",
  [broker.EventType.TASK_EXPIRE]: "TASK_EXPIRE",
  [broker.EventType.TASK_REQUEUE]: "TASK_REQUEUE",
  [broker.EventType.TASK_CANCEL]: "TASK_CANCEL",
  [broker.EventType.TASK_DELETE]: "TASK_DELETE",
  [broker.EventType.TASK_PROGRESS]: "TASK_PROGRESS",
} as const satisfies Record<broker.EventType, EventType | undefined>;

export function stateToWire(state: TaskState): task.TaskState {
  return STATES[state];
}

export function isTaskState(text: unknown): text is TaskState {
  return typeof text === "string" && Object.hasOwn(STATES, text);
}

export function eventTypeToWire(type: EventType): broker.EventType {
  return EVENT_TYPES[type];
}

export function isEventType(text: unknown): text is EventType {
  return typeof text === "string" && Object.hasOwn(EVENT_TYPES, text);
}

export function millisToWire(ms: number): Duration {
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanos: Math.round((ms - seconds * 1000) * 1_000_000) };
}

export function millisFromWire(duration: Duration): number {
  return duration.seconds * 1000 + duration.nanos / 1_000_000;
}

function optionalMillis(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : millisFromWire(duration);
}

/** The object without its undefined properties. */
function defined<Value extends object>(value: Value): { [Key in keyof Value]?: Exclude<Value[Key], undefined> } {
  const kept = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.assign({}, ...kept.map(([key, item]) => ({ [key]: item })));
}

function backoffFromWire(backoff: task.Backoff): BackoffOptions {
  return defined({
    initialMs: optionalMillis(backoff.initial),
    factor: backoff.factor === 0 ? undefined : backoff.factor,
    maxMs: optionalMillis(backoff.max),
    jitter: backoff.jitter,
  });
}

function backoffToWire(backoff: BackoffOptions): task.Backoff {
  return {
    initial: backoff.initialMs === undefined ? undefined : millisToWire(backoff.initialMs),
    factor: backoff.factor ?? 0,
    max: backoff.maxMs === undefined ? undefined : millisToWire(backoff.maxMs),
    jitter: backoff.jitter,
  };
}

export function taskInfoFromWire(info: task.TaskInfo): TaskInfo {
  const { task: own } = info;
  return {
    topic: own?.topic ?? "",
    id: own?.id ?? "",
    args: own?.args,
    payload: own && own.payload.length > 0 ? own.payload : undefined,
    contentType: own?.contentType ?? "",
    externalId: own?.externalId ?? "",
    numRetries: own?.numRetries,
    priority: own?.priority ?? 0,
    timeoutMs: optionalMillis(own?.timeout),
    metadata: own?.metadata ?? {},
    backoff: own?.backoff && backoffFromWire(own.backoff),
    retentionMs: optionalMillis(own?.retention) ?? 0,
    // A state that this version does not know cannot be any of those it does; the newer broker's tasks stay readable.
    state: STATE_NAMES[info.state] ?? "scheduled",
    attempt: info.attempt,
    failures: info.failures,
    lostLeases: info.lostLeases,
    enqueuedAt: info.enqueuedAt,
    dueAt: info.dueAt,
    startedAt: info.startedAt,
    finishedAt: info.finishedAt,
    sessionId: info.sessionId || undefined,
    lastError: info.lastError || undefined,
    deadReason: DEAD_REASONS[info.deadReason],
    progress: info.progress,
    result: info.result,
    cancelRequested: info.cancelRequested,
  };
}

const SCRUB_PROBLEMS = {
  [admin.ScrubProblemKind.UNSPECIFIED]: "unknown",
  [admin.ScrubProblemKind.STRAY_TASK]: "stray_task",
  [admin.ScrubProblemKind.TWO_STATES]: "two_states",
  [admin.ScrubProblemKind.GHOST_ENTRY]: "ghost_entry",
  [admin.ScrubProblemKind.GHOST_LEASE]: "ghost_lease",
  [admin.ScrubProblemKind.ORPHAN_LEASE]: "orphan_lease",
  [admin.ScrubProblemKind.GHOST_NOTE]: "ghost_note",
  [admin.ScrubProblemKind.WRONG_INDEX]: "wrong_index",
  [admin.ScrubProblemKind.WRONG_RETENTION]: "wrong_retention",
  [admin.ScrubProblemKind.WRONG_BYTES]: "wrong_bytes",
  [admin.ScrubProblemKind.WRONG_COUNT]: "wrong_count",
} as const satisfies Record<admin.ScrubProblemKind, ScrubProblemKind>;

export function scrubProblemFromWire({ topic, kind, taskId, detail, repaired }: admin.ScrubProblem): ScrubProblem {
  return {
    topic,
    kind: SCRUB_PROBLEMS[kind] ?? "unknown",
    taskId: taskId === "" ? undefined : taskId,
    detail,
    repaired,
  };
}

export function taskResultFromWire(result: admin.TaskResult): TaskResult {
  return {
    id: result.id,
    outcome: OUTCOMES[result.outcome] ?? "done",
    state: STATE_NAMES[result.state],
  };
}

const NO_STATS: broker.Stats = broker.Stats.fromPartial({});

export function statsFromWire(stats: broker.Stats = NO_STATS): Stats {
  const { oldestReadyAge, ...counters } = stats;
  return { ...counters, oldestReadyAgeMs: optionalMillis(oldestReadyAge) };
}

export function statsReportFromWire(response: broker.StatsResponse): StatsReport {
  return {
    at: response.at ?? new Date(0),
    stats: statsFromWire(response.stats),
    topics: response.topics.map(({ topic, stats, paused }) => ({ topic, stats: statsFromWire(stats), paused })),
  };
}

export function settingsFromWire(settings: admin.TopicSettings | undefined): TopicSettings {
  return defined({
    numRetries: settings?.numRetries,
    backoff: settings?.backoff && backoffFromWire(settings.backoff),
    timeoutMs: optionalMillis(settings?.timeout),
    lostLeasesMax: settings?.lostLeasesMax,
    tasksMax: settings?.tasksMax,
    bytesMax: settings?.bytesMax,
  });
}

export function settingsToWire(settings: TopicSettings): admin.TopicSettings {
  return {
    numRetries: settings.numRetries,
    backoff: settings.backoff && backoffToWire(settings.backoff),
    timeout: settings.timeoutMs === undefined ? undefined : millisToWire(settings.timeoutMs),
    lostLeasesMax: settings.lostLeasesMax,
    tasksMax: settings.tasksMax,
    bytesMax: settings.bytesMax,
  };
}

export function topicInfoFromWire(info: admin.TopicInfo): TopicInfo {
  return {
    topic: info.topic,
    stats: statsFromWire(info.stats),
    settings: settingsFromWire(info.settings),
    paused: info.paused,
  };
}

export function workerInfoFromWire(info: admin.WorkerInfo): WorkerInfo {
  const { expiresIn, ...rest } = info;
  return { ...rest, expiresInMs: optionalMillis(expiresIn) };
}

/** Undefined for a type that this version does not know. */
export function eventFromWire(
  event: broker.Event,
  place: { readonly cursor: string; readonly dropped: boolean },
): WatchEvent | undefined {
  const type = EVENT_NAMES[event.type];
  if (type === undefined) return undefined;
  return {
    type,
    at: event.at ?? new Date(0),
    broker: event.broker,
    worker: event.worker,
    topic: event.topic,
    taskId: event.taskId,
    externalId: event.externalId,
    attempt: event.attempt,
    durationMs: optionalMillis(event.duration),
    error: event.error || undefined,
    stats: event.stats && statsFromWire(event.stats),
    progress: event.progress,
    cursor: place.cursor,
    dropped: place.dropped,
  };
}
