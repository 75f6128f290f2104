/**
 * What a producer enqueues in one go: told as one when the last task is told. A
 * request may be of as many topics as tasks, and so costs one promise, not one
 * for each.
 */
import assert from "node:assert";
import type { TopicName } from "../domain/ids.js";
import type { TopicTask } from "../store/store.js";
import type { EnqueueReceipt } from "./lane.js";

export class EnqueueRequest {
  readonly tasks: readonly TopicTask[];
  readonly #created: boolean[];
  readonly #resolve: (created: readonly boolean[]) => void;
  readonly #reject: (error: unknown) => void;
  /** Tasks that were not told yet. */
  #pending: number;
  #refusal: { readonly error: unknown } | undefined;

  /** `resolve` is told whether each task is new, in their order; `reject` the first refusal. */
  constructor(
    tasks: readonly TopicTask[],
    resolve: (created: readonly boolean[]) => void,
    reject: (error: unknown) => void,
  ) {
    this.tasks = tasks;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#created = new Array<boolean>(tasks.length).fill(false);
    this.#pending = tasks.length;
  }

  /** One of the tasks, for its topic's lane; others of the topic that come next may be added. */
  part(index: number): EnqueuePart {
    return new EnqueuePart(this, index);
  }

  /** A task is kept. */
  stored(index: number, created: boolean): void {
    this.#created[index] = created;
    this.#settle(1);
  }

  /** So many tasks are not. */
  refused(count: number, error: unknown): void {
    this.#refusal ??= { error };
    this.#settle(count);
  }

  #settle(count: number): void {
    this.#pending -= count;
    if (this.#pending > 0) return;
    if (this.#refusal === undefined) this.#resolve(this.#created);
    else this.#reject(this.#refusal.error);
  }
}

/** Tasks of one topic, and where they are in the request. */
export class EnqueuePart implements EnqueueReceipt {
  readonly topic: TopicName;
  readonly tasks: TopicTask[];
  readonly #indexes: number[];
  readonly #request: EnqueueRequest;

  constructor(request: EnqueueRequest, index: number) {
    const task = taskAt(request, index);
    this.#request = request;
    this.topic = task.topic;
    // What is pushed to an empty list makes room for seventeen, and most parts are of one task.
    this.tasks = [task];
    this.#indexes = [index];
  }

  isOf(request: EnqueueRequest, topic: TopicName): boolean {
    return this.#request === request && this.topic === topic;
  }

  add(index: number): void {
    this.tasks.push(taskAt(this.#request, index));
    this.#indexes.push(index);
  }

  stored(created: readonly boolean[]): void {
    for (let i = 0; i < this.#indexes.length; i++) this.#request.stored(this.#indexes[i] ?? 0, created[i] ?? false);
  }

  refused(error: unknown): void {
    this.#request.refused(this.tasks.length, error);
  }
}

function taskAt({ tasks }: EnqueueRequest, index: number): TopicTask {
  const task = tasks[index];
  assert(task !== undefined, "the request has no such task");
  return task;
}
