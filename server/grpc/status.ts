/**
 * From the broker's errors to gRPC statuses: the only producer of ServerError.
 *
 * The code travels as the reason of an ErrorInfo detail, not in the message;
 * refused fields as a BadRequest; waiting times as a RetryInfo.
 */
import { type CallContext, ServerError, type ServerMiddlewareCall, Status } from "nice-grpc-common";
import {
  BadRequest,
  type ErrorDetails,
  ErrorInfo,
  errorDetailsServerMiddleware,
  RetryInfo,
  RichServerError,
} from "nice-grpc-error-details";
import { CODES, TaskqueueError } from "../domain/errors.js";
import type { Log } from "../lib/log.js";
import { Failing, failing, type Responses } from "./responses.js";
import { toDuration } from "./time.js";

const DOMAIN = "taskqueue";

export function statusOf(error: TaskqueueError): Status {
  return Status[CODES[error.code].grpc];
}

/** How long a caller should wait before it tries again; undefined when that would be in vain. */
export function retryDelayMsOf({ code, retryDelayMs }: TaskqueueError): number | undefined {
  return retryDelayMs ?? (CODES[code].retry === "backoff" ? 1_000 : undefined);
}

export function toServerError(error: TaskqueueError): ServerError {
  const details: ErrorDetails[] = [
    { $type: ErrorInfo.$type, reason: error.code, domain: DOMAIN, metadata: {} } satisfies ErrorInfo,
  ];
  if (error.field !== undefined) {
    const fieldViolations = [
      { $type: "google.rpc.BadRequest.FieldViolation" as const, field: error.field, description: error.message },
    ];
    details.push({ $type: BadRequest.$type, fieldViolations } satisfies BadRequest);
  }
  const retryDelayMs = retryDelayMsOf(error);
  if (retryDelayMs !== undefined) {
    details.push(RetryInfo.fromPartial({ retryDelay: toDuration(retryDelayMs) }));
  }
  return new RichServerError(statusOf(error), error.message, details);
}

/** Turns what handlers throw into statuses with details; what nobody expected is logged and told as INTERNAL. */
export function statusMiddleware(log: Log) {
  return function status<Request, Response>(
    call: ServerMiddlewareCall<Request, Response>,
    context: CallContext,
  ): Responses<Response> {
    const fail = async (error: unknown): Promise<never> => {
      const status = toStatus(log, call.method.path, error);
      // It puts the details into the trailer, and throws on: it is asked only about calls that have failed.
      await errorDetailsServerMiddleware({ ...call, next: () => failing(status) }, context).next();
      throw status;
    };
    return new Failing(call.next(call.request, context), fail);
  };
}

function toStatus(log: Log, rpc: string, error: unknown): unknown {
  if (error instanceof TaskqueueError) {
    if (error.code === "INTERNAL") log.error({ err: error, rpc }, "a call failed");
    return toServerError(error);
  }
  if (error instanceof ServerError || isAbort(error)) return error;
  log.error({ err: error, rpc }, "a call failed unexpectedly: this is a bug");
  return toServerError(new TaskqueueError("INTERNAL", "an unexpected error; the broker's log has the details"));
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
