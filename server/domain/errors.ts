/**
 * Operating errors: one class, and one table of what each code means to a
 * caller. The table decides the gRPC status, the advice that SDKs obey, and the
 * rows of docs/errors.md, which a test compares with it.
 *
 * Outcomes that callers expect (a lease was lost, a task is not there) are
 * values in the store's unions, not errors; bugs are assertions.
 */
export const CODES = {
  INVALID_ARGUMENT: { grpc: "INVALID_ARGUMENT", retry: "never", meaning: "A field of the request breaks a rule." },
  TASK_NOT_FOUND: { grpc: "NOT_FOUND", retry: "never", meaning: "No such task, or its retention is over." },
  TASK_TOO_LARGE: { grpc: "INVALID_ARGUMENT", retry: "never", meaning: "A task exceeds the broker's task_bytes_max." },
  LEASE_LOST: {
    grpc: "FAILED_PRECONDITION",
    retry: "never",
    meaning: "The lease is no longer held: it expired, or was settled before.",
  },
  SESSION_LOST: {
    grpc: "FAILED_PRECONDITION",
    retry: "never",
    meaning: "The session is over, or its secret is wrong; say hello anew.",
  },
  SESSION_MOVED: { grpc: "ABORTED", retry: "never", meaning: "The session was resumed on another stream." },
  TOPIC_FULL: {
    grpc: "RESOURCE_EXHAUSTED",
    retry: "backoff",
    meaning: "The topic holds as many tasks or bytes as it may.",
  },
  NAMESPACE_FULL: {
    grpc: "RESOURCE_EXHAUSTED",
    retry: "backoff",
    meaning: "All topics together hold as many tasks or bytes as the broker was told they may.",
  },
  STORE_FULL: {
    grpc: "RESOURCE_EXHAUSTED",
    retry: "backoff",
    meaning: "The store is out of memory or disk; reports still get through.",
  },
  TOO_MANY_WATCHERS: { grpc: "RESOURCE_EXHAUSTED", retry: "backoff", meaning: "This broker serves no more watchers." },
  STORE_UNAVAILABLE: {
    grpc: "UNAVAILABLE",
    retry: "backoff",
    meaning: "The store does not answer; the outcome may be unknown.",
  },
  STORE_READ_ONLY: {
    grpc: "UNAVAILABLE",
    retry: "backoff",
    meaning: "The store accepts no writes: a replica, or a disk that failed.",
  },
  DRAINING: {
    grpc: "UNAVAILABLE",
    retry: "at_once",
    meaning: "This broker is about to stop; another one may serve you now.",
  },
  UNAUTHENTICATED: { grpc: "UNAUTHENTICATED", retry: "never", meaning: "No valid credentials came with the call." },
  INTERNAL: { grpc: "INTERNAL", retry: "never", meaning: "A bug in the broker; its log has the details." },
} as const satisfies Record<string, { grpc: string; retry: "never" | "backoff" | "at_once"; meaning: string }>;

export type ErrorCode = keyof typeof CODES;

export interface ErrorDetails {
  /** The refused field, as a path such as `tasks[3].priority`. */
  readonly field?: string;
  /** Milliseconds a caller should wait before it tries again. */
  readonly retryDelayMs?: number;
  readonly cause?: unknown;
}

/** The one error the broker's own code throws on purpose. */
export class TaskqueueError extends Error {
  readonly code: ErrorCode;
  readonly field: string | undefined;
  readonly retryDelayMs: number | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "TaskqueueError";
    this.code = code;
    this.field = details.field;
    this.retryDelayMs = details.retryDelayMs;
  }
}

/** A refusal of one field: names the field, the value and the rule. */
export function invalid(field: string, value: unknown, rule: string): TaskqueueError {
  return new TaskqueueError("INVALID_ARGUMENT", `${field}: ${rule} (got ${preview(value)})`, { field });
}

function preview(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
