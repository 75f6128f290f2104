/**
 * For tests of code that uses the SDK. Nothing here pretends to be a broker:
 * `runProcessor` runs one attempt of a processor with its input and result
 * passed through the same codecs and checks as in production, and `nextEvent`
 * awaits what a worker tells.
 */
import { readValue } from "../args.js";
import { TaskqueueError } from "../errors.js";
import { readLeaseMessage } from "../lease-codec.js";
import { LIMITS } from "../limits.js";
import type { EnqueueOptions, RegisterOptions } from "../options.js";
import { timedId } from "../random.js";
import { type Processor, Registration } from "../registration.js";
import { Attempt } from "../running-task.js";
import { checked } from "../schema.js";
import { writeTask } from "../task-codec.js";
import type { AnyTopic, Topic } from "../topic.js";
import { Reader, Writer } from "../wire.js";
import type { Worker } from "../worker.js";
import type { WorkerEventOf, WorkerEventType } from "../worker-event.js";

/** How the attempt comes to its processor. */
export interface AttemptOptions extends Pick<EnqueueOptions, "id" | "externalId" | "metadata"> {
  /** Default: 1. */
  readonly attempt?: number;
  /** Failed attempts before this one. Default: 0. */
  readonly failures?: number;
  /** Fires the attempt's signal, as if the task was cancelled. */
  readonly signal?: AbortSignal;
  /** As given to `worker.register`. */
  readonly register?: RegisterOptions;
}

/** What the broker would be told of the attempt. */
export type Outcome =
  | { readonly kind: "completed"; readonly result: unknown; readonly progress: readonly ProgressMade[] }
  | {
      readonly kind: "failed";
      /** What was thrown. */
      readonly error: unknown;
      /** As it is stored with the task. */
      readonly message: string;
      /** What the processor or its backoff asked for; undefined leaves it to the task's. */
      readonly retryDelayMs: number | undefined;
      readonly doNotRetry: boolean;
      readonly progress: readonly ProgressMade[];
    };

export interface ProgressMade {
  readonly fraction: number;
  readonly message: string;
}

/**
 * Runs one attempt. The input is checked and encoded as a producer would, the
 * result as a worker would for a task that is retained.
 *
 * @throws TaskqueueError when the input could not have been enqueued; what the processor throws is an outcome
 */
export async function runProcessor<Input, Output, Result>(
  topic: Topic<Input, Output, Result>,
  processor: Processor<NoInfer<Output>, Result>,
  input: NoInfer<Input>,
  options: AttemptOptions = {},
): Promise<Outcome> {
  await checked(topic.args, input, "args");
  const progress: ProgressMade[] = [];
  const attempt = leased(topic, input, options, {
    progressed: (_, fraction, message) => progress.push({ fraction, message }),
  });
  attempt.state = "running";
  const registration = new Registration(topic, processor, options.register ?? {}, undefined);
  const onAbort = () => attempt.abort(new TaskqueueError("TASK_CANCELLED", "the test aborted the attempt"));
  if (options.signal?.aborted) onAbort();
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const returned = await registration.processor(await registration.read(attempt), attempt);
    const report = await registration.completed(attempt, returned, LIMITS.taskBytesMax);
    const result = report.kind === "completed" && report.result ? readResult(report.result) : undefined;
    return { kind: "completed", result, progress };
  } catch (error) {
    const { error: message, retryDelayMs, doNotRetry } = registration.failed(attempt, error);
    return { kind: "failed", error, message, retryDelayMs, doNotRetry, progress };
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
  }
}

/** The task as it comes out at the other end of the wire. */
function leased(
  topic: AnyTopic,
  input: unknown,
  options: AttemptOptions,
  sink: ConstructorParameters<typeof Attempt>[0],
): Attempt {
  const { id = timedId(), externalId, metadata } = options;
  const writer = new Writer();
  // Field 3 of LeaseResponse, whose field 1 is the task.
  const start = writer.begin(3);
  const own = { ...(externalId === undefined ? {} : { externalId }), ...(metadata === undefined ? {} : { metadata }) };
  writeTask(writer, topic, id, input, { ...own, retentionMs: 1 }, LIMITS.taskBytesMax);
  writer.string(2, "test-lease");
  writer.uint(3, options.attempt ?? 1);
  writer.uint(4, options.failures ?? 0);
  writer.end(start);
  const [attempt] = readLeaseMessage(writer.take(), () => new Attempt(sink)).leased;
  if (attempt === undefined) throw new Error("the task was lost on the way");
  return attempt;
}

function readResult(bytes: Buffer): unknown {
  const reader = new Reader(bytes);
  return reader.next(reader.length) ? readValue(reader) : undefined;
}

/** The worker's next event of a type, optionally the first that fits. Rejects when the signal aborts. */
export function nextEvent<Type extends WorkerEventType>(
  worker: Worker,
  type: Type,
  options: { readonly where?: (event: WorkerEventOf<Type>) => boolean; readonly signal?: AbortSignal } = {},
): Promise<WorkerEventOf<Type>> {
  const { where = () => true, signal } = options;
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      undo();
      reject(signal?.reason);
    };
    const undo = worker.on(type, (event) => {
      if (!where(event)) return;
      undo();
      signal?.removeEventListener("abort", onAbort);
      resolve(event);
    });
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}
