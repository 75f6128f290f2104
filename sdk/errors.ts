/**
 * The one error class of the SDK, and the only reader of gRPC statuses and
 * their details. The broker's reason travels in `google.rpc.ErrorInfo`; it
 * becomes `code`, which is what callers should switch on.
 */
import { status as grpcStatus } from "@grpc/grpc-js";
import { Reader, readMillis } from "./wire.js";

/** Reasons the broker gives (docs/errors.md), and below them those of the SDK itself. */
export type ErrorCode =
  | "INVALID_ARGUMENT"
  | "TASK_NOT_FOUND"
  | "TASK_TOO_LARGE"
  | "LEASE_LOST"
  | "SESSION_LOST"
  | "SESSION_MOVED"
  | "TOPIC_FULL"
  | "NAMESPACE_FULL"
  | "STORE_FULL"
  | "TOO_MANY_WATCHERS"
  | "STORE_UNAVAILABLE"
  | "STORE_READ_ONLY"
  | "DRAINING"
  | "UNAUTHENTICATED"
  | "INTERNAL"
  /** No broker could be reached, or none answered in time. */
  | "UNREACHABLE"
  /** The client or worker was closed. */
  | "CLOSED"
  /** Abort reason: a person cancelled the task. */
  | "TASK_CANCELLED"
  /** Abort reason: the attempt ran out of time. */
  | "TASK_TIMEOUT"
  /** A task's input is not what its topic says: undecodable, or refused by the schema. */
  | "INVALID_INPUT"
  /** Any other gRPC status, by its name. */
  | (string & {});

export interface TaskqueueErrorDetails {
  readonly field?: string | undefined;
  readonly retryable?: boolean | undefined;
  readonly retryDelayMs?: number | undefined;
  readonly status?: number | undefined;
  readonly cause?: unknown;
}

/** The error that every call of the SDK rejects with, and the reason of every signal it aborts. */
export class TaskqueueError extends Error {
  /** What went wrong, for programs. */
  readonly code: ErrorCode;
  /** The refused field, such as `args[1].size`. */
  readonly field: string | undefined;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** How long the broker asks to wait before that, in milliseconds. */
  readonly retryDelayMs: number | undefined;
  /** The gRPC status code; undefined when the error arose in this process. */
  readonly status: number | undefined;

  constructor(code: ErrorCode, message: string, details: TaskqueueErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "TaskqueueError";
    this.code = code;
    this.field = details.field;
    this.retryable = details.retryable ?? false;
    this.retryDelayMs = details.retryDelayMs;
    this.status = details.status;
  }
}

/** Thrown by a processor: this attempt failed, try again after `delayMs`, whatever the backoff says. Uses up a retry. */
export class RetryLater extends Error {
  readonly delayMs: number;

  constructor(delayMs: number, message = "the processor asked to be tried again later", options?: ErrorOptions) {
    super(message, options);
    this.name = "RetryLater";
    this.delayMs = delayMs;
  }
}

/** Thrown by a processor: trying again is useless; the task goes to the dead queue at once. */
export class DoNotRetry extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "DoNotRetry";
  }
}

const DETAILS_KEY = "grpc-status-details-bin";

/** What a call or stream ends with. The metadata is that of grpc-js (a list per key) or of nice-grpc (one value). */
export interface CallStatus {
  readonly code: number;
  readonly details: string;
  readonly metadata?: { get(key: string): unknown } | undefined;
}

/** Statuses that may pass: the broker or the way to it is away, full, or about to stop. */
const RETRYABLE: ReadonlySet<number> = new Set([
  grpcStatus.UNAVAILABLE,
  grpcStatus.RESOURCE_EXHAUSTED,
  grpcStatus.ABORTED,
  grpcStatus.CANCELLED,
  grpcStatus.DEADLINE_EXCEEDED,
]);

/** An error made from the status of a call, `address` being the broker's. */
export function errorFromStatus(status: CallStatus, address: string): TaskqueueError {
  const details = readDetails(status.metadata?.get(DETAILS_KEY));
  if (details.reason !== undefined) {
    return new TaskqueueError(details.reason, status.details, {
      field: details.field,
      // A reason says more than a status: a session that has moved is ABORTED, and no repetition helps.
      retryable: details.retryDelayMs !== undefined || status.code === grpcStatus.UNAVAILABLE,
      retryDelayMs: details.retryDelayMs,
      status: status.code,
    });
  }
  if (status.code === grpcStatus.UNAVAILABLE) return unreachable(address, status.details, status);
  return new TaskqueueError(grpcStatus[status.code] ?? "UNKNOWN", `${status.details} (broker ${address})`, {
    field: details.field,
    retryable: RETRYABLE.has(status.code) || isTransportFault(status),
    retryDelayMs: details.retryDelayMs,
    status: status.code,
  });
}

/** Says which broker cannot be reached, why, and what to look at. */
export function unreachable(address: string, why: string, cause?: unknown): TaskqueueError {
  return new TaskqueueError(
    "UNREACHABLE",
    `no broker answers at ${address}: ${why}. Is a broker running there (taskqueue serve), and do address and TLS settings agree with it?`,
    { retryable: true, status: grpcStatus.UNAVAILABLE, cause: cause instanceof Error ? cause : undefined },
  );
}

/** The error in an EnqueueStreamResponse; absent parts are empty, 0 or undefined. */
export interface StreamedError {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly field: string;
  readonly retryDelayMs: number | undefined;
}

/** It says what a unary call says by its status. */
export function errorFromReason(error: StreamedError): TaskqueueError {
  return new TaskqueueError(error.reason || (grpcStatus[error.code] ?? "UNKNOWN"), error.message, {
    field: error.field || undefined,
    retryable: error.retryDelayMs !== undefined || error.code === grpcStatus.UNAVAILABLE,
    retryDelayMs: error.retryDelayMs,
    status: error.code,
  });
}

/** Wraps whatever was thrown. */
export function errorFromUnknown(error: unknown): TaskqueueError {
  if (error instanceof TaskqueueError) return error;
  return new TaskqueueError("INTERNAL", error instanceof Error ? error.message : String(error), { cause: error });
}

/**
 * nghttp2 kills a connection that has seen too many resets, and all calls on it
 * end as INTERNAL; so do those of a connection that breaks within a message.
 */
function isTransportFault(status: CallStatus): boolean {
  return (
    (status.code === grpcStatus.INTERNAL || status.code === grpcStatus.UNKNOWN) &&
    /RST_STREAM|Session closed|connection|socket|ECONN|EPIPE/i.test(status.details)
  );
}

interface Details {
  reason?: string;
  field?: string;
  retryDelayMs?: number;
}

/** Reads a google.rpc.Status, as far as it concerns callers. Unreadable details are no details. */
function readDetails(value: unknown): Details {
  const details: Details = {};
  const bytes: unknown = Array.isArray(value) ? value[0] : value;
  if (!(bytes instanceof Uint8Array)) return details;
  try {
    const reader = new Reader(bytes);
    while (reader.next(reader.length)) {
      if (reader.field === 3) readAny(reader, details);
      else reader.skip();
    }
  } catch {
    // Whoever mangled them (a proxy, another server), the status itself still stands.
  }
  return details;
}

function readAny(reader: Reader, details: Details): void {
  const end = reader.block();
  let type = "";
  while (reader.next(end)) {
    if (reader.field === 1) type = reader.string();
    else if (reader.field === 2) readDetail(type, new Reader(reader.bytes()), details);
    else reader.skip();
  }
}

function readDetail(type: string, reader: Reader, details: Details): void {
  while (reader.next(reader.length)) {
    if (reader.field !== 1) reader.skip();
    else if (type.endsWith("/google.rpc.ErrorInfo")) details.reason = reader.string();
    else if (type.endsWith("/google.rpc.RetryInfo")) details.retryDelayMs = readMillis(reader);
    else if (type.endsWith("/google.rpc.BadRequest")) readViolation(reader, details);
    else reader.skip();
  }
}

/** The first violation counts. */
function readViolation(reader: Reader, details: Details): void {
  const end = reader.block();
  while (reader.next(end)) {
    if (reader.field === 1) details.field ??= reader.string();
    else reader.skip();
  }
}

/** Whether a thrown value is a RetryLater or DoNotRetry, also one of another copy of this package. */
export function isNamed<Kind extends RetryLater | DoNotRetry>(error: unknown, name: Kind["name"]): error is Kind {
  return error instanceof Error && error.name === name;
}
