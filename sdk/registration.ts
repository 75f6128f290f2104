/** A topic's processor within a worker: reads its input, and makes a report of what it returns or throws. */
import { writeJson } from "./args.js";
import { type DoNotRetry, isNamed, type RetryLater, TaskqueueError } from "./errors.js";
import type { TopicSubscription } from "./gen/taskqueue/v1/worker.js";
import type { FailedReport, Report } from "./lease-codec.js";
import { cutToBytes, LIMITS } from "./limits.js";
import { integer, type Logger, type RegisterOptions, refuseUnknown } from "./options.js";
import type { Attempt, RunningTask } from "./running-task.js";
import { checked } from "./schema.js";
import type { AnyTopic } from "./topic.js";
import { Writer } from "./wire.js";

/** Does the work of a topic. What it returns is the task's result; what it throws fails the attempt. */
export type Processor<Input, Result> = (input: Input, task: RunningTask) => Result | Promise<Result>;

const OPTIONS = new Set(["concurrency", "weight", "backoff"]);
const COMPLETED: Report = { kind: "completed", result: undefined };

export class Registration {
  readonly processor: (input: unknown, task: RunningTask) => unknown;
  readonly subscription: TopicSubscription;
  readonly #topic: AnyTopic;
  readonly #backoff: RegisterOptions["backoff"];
  readonly #logger: Logger | undefined;

  constructor(
    topic: AnyTopic,
    // biome-ignore lint/suspicious/noExplicitAny: `read` makes what it takes; `register` has checked the types.
    processor: Processor<any, unknown>,
    options: RegisterOptions,
    logger: Logger | undefined,
  ) {
    refuseUnknown("register", options, OPTIONS);
    this.processor = processor;
    this.subscription = {
      topic: topic.name,
      concurrency: integer("concurrency", options.concurrency, 0, 0, LIMITS.slotsMax),
      weight: integer("weight", options.weight, 1, 1, LIMITS.weightMax),
    };
    this.#topic = topic;
    this.#backoff = options.backoff;
    this.#logger = logger;
  }

  /**
   * The processor's input; a promise of it when the schema is asynchronous.
   *
   * @throws TaskqueueError INVALID_INPUT when the task's input is not what the topic says
   */
  read(attempt: Attempt): unknown {
    if (attempt.unreadable !== undefined) {
      throw new TaskqueueError("INVALID_INPUT", `the task cannot be read: ${attempt.unreadable.message}`, {
        cause: attempt.unreadable,
      });
    }
    const { codec, args } = this.#topic;
    if (codec !== undefined) {
      try {
        return codec.decode(attempt.payload ?? new Uint8Array(), attempt.contentType);
      } catch (cause) {
        const message = cause instanceof Error ? cause.message : String(cause);
        throw new TaskqueueError("INVALID_INPUT", `the payload cannot be decoded: ${message}`, { cause });
      }
    }
    const input = attempt.args ?? [];
    return args === undefined ? input : checked(args, input, "args");
  }

  /**
   * The report of a processor that returned. The result is kept only as long as
   * its task is, so one that is not retained is not looked at.
   *
   * @throws TaskqueueError when the result cannot be kept as it is
   */
  completed(attempt: Attempt, result: unknown, resultBytesMax: number): Report | Promise<Report> {
    if (this.#topic.result === undefined) return toReport(attempt, result, resultBytesMax);
    const value = checked(this.#topic.result, result, "result");
    // What was returned travels; the schema's output is for whoever reads it.
    return value instanceof Promise
      ? value.then(() => toReport(attempt, result, resultBytesMax))
      : toReport(attempt, result, resultBytesMax);
  }

  /** The report of a processor that threw. */
  failed(attempt: Attempt, error: unknown): FailedReport {
    return {
      kind: "failed",
      error: describe(error),
      retryDelayMs: this.#retryDelayMs(attempt, error),
      doNotRetry: isNamed<DoNotRetry>(error, "DoNotRetry") || isUseless(error),
    };
  }

  #retryDelayMs(attempt: Attempt, error: unknown): number | undefined {
    if (isNamed<RetryLater>(error, "RetryLater")) return this.#delay(error.delayMs, "RetryLater");
    if (this.#backoff === undefined) return undefined;
    try {
      return this.#delay(this.#backoff(attempt.failures + 1, error), "backoff");
    } catch (thrown) {
      this.#logger?.error(
        { topic: this.#topic.name, error: thrown },
        "the backoff function threw; the task's own decides",
      );
      return undefined;
    }
  }

  #delay(ms: number | undefined, source: string): number | undefined {
    if (ms === undefined) return undefined;
    if (Number.isNaN(ms) || ms < 0) {
      this.#logger?.error(
        { topic: this.#topic.name, ms },
        `${source} gave no delay in milliseconds; the task's own decides`,
      );
      return undefined;
    }
    return Math.min(Math.ceil(ms), LIMITS.delayMsMax);
  }
}

function toReport(attempt: Attempt, result: unknown, resultBytesMax: number): Report {
  if (result === undefined || !attempt.retained) return COMPLETED;
  const writer = new Writer();
  // The field of Completed.
  writeJson(writer, 2, result, "result");
  if (writer.length > resultBytesMax) {
    const message = `the result takes ${writer.length} bytes, and ${resultBytesMax} is the most`;
    throw new TaskqueueError("TASK_TOO_LARGE", message, { field: "result" });
  }
  return { kind: "completed", result: writer.take() };
}

/** Errors that the same input or code would only bring up again: made by this file, and by `writeJson`. */
function isUseless(error: unknown): boolean {
  if (!(error instanceof TaskqueueError) || error.status !== undefined) return false;
  if (error.code === "INVALID_INPUT") return true;
  return error.field !== undefined && /^result\b/.test(error.field);
}

/** The stack, which begins with name and message, then the causes; cut to what the broker keeps. */
function describe(error: unknown): string {
  let text = stackOf(error);
  let cause: unknown = error instanceof Error ? error.cause : undefined;
  for (let depth = 0; cause !== undefined && depth < 5 && text.length < LIMITS.errorBytesMax; depth += 1) {
    text += `\nCaused by: ${stackOf(cause)}`;
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return cutToBytes(text, LIMITS.errorBytesMax);
}

function stackOf(error: unknown): string {
  try {
    if (!(error instanceof Error)) return String(error);
    const head = `${error.name}: ${error.message}`;
    const { stack } = error;
    if (typeof stack !== "string") return head;
    // A stack made before the message was changed, or by another engine, need not begin with it.
    return stack.startsWith(head) ? stack : `${head}\n${stack}`;
  } catch {
    // Things exist that cannot even be turned into text; the attempt has failed all the same.
    return "an error that cannot be described";
  }
}
