/**
 * From a Task on the wire to a task for the store: checks every field, and
 * encodes what the broker only passes on.
 */
import { Task, type Backoff as WireBackoff } from "@taskqueue/sdk/gen/taskqueue/v1/task.js";
import { invalid, TaskqueueError } from "../domain/errors.js";
import type { TopicName } from "../domain/ids.js";
import { DEFAULTS, LIMITS } from "../domain/limits.js";
import type { Backoff } from "../domain/retry.js";
import type { NewTask } from "../store/store.js";
import { newTaskId, plainText, taskId, topicName, wholeNumber } from "./parse.js";
import { fromDuration, fromTimeout } from "./time.js";

const INT32_MIN = -(2 ** 31);
const INT32_MAX = 2 ** 31 - 1;
const METADATA_KEY = /^[a-z0-9_.-]{1,128}$/;

export interface TaskInput extends NewTask {
  readonly topic: TopicName;
}

export interface TaskInputOptions {
  /** Milliseconds on the store's clock. */
  readonly now: number;
  readonly taskBytesMax: number;
}

/** Checks a decoded task; throws on the first fault, naming it by its path. */
export function taskInput(path: string, task: Task, { now, taskBytesMax }: TaskInputOptions): TaskInput {
  const topic = topicName(`${path}.topic`, task.topic);
  const id = task.id === "" ? newTaskId(now) : taskId(`${path}.id`, task.id);
  checkInput(path, task);
  checkMetadata(`${path}.metadata`, task.metadata);
  const dueAtMs = dueAt(path, task, now);
  const spec = Task.encode({ ...task, topic: "", id: "" }).finish();
  if (spec.length > taskBytesMax) {
    throw new TaskqueueError(
      "TASK_TOO_LARGE",
      `${path}: the task takes ${spec.length} bytes encoded, and at most ${taskBytesMax} are accepted`,
      { field: path },
    );
  }
  return {
    topic,
    id,
    spec,
    dueAtMs,
    head: {
      enqueuedAtMs: now,
      priority: wholeNumber(`${path}.priority`, task.priority, INT32_MIN, INT32_MAX),
      externalId: plainText(`${path}.external_id`, task.externalId, LIMITS.externalIdBytesMax),
      retentionMs: task.retention ? fromDuration(`${path}.retention`, task.retention, 0, LIMITS.retentionMsMax) : 0,
      ...(task.numRetries === undefined
        ? {}
        : { numRetries: wholeNumber(`${path}.num_retries`, task.numRetries, 0, LIMITS.numRetriesMax) }),
      ...(task.timeout === undefined ? {} : { timeoutMs: fromTimeout(`${path}.timeout`, task.timeout) }),
      ...(task.backoff === undefined ? {} : { backoff: backoffInput(`${path}.backoff`, task.backoff) }),
    },
  };
}

function checkInput(path: string, task: Task): void {
  if (task.args !== undefined && task.payload.length > 0) {
    throw invalid(`${path}.payload`, `${task.payload.length} bytes`, "must be empty when args are given");
  }
  if (task.contentType !== "") {
    if (task.payload.length === 0) throw invalid(`${path}.content_type`, task.contentType, "needs a payload");
    plainText(`${path}.content_type`, task.contentType, LIMITS.contentTypeBytesMax);
  }
  if (task.args !== undefined) checkList(`${path}.args`, task.args, 1);
}

function checkList(path: string, list: readonly unknown[], depth: number): void {
  if (depth > LIMITS.argsDepthMax) {
    throw invalid(path, `depth ${depth}`, `must not nest deeper than ${LIMITS.argsDepthMax}`);
  }
  for (const [index, value] of list.entries()) checkValue(`${path}[${index}]`, value, depth);
}

/** JSON has no NaN and no infinities, and a Value without a kind is no value at all. */
export function checkValue(path: string, value: unknown, depth: number): void {
  if (value === undefined) {
    throw invalid(path, "no value", "must be null, a number, a string, a bool, a list or an object");
  }
  if (typeof value === "number" && !Number.isFinite(value)) throw invalid(path, value, "must be a finite number");
  if (Array.isArray(value)) {
    checkList(path, value, depth + 1);
  } else if (typeof value === "object" && value !== null) {
    if (depth >= LIMITS.argsDepthMax) {
      throw invalid(path, `depth ${depth + 1}`, `must not nest deeper than ${LIMITS.argsDepthMax}`);
    }
    for (const [key, inner] of Object.entries(value)) checkValue(`${path}.${key}`, inner, depth + 1);
  }
}

function checkMetadata(path: string, metadata: Readonly<Record<string, string>>): void {
  const entries = Object.entries(metadata);
  if (entries.length > LIMITS.metadataEntriesMax) {
    throw invalid(path, `${entries.length} entries`, `must hold at most ${LIMITS.metadataEntriesMax} entries`);
  }
  for (const [key, value] of entries) {
    if (!METADATA_KEY.test(key)) throw invalid(path, key, "keys must be 1 to 128 characters a-z 0-9 _ . -");
    if (Buffer.byteLength(value) > LIMITS.metadataValueBytesMax) {
      throw invalid(`${path}.${key}`, value, `must be at most ${LIMITS.metadataValueBytesMax} bytes`);
    }
  }
}

function dueAt(path: string, task: Task, now: number): number {
  if (task.runAt === undefined) {
    return task.delay === undefined ? now : now + fromDuration(`${path}.delay`, task.delay, 0, LIMITS.delayMsMax);
  }
  if (task.delay !== undefined) throw invalid(`${path}.delay`, "both", "must be unset when run_at is given");
  const runAtMs = task.runAt.getTime();
  if (!(runAtMs >= 0 && runAtMs <= now + LIMITS.delayMsMax)) {
    const text = Number.isNaN(runAtMs) ? "an invalid time" : task.runAt.toISOString();
    throw invalid(`${path}.run_at`, text, "must be from 1970 to 10 years ahead");
  }
  return runAtMs;
}

/** Of a task or of a topic's settings. */
export function backoffInput(path: string, backoff: WireBackoff): Backoff {
  const { initial, factor, max, jitter = DEFAULTS.backoff.jitter } = backoff;
  if (factor !== 0 && !(factor >= 1 && factor <= LIMITS.backoffFactorMax)) {
    throw invalid(`${path}.factor`, factor, `must be 1 to ${LIMITS.backoffFactorMax}`);
  }
  if (!(jitter >= 0 && jitter <= 1)) throw invalid(`${path}.jitter`, jitter, "must be 0 to 1");
  return {
    initialMs: initial ? fromDuration(`${path}.initial`, initial, 0, LIMITS.backoffMsMax) : DEFAULTS.backoff.initialMs,
    factor: factor === 0 ? DEFAULTS.backoff.factor : factor,
    maxMs: max ? fromDuration(`${path}.max`, max, 0, LIMITS.backoffMsMax) : DEFAULTS.backoff.maxMs,
    jitter,
  };
}
