/**
 * The one error class of the SDK, and the only reader of gRPC statuses and
 * their details. The broker's reason travels in `google.rpc.ErrorInfo`; it
 * becomes `code`, which is what callers should switch on.
 */
import type { Metadata } from "@grpc/grpc-js";
import { status as grpcStatus } from "@grpc/grpc-js";

/** Reasons the broker gives (docs/errors.md), and below them those of the SDK itself. */
export type ErrorCode =
  | "INVALID_ARGUMENT"
  | "TASK_NOT_FOUND"
  | "TASK_TOO_LARGE"
  | "LEASE_LOST"
  | "SESSION_LOST"
  | "SESSION_MOVED"
  | "TOPIC_FULL"
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
