/**
 * Requests of an EnqueueStream, as they are filled, and taken apart again when
 * a broker refuses one. A batch holds the tasks of callers who know nothing of
 * each other; the tasks of one call stay together whatever happens.
 */
import { monotonicMs } from "./clock.js";
import { TaskqueueError } from "./errors.js";
import { Writer } from "./wire.js";

/**
 * A batch is closed at this size; only a single larger call makes a larger one.
 * Several of them keep producer, broker, store and workers busy side by side,
 * where one large one would pass them one after the other.
 */
const BATCH_TASKS = 250;
const BATCH_BYTES = 1024 * 1024;

/** An accepted task. */
export interface Enqueued {
  readonly id: string;
  /** False when a task of this topic and id existed already: nothing was changed. */
  readonly created: boolean;
}

/** The tasks of one caller within a batch. They succeed or fail together. */
export interface Call {
  readonly topic: string;
  /** One id, or as many as there are tasks. */
  readonly ids: string | readonly string[];
  /** Which of the ids were made here: for these, `existing` can only mean an earlier sending of the same. */
  readonly own: boolean | readonly boolean[];
  /** Where its tasks are in the batch's bytes. */
  start: number;
  end: number;
  /** Set when `ids` is one id. */
  readonly resolveOne: ((enqueued: Enqueued) => void) | undefined;
  readonly resolveMany: ((enqueued: Enqueued[]) => void) | undefined;
  readonly reject: (error: TaskqueueError) => void;
}

export interface Batch {
  readonly bytes: Buffer;
  readonly calls: readonly Call[];
  readonly tasks: number;
  /** When its first task was enqueued, on the monotonic clock. */
  readonly sinceMs: number;
  /** When it was last sent. */
  sentAtMs: number;
  /** How often it was refused. */
  failures: number;
  lastError: TaskqueueError | undefined;
}

/** The batch that is being filled. */
export class OpenBatch {
  /** Where tasks are written, before `append` makes a call of them. */
  readonly writer = new Writer();
  #calls: Call[] = [];
  #tasks = 0;
  #sinceMs = 0;

  /**
   * Adds a call whose tasks were just written from `call.start` on. When they
   * do not fit with what is there already, that is returned as a batch of its
   * own, and the call begins the next one.
   */
  append(call: Call): Batch | undefined {
    const tasks = tasksOf(call);
    let full: Batch | undefined;
    if (call.start > 0 && (this.writer.length > BATCH_BYTES || this.#tasks + tasks > BATCH_TASKS)) {
      full = this.#close(this.#calls.length, call.start);
      call.start = 0;
    }
    call.end = this.writer.length;
    if (this.#calls.length === 0) this.#sinceMs = monotonicMs();
    this.#calls.push(call);
    this.#tasks += tasks;
    return full;
  }

  /** How many tasks have gathered. */
  get tasks(): number {
    return this.#tasks;
  }

  /** What has gathered, or its first calls, of up to `tasksMax` tasks and at least one; undefined when that is nothing. */
  close(tasksMax: number): Batch | undefined {
    let tasks = 0;
    const first = this.#calls.findIndex((call, index) => {
      tasks += tasksOf(call);
      return tasks > tasksMax && index > 0;
    });
    const count = first < 0 ? this.#calls.length : first;
    return count === 0 ? undefined : this.#close(count, this.#calls[count]?.start ?? this.writer.length);
  }

  /** Closes the first calls, whose tasks end at `end`. */
  #close(count: number, end: number): Batch {
    const calls = this.#calls;
    this.#calls = calls.splice(count);
    for (const call of this.#calls) {
      call.start -= end;
      call.end -= end;
    }
    const tasks = calls.reduce((sum, call) => sum + tasksOf(call), 0);
    this.#tasks -= tasks;
    return {
      bytes: this.writer.takeUpTo(end),
      calls,
      tasks,
      sinceMs: this.#sinceMs,
      sentAtMs: 0,
      failures: 0,
      lastError: undefined,
    };
  }
}

/** Tells every caller what became of its tasks, `existing` being the positions of those that were known. */
export function resolveBatch(batch: Batch, existing: readonly number[]): void {
  const known = existing.length === 0 ? undefined : new Set(existing);
  let position = 0;
  for (const call of batch.calls) {
    const { ids, own } = call;
    const first = position;
    position += tasksOf(call);
    if (typeof ids === "string") {
      call.resolveOne?.({ id: ids, created: known === undefined || own === true || !known.has(first) });
      continue;
    }
    const isOwn = (i: number) => typeof own !== "boolean" && own[i] === true;
    call.resolveMany?.(ids.map((id, i) => ({ id, created: !known?.has(first + i) || isOwn(i) })));
  }
}

/** What to do with a batch that was refused. */
export interface Verdict {
  /** To be rejected, each with its error. */
  readonly rejected: readonly { readonly batch: Batch; readonly error: TaskqueueError }[];
  /** To be sent again at once. */
  readonly again: readonly Batch[];
  /** To be sent again after a while. */
  readonly later: Batch | undefined;
}

/**
 * What may pass later is sent again after a while, apart by topic, so that one
 * that is full does not hold up the others. Else the call at fault is found and
 * rejected, and the others are sent again without it.
 */
export function judge(batch: Batch, error: TaskqueueError): Verdict {
  if (error.retryable) {
    const topics = byTopic(batch.calls);
    if (topics.size === 1 || error.code !== "TOPIC_FULL") return { rejected: [], again: [], later: batch };
    return { rejected: [], again: [...topics.values()].map((calls) => subBatch(batch, calls)), later: undefined };
  }
  const culprit = callAt(batch, error.field);
  if (culprit !== undefined) {
    const others = batch.calls.filter((call) => call !== culprit.call);
    return {
      rejected: [{ batch: subBatch(batch, [culprit.call]), error: inTermsOf(culprit.call, culprit.from, error) }],
      again: others.length === 0 ? [] : [subBatch(batch, others)],
      later: undefined,
    };
  }
  const concernsOneTask = error.code === "INVALID_ARGUMENT" || error.code === "TASK_TOO_LARGE";
  if (!concernsOneTask || batch.calls.length === 1)
    return { rejected: [{ batch, error }], again: [], later: undefined };
  // The broker did not say which: halve until the fault is alone.
  const middle = batch.calls.length >> 1;
  const halves = [batch.calls.slice(0, middle), batch.calls.slice(middle)];
  return { rejected: [], again: halves.map((calls) => subBatch(batch, calls)), later: undefined };
}

function byTopic(calls: readonly Call[]): Map<string, Call[]> {
  const topics = new Map<string, Call[]>();
  for (const call of calls) {
    const group = topics.get(call.topic);
    if (group) group.push(call);
    else topics.set(call.topic, [call]);
  }
  return topics;
}

function tasksOf(call: Call): number {
  return typeof call.ids === "string" ? 1 : call.ids.length;
}

function subBatch(batch: Batch, calls: readonly Call[]): Batch {
  const bytes = Buffer.concat(calls.map((call) => batch.bytes.subarray(call.start, call.end)));
  let at = 0;
  const moved = calls.map((call) => {
    const start = at;
    at += call.end - call.start;
    return { ...call, start, end: at };
  });
  return { ...batch, bytes, calls: moved, tasks: calls.reduce((sum, call) => sum + tasksOf(call), 0) };
}

/** The call whose task a field such as `tasks[3].priority` names, and the position of its first task. */
function callAt(batch: Batch, field: string | undefined): { call: Call; from: number } | undefined {
  const index = /^tasks\[(\d+)\]/.exec(field ?? "")?.[1];
  if (index === undefined) return undefined;
  let from = 0;
  for (const call of batch.calls) {
    const next = from + tasksOf(call);
    if (Number(index) < next) return { call, from };
    from = next;
  }
  return undefined;
}

/** The error in terms of the caller's own tasks: `priority`, or `items[1].priority`. */
function inTermsOf(call: Call, from: number, error: TaskqueueError): TaskqueueError {
  const rename = (text: string) =>
    text.replace(/tasks\[(\d+)\](\.?)/g, (_, index: string, dot: string) =>
      typeof call.ids === "string" ? "" : `items[${Number(index) - from}]${dot}`,
    );
  return new TaskqueueError(error.code, rename(error.message), {
    field: error.field === undefined ? undefined : rename(error.field) || undefined,
    status: error.status,
    cause: error,
  });
}
