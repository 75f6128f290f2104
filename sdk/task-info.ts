/** What brokers tell about tasks, topics and workers, in the SDK's own words: milliseconds, names, `undefined` for unset. */
import type { BackoffOptions } from "./options.js";

export type TaskState = "scheduled" | "ready" | "leased" | "dead" | "completed" | "cancelled";
export type DeadReason = "retries_exhausted" | "do_not_retry" | "lost_leases";

export interface TaskInfo {
  readonly topic: string;
  readonly id: string;
  /** The arguments; undefined when the task carries a payload or nothing. */
  readonly args: readonly unknown[] | undefined;
  readonly payload: Uint8Array | undefined;
  readonly contentType: string;
  readonly externalId: string;
  readonly numRetries: number | undefined;
  readonly priority: number;
  readonly timeoutMs: number | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly backoff: BackoffOptions | undefined;
  readonly retentionMs: number;
  readonly state: TaskState;
  /** The attempt that runs, or ran last. 0 before the first. */
  readonly attempt: number;
  readonly failures: number;
  readonly lostLeases: number;
  readonly enqueuedAt: Date | undefined;
  readonly dueAt: Date | undefined;
  readonly startedAt: Date | undefined;
  readonly finishedAt: Date | undefined;
  /** The session that holds it. */
  readonly sessionId: string | undefined;
  readonly lastError: string | undefined;
  readonly deadReason: DeadReason | undefined;
  readonly progress: Progress | undefined;
  /** What the processor returned. */
  readonly result: unknown;
  readonly cancelRequested: boolean;
}

export interface Progress {
  /** 0 to 1. */
  readonly fraction: number;
  readonly message: string;
}

/** Counters since the namespace began, and sizes now. */
export interface Stats {
  readonly enqueued: number;
  readonly started: number;
  readonly retried: number;
  readonly failed: number;
  readonly completed: number;
  readonly released: number;
  readonly expired: number;
  readonly cancelled: number;
  readonly aborted: number;
  readonly requeued: number;
  readonly deleted: number;
  readonly inputQueueSize: number;
  readonly workQueueSize: number;
  readonly deadQueueSize: number;
  readonly scheduledSize: number;
  readonly completedSize: number;
  readonly cancelledSize: number;
  readonly bytes: number;
  /** Undefined when nothing is ready. */
  readonly oldestReadyAgeMs: number | undefined;
  readonly workers: number;
  readonly slots: number;
}

export interface TopicStats {
  readonly topic: string;
  readonly stats: Stats;
  readonly paused: boolean;
}

export interface StatsReport {
  /** When they were read, on the store's clock. */
  readonly at: Date;
  readonly stats: Stats;
  /** Rows for the first 1,000 topics; empty unless `perTopic` was asked for. */
  readonly topics: readonly TopicStats[];
}

export interface TopicSettings {
  readonly numRetries?: number;
  readonly backoff?: BackoffOptions;
  readonly timeoutMs?: number;
  readonly lostLeasesMax?: number;
  readonly tasksMax?: number;
  readonly bytesMax?: number;
}

/** Settings to change. `null` puts one back to the broker's default; what is absent stays. */
export type TopicSettingsChange = { readonly [Setting in keyof TopicSettings]?: TopicSettings[Setting] | null };

export interface TopicInfo {
  readonly topic: string;
  readonly stats: Stats;
  readonly settings: TopicSettings;
  readonly paused: boolean;
}

export interface WorkerInfo {
  readonly sessionId: string;
  readonly worker: string;
  readonly broker: string;
  readonly sdk: string;
  readonly address: string;
  readonly topics: readonly { readonly topic: string; readonly concurrency: number; readonly weight: number }[];
  readonly slots: number;
  readonly startedAt: Date | undefined;
  readonly expiresInMs: number | undefined;
  readonly attached: boolean;
}

export type TaskOutcome = "done" | "not_found" | "wrong_state" | "cancel_requested";

/** What became of one task of a request. */
export interface TaskResult {
  readonly id: string;
  readonly outcome: TaskOutcome;
  /** The state that forbade it; set with `wrong_state`. */
  readonly state: TaskState | undefined;
}

/** What a scrub can find; docs/operations.md says what each is, and what a repair does. */
export type ScrubProblemKind =
  | "stray_task"
  | "two_states"
  | "ghost_entry"
  | "ghost_lease"
  | "orphan_lease"
  | "ghost_note"
  | "wrong_index"
  | "wrong_retention"
  | "wrong_bytes"
  | "wrong_count"
  /** A kind of a newer broker. */
  | "unknown";

/** Something in the store that is not as it must be. */
export interface ScrubProblem {
  readonly topic: string;
  readonly kind: ScrubProblemKind;
  /** The task it concerns; undefined when it concerns the topic. */
  readonly taskId: string | undefined;
  /** What is wrong, for people. */
  readonly detail: string;
  readonly repaired: boolean;
}

/** What one piece of a scrub looked at, and found. */
export interface ScrubPiece {
  readonly checked: number;
  readonly problems: readonly ScrubProblem[];
}

/** The names of events, as on the wire without their prefix. */
export type EventType =
  | "MANAGER_START"
  | "MANAGER_STOP"
  | "MANAGER_STATS"
  | "TASK_ENQUEUE"
  | "TASK_START"
  | "TASK_RETRY"
  | "TASK_COMPLETION"
  | "TASK_FAILURE"
  | "TASK_RELEASE"
  | "TASK_EXPIRE"
  | "TASK_REQUEUE"
  | "TASK_CANCEL"
  | "TASK_DELETE"
  | "TASK_PROGRESS";

/** Something that happened. Fields that do not apply are empty or undefined. */
export interface WatchEvent {
  readonly type: EventType;
  readonly at: Date;
  readonly broker: string;
  readonly worker: string;
  readonly topic: string;
  readonly taskId: string;
  readonly externalId: string;
  readonly attempt: number;
  readonly durationMs: number | undefined;
  readonly error: string | undefined;
  readonly stats: Stats | undefined;
  readonly progress: Progress | undefined;
  /** Give it as `after` to go on from here. Events that came in one message share a place: going on may repeat some of them, never skip one. */
  readonly cursor: string;
  /** True when events before this one were lost to this watcher. */
  readonly dropped: boolean;
}

/** One page, and where the next begins. */
export interface Page<Item> {
  readonly items: readonly Item[];
  /** Undefined on the last page. */
  readonly nextPageToken: string | undefined;
}

/** A list that is read page by page: `for await` over all of it, or one `page()`. */
export interface Listing<Item> extends AsyncIterable<Item> {
  /** The page that `pageToken` named, or the first. */
  page(): Promise<Page<Item>>;
}
