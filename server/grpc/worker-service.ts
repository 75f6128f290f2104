/**
 * WorkerService: a worker's stream on one side, its session on the other.
 *
 * The stream's requests are read by one loop that never waits for the store;
 * its responses are whatever the session's outbox holds, taken whenever the
 * transport can take more. On grpc-js a cancelled call looks like a half-close,
 * so only a `goodbye` is a goodbye: every other end is a lost connection.
 */
import { Value } from "@taskqueue/sdk/gen/google/protobuf/struct.js";
import type {
  Hello,
  LeaseRequest,
  RenewSessionRequest,
  WorkerUpdate as WireUpdate,
} from "@taskqueue/sdk/gen/taskqueue/v1/worker.js";
import type { CallContext } from "nice-grpc-common";
import { invalid, TaskqueueError } from "../domain/errors.js";
import { parseSessionId } from "../domain/ids.js";
import { DEFAULTS, LIMITS } from "../domain/limits.js";
import type { Broker } from "../engine/broker.js";
import type { WorkerSession, WorkerUpdate } from "../engine/worker-session.js";
import type { EndReason, WorkerHello } from "../engine/workers.js";
import type { LeaseMessage } from "./lease-codec.js";
import { cutText, plainText, topicName, wholeNumber } from "./parse.js";
import { checkValue } from "./task-input.js";
import { fromDuration, toDuration } from "./time.js";

/** How a stream came to its end. */
type End =
  | { readonly kind: "goodbye" }
  | { readonly kind: "lost" }
  | { readonly kind: "broker"; readonly reason: EndReason }
  | { readonly kind: "refused"; readonly error: unknown };

export function workerService(broker: Broker) {
  return {
    lease: (requests: AsyncIterable<LeaseRequest>, context: CallContext) => lease(broker, requests, context),

    async renewSession(request: RenewSessionRequest) {
      const id = sessionId("session_id", request.sessionId);
      const { expiresInMs } = await broker.renewSession(id, request.sessionSecret);
      return { expiresIn: toDuration(expiresInMs) };
    },
  };
}

async function* lease(
  broker: Broker,
  requests: AsyncIterable<LeaseRequest>,
  context: CallContext,
): AsyncGenerator<LeaseMessage> {
  const iterator = requests[Symbol.asyncIterator]();
  const hello = await readHello(iterator, context);
  if (hello === undefined) return;
  const stream = new StreamEnd();
  const session = await broker.attachWorker(hello, (reason) => stream.end({ kind: "broker", reason }));
  const onAbort = () => stream.end({ kind: "lost" });
  context.signal.addEventListener("abort", onAbort);
  try {
    if (context.signal.aborted) return;
    yield welcome(broker, session);
    void readUpdates(broker, session, iterator, stream);
    while (stream.reached === undefined || (stream.reached.kind !== "lost" && session.outbox.filled)) {
      const delivery = session.outbox.take();
      if (delivery) yield { kind: "delivery", delivery, nowMs: broker.now() };
      else await new Promise<void>((resolve) => stream.whenEnded(session.outbox.whenFilled(resolve)));
    }
    finish(stream.reached);
  } finally {
    context.signal.removeEventListener("abort", onAbort);
    await broker.workers.lose(session);
  }
}

/** The end of a stream, once it is reached; the first one counts. */
class StreamEnd {
  #reached: End | undefined;
  #notify: (() => void) | undefined;

  get reached(): End | undefined {
    return this.#reached;
  }

  end(end: End): void {
    this.#reached ??= end;
    this.#notify?.();
  }

  whenEnded(notify: () => void): void {
    this.#notify = notify;
    if (this.#reached) notify();
  }
}

function finish(end: End | undefined): void {
  switch (end?.kind) {
    case "refused":
      throw end.error;
    case "broker":
      throw endError(end.reason);
    default:
      return;
  }
}

function endError(reason: EndReason): TaskqueueError {
  switch (reason) {
    case "session_moved":
      return new TaskqueueError(
        "SESSION_MOVED",
        "the session is no longer this stream's: it was resumed elsewhere, or is over",
      );
    case "silent":
      return new TaskqueueError("SESSION_LOST", "the worker gave no sign of life for too long");
    case "session_lost":
      return new TaskqueueError("SESSION_LOST", "the session is over");
    case "draining":
      return new TaskqueueError("DRAINING", "this broker stops; resume the session on another one");
  }
}

async function readHello(
  iterator: AsyncIterator<LeaseRequest>,
  context: CallContext,
): Promise<WorkerHello | undefined> {
  const first = await iterator.next();
  // The stream ended before it began.
  if (first.done) return undefined;
  if (first.value.message?.$case !== "hello") {
    throw invalid("message", first.value.message?.$case ?? "nothing", "the first message must be a hello");
  }
  return helloInput(first.value.message.value, context.peer);
}

async function readUpdates(
  broker: Broker,
  session: WorkerSession,
  iterator: AsyncIterator<LeaseRequest>,
  stream: StreamEnd,
): Promise<void> {
  for (;;) {
    let next: IteratorResult<LeaseRequest>;
    try {
      next = await iterator.next();
    } catch (error) {
      return stream.end(error instanceof TaskqueueError ? { kind: "refused", error } : { kind: "lost" });
    }
    if (next.done) return stream.end({ kind: "lost" });
    try {
      if (hear(broker, session, next.value)) continue;
      await broker.workers.goodbye(session);
      return stream.end({ kind: "goodbye" });
    } catch (error) {
      return stream.end({ kind: "refused", error });
    }
  }
}

/** Does what a worker says. False when it says goodbye. */
function hear(broker: Broker, session: WorkerSession, { message }: LeaseRequest): boolean {
  switch (message?.$case) {
    case "update":
      session.update(updateInput(message.value, broker.options.taskBytesMax));
      return true;
    case "goodbye":
      return false;
    case "hello":
      throw invalid("message", "hello", "a hello may only be the first message");
    case undefined:
      // A kind of message that a newer SDK knows: a sign of life, and nothing else.
      session.heard();
      return true;
  }
}

function welcome(broker: Broker, session: WorkerSession): LeaseMessage {
  const { graceMs, sessionTimeoutMs, taskBytesMax, version, broker: name } = broker.options;
  return {
    kind: "welcome",
    welcome: {
      sessionId: session.ref.id,
      sessionSecret: session.record.secret,
      grace: toDuration(graceMs),
      sessionTimeout: toDuration(sessionTimeoutMs),
      broker: name,
      version,
      taskBytesMax,
    },
  };
}

// ── From the wire ────────────────────────────────────────────────────────────

function helloInput(hello: Hello, peer: string): WorkerHello {
  if (hello.worker === "") throw invalid("hello.worker", "", "must be 1 to 128 characters");
  const { topics, resume } = hello;
  if (topics.length < 1 || topics.length > LIMITS.topicsPerWorkerMax) {
    throw invalid("hello.topics", `${topics.length} topics`, `must hold 1 to ${LIMITS.topicsPerWorkerMax} topics`);
  }
  const subscriptions = topics.map(({ topic, concurrency, weight }, index) => {
    const path = `hello.topics[${index}]`;
    return {
      topic: topicName(`${path}.topic`, topic),
      concurrency: wholeNumber(`${path}.concurrency`, concurrency, 0, LIMITS.slotsMax),
      weight: wholeNumber(`${path}.weight`, weight, 0, LIMITS.weightMax) || 1,
    };
  });
  const twice = subscriptions.find(({ topic }, index) => subscriptions.findIndex((s) => s.topic === topic) !== index);
  if (twice) throw invalid("hello.topics", twice.topic, "must name each topic once");
  return {
    worker: plainText("hello.worker", hello.worker, LIMITS.workerNameMax),
    sdk: plainText("hello.sdk", hello.sdk, LIMITS.sdkNameMax),
    address: peer,
    subscriptions,
    slots: wholeNumber("hello.slots", hello.slots, 0, LIMITS.slotsMax),
    bytesMax: hello.bytesMax === 0 ? DEFAULTS.workerBytesMax : hello.bytesMax,
    resume: resume && {
      id: sessionId("hello.resume.session_id", resume.sessionId),
      secret: resume.sessionSecret,
      tokens: resume.leaseTokens,
    },
  };
}

function sessionId(field: string, text: string) {
  const id = parseSessionId(text);
  if (id === undefined) throw invalid(field, text, "must be a session id from a welcome");
  return id;
}

function updateInput(update: WireUpdate, resultBytesMax: number): WorkerUpdate {
  const { completed, failed, released, progress, renew } = update;
  const reports = completed.length + failed.length + released.length + progress.length + renew.length;
  if (reports > 0 && update.number === 0) throw invalid("update.number", 0, "must be set when anything is reported");
  return {
    number: update.number,
    received: update.received,
    slots: update.slots === undefined ? undefined : wholeNumber("update.slots", update.slots, 0, LIMITS.slotsMax),
    completed: completed.map(({ leaseToken, result }, index) =>
      result === undefined
        ? { token: leaseToken }
        : { token: leaseToken, result: resultInput(`update.completed[${index}].result`, result, resultBytesMax) },
    ),
    failed: failed.map(({ leaseToken, error, retryDelay, doNotRetry }, index) => ({
      token: leaseToken,
      error: cutText(error, LIMITS.errorBytesMax),
      retryDelayMs: retryDelay && fromDuration(`update.failed[${index}].retry_delay`, retryDelay, 0, LIMITS.delayMsMax),
      doNotRetry,
    })),
    released,
    progress: progress.map(({ leaseToken, progress: report }, index) => ({
      token: leaseToken,
      progress: progressInput(`update.progress[${index}].progress`, report?.fraction ?? 0, report?.message ?? ""),
    })),
    renew,
  };
}

function resultInput(field: string, result: unknown, bytesMax: number): Uint8Array {
  checkValue(field, result, 0);
  const bytes = Value.encode(Value.wrap(result)).finish();
  if (bytes.length > bytesMax)
    throw invalid(field, `${bytes.length} bytes`, `must take at most ${bytesMax} bytes encoded`);
  return bytes;
}

function progressInput(field: string, fraction: number, message: string) {
  if (!(fraction >= 0 && fraction <= 1)) throw invalid(`${field}.fraction`, fraction, "must be 0 to 1");
  return { fraction, message: cutText(message, LIMITS.progressMessageBytesMax) };
}
