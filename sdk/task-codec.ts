/**
 * A task as bytes, on the producer's side: checks every field by the rules of
 * task.proto and writes it, in one pass. The broker checks again; that it
 * practically never has to refuse is what lets many callers share a request.
 */
import { writeArgs } from "./args.js";
import { wallMs } from "./clock.js";
import { TaskqueueError } from "./errors.js";
import { hasControlCharacter, isMetadataKey, isTaskId, LIMITS, TASK_ID_RULE } from "./limits.js";
import {
  type BackoffOptions,
  type EnqueueOptions,
  integer,
  invalid,
  refuseUnknown,
  type TaskDefaults,
} from "./options.js";
import type { AnyTopic } from "./topic.js";
import { type Writer, writeMillis } from "./wire.js";

/** Field 1 of EnqueueRequest and of EnqueueStreamRequest. */
const TASKS = 1;

const DEFAULTS = ["numRetries", "priority", "timeoutMs", "backoff", "retentionMs", "metadata"] as const;
const OPTIONS = new Set<string>([...DEFAULTS, "id", "externalId", "runAt", "delayMs"]);
const DEFAULT_OPTIONS = new Set<string>(DEFAULTS);
const BACKOFF_OPTIONS = new Set(["initialMs", "factor", "maxMs", "jitter"]);

/**
 * Appends a task to the request in `writer`. When it throws, the writer is as it
 * was before.
 *
 * @throws TaskqueueError INVALID_ARGUMENT with `field`, or TASK_TOO_LARGE
 */
export function writeTask(
  writer: Writer,
  topic: AnyTopic,
  id: string,
  input: unknown,
  options: EnqueueOptions | undefined,
  taskBytesMax: number,
): void {
  const payload = topic.codec?.encode(input);
  const before = writer.length;
  try {
    const start = writer.begin(TASKS);
    writer.string(1, topic.name);
    writer.string(2, id);
    if (topic.codec === undefined) writeArgs(writer, 3, input);
    else writePayload(writer, payload, topic.codec.contentType);
    if (options !== undefined) {
      refuseUnknown("enqueue", options, OPTIONS);
      writeOwnOptions(writer, options);
    }
    writeShared(writer, options, topic.defaults);
    const size = writer.length - start;
    if (size > taskBytesMax) {
      throw new TaskqueueError(
        "TASK_TOO_LARGE",
        `the task takes ${size} bytes, and ${taskBytesMax} is the most; pass a reference to the data instead`,
        { field: topic.codec ? "payload" : "args" },
      );
    }
    writer.end(start);
  } catch (error) {
    writer.truncate(before);
    throw error;
  }
}

/** Refuses ids that break the rule. Ids made by the SDK need not pass here. */
export function checkTaskId(id: string): string {
  if (typeof id !== "string" || !isTaskId(id)) throw invalid("id", id, TASK_ID_RULE);
  return id;
}

/** Refuses a topic's defaults that no task could be enqueued with. */
export function checkDefaults(writer: Writer, defaults: TaskDefaults): void {
  refuseUnknown("defineTopic", defaults, DEFAULT_OPTIONS);
  const before = writer.length;
  try {
    writeShared(writer, undefined, defaults);
  } finally {
    writer.truncate(before);
  }
}

function writePayload(writer: Writer, payload: unknown, contentType: string): void {
  if (!(payload instanceof Uint8Array)) throw invalid("payload", payload, "the codec must return a Uint8Array");
  // An empty payload is no payload on the wire, and then there must be no content type.
  if (payload.length === 0) return;
  writer.bytes(4, payload);
  if (Buffer.byteLength(contentType) > LIMITS.contentTypeBytesMax) {
    throw invalid("contentType", contentType, `must be at most ${LIMITS.contentTypeBytesMax} bytes`);
  }
  if (contentType !== "") writer.string(5, contentType);
}

function writeOwnOptions(writer: Writer, options: EnqueueOptions): void {
  const { externalId, runAt, delayMs } = options;
  if (externalId !== undefined && externalId !== "") {
    if (Buffer.byteLength(externalId) > LIMITS.externalIdBytesMax || hasControlCharacter(externalId)) {
      throw invalid(
        "externalId",
        externalId,
        `must be at most ${LIMITS.externalIdBytesMax} bytes, no control characters`,
      );
    }
    writer.string(6, externalId);
  }
  if (runAt !== undefined) {
    if (delayMs !== undefined) throw invalid("delayMs", delayMs, "must not be given together with runAt");
    const ms = runAt instanceof Date ? runAt.getTime() : Number.NaN;
    // A day's grace, because the broker judges by its own clock.
    if (!(ms >= 0 && ms <= wallMs() + LIMITS.delayMsMax + 86_400_000)) {
      throw invalid("runAt", runAt, "must be a Date from 1970 on and at most 10 years ahead");
    }
    writeMillis(writer, 9, ms);
  }
  if (delayMs !== undefined) writeMillis(writer, 10, millis("delayMs", delayMs, 0, LIMITS.delayMsMax));
}

function writeShared(writer: Writer, options: TaskDefaults | undefined, defaults: TaskDefaults): void {
  const numRetries = options?.numRetries ?? defaults.numRetries;
  const priority = options?.priority ?? defaults.priority;
  const timeoutMs = options?.timeoutMs ?? defaults.timeoutMs;
  const backoff = options?.backoff ?? defaults.backoff;
  const retentionMs = options?.retentionMs ?? defaults.retentionMs;
  if (numRetries !== undefined) writer.uint(7, integer("numRetries", numRetries, 0, 0, LIMITS.numRetriesMax));
  if (priority !== undefined && priority !== 0)
    writer.int(8, integer("priority", priority, 0, -(2 ** 31), 2 ** 31 - 1));
  if (timeoutMs !== undefined) writeMillis(writer, 11, millis("timeoutMs", timeoutMs, 0, LIMITS.timeoutMsMax));
  if (options?.metadata !== undefined || defaults.metadata !== undefined) {
    writeMetadata(writer, { ...defaults.metadata, ...options?.metadata });
  }
  if (backoff !== undefined) writeBackoff(writer, backoff);
  if (retentionMs !== undefined && retentionMs !== 0) {
    writeMillis(writer, 14, millis("retentionMs", retentionMs, 0, LIMITS.retentionMsMax));
  }
}

function writeMetadata(writer: Writer, metadata: Readonly<Record<string, string>>): void {
  const entries = Object.entries(metadata);
  if (entries.length > LIMITS.metadataEntriesMax) {
    throw invalid("metadata", entries.length, `must have at most ${LIMITS.metadataEntriesMax} entries`);
  }
  for (const [key, value] of entries) {
    if (!isMetadataKey(key)) throw invalid("metadata", key, "keys must be 1 to 128 characters a-z 0-9 _ . -");
    if (typeof value !== "string" || Buffer.byteLength(value) > LIMITS.metadataValueBytesMax) {
      throw invalid(`metadata.${key}`, value, `must be a string of at most ${LIMITS.metadataValueBytesMax} bytes`);
    }
    const start = writer.begin(12);
    writer.string(1, key);
    writer.string(2, value);
    writer.end(start);
  }
}

function writeBackoff(writer: Writer, backoff: BackoffOptions): void {
  refuseUnknown("backoff", backoff, BACKOFF_OPTIONS);
  const { initialMs, factor, maxMs, jitter } = backoff;
  const start = writer.begin(13);
  if (initialMs !== undefined) writeMillis(writer, 1, millis("backoff.initialMs", initialMs, 0, LIMITS.backoffMsMax));
  if (factor !== undefined) writer.double(2, inRange("backoff.factor", factor, 1, LIMITS.backoffFactorMax));
  if (maxMs !== undefined) writeMillis(writer, 3, millis("backoff.maxMs", maxMs, 0, LIMITS.backoffMsMax));
  if (jitter !== undefined) writer.double(4, inRange("backoff.jitter", jitter, 0, 1));
  writer.end(start);
}

/** Whole milliseconds; a fraction is rounded up. */
function millis(field: string, value: number, min: number, max: number): number {
  const rounded = Math.ceil(value);
  if (!(rounded >= min && rounded <= max)) throw invalid(field, value, `must be milliseconds from ${min} to ${max}`);
  return rounded;
}

function inRange(field: string, value: number, min: number, max: number): number {
  if (!(value >= min && value <= max)) throw invalid(field, value, `must be a number from ${min} to ${max}`);
  return value;
}
