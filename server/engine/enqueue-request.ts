/**
 * What a producer enqueues in one go, by topic: told as one when the last topic's
 * part is told. A request may be of as many topics as tasks, and so costs one
 * promise, not one for each.
 */
import type { TopicName } from "../domain/ids.js";
import type { NewTask } from "../store/store.js";
import type { EnqueueReceipt } from "./lane.js";

type TopicTask = NewTask & { readonly topic: TopicName };

export class EnqueueRequest {
  /** Each to be given to its topic's lane. */
  readonly parts: readonly EnqueuePart[];
  readonly #created: boolean[];
  readonly #resolve: (created: readonly boolean[]) => void;
  readonly #reject: (error: unknown) => void;
  #pending: number;
  #refusal: { readonly error: unknown } | undefined;

  /** `resolve` is told whether each task is new, in their order; `reject` the first refusal. */
  constructor(
    tasks: readonly TopicTask[],
    resolve: (created: readonly boolean[]) => void,
    reject: (error: unknown) => void,
  ) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#created = new Array<boolean>(tasks.length).fill(false);
    const parts = new Map<TopicName, EnqueuePart>();
    let part: EnqueuePart | undefined;
    let index = 0;
    for (const task of tasks) {
      // Tasks of one topic come together, more often than not.
      if (part?.topic !== task.topic) part = parts.get(task.topic);
      if (part === undefined) {
        part = new EnqueuePart(this, task, index);
        parts.set(task.topic, part);
      } else {
        part.tasks.push(task);
        part.indexes.push(index);
      }
      index++;
    }
    this.parts = [...parts.values()];
    this.#pending = this.parts.length;
  }

  stored({ indexes }: EnqueuePart, created: readonly boolean[]): void {
    for (let i = 0; i < indexes.length; i++) this.#created[indexes[i] ?? 0] = created[i] ?? false;
    this.#settle();
  }

  refused(error: unknown): void {
    this.#refusal ??= { error };
    this.#settle();
  }

  #settle(): void {
    this.#pending--;
    if (this.#pending > 0) return;
    if (this.#refusal === undefined) this.#resolve(this.#created);
    else this.#reject(this.#refusal.error);
  }
}

/** The tasks of one topic, and where they are in the request. */
class EnqueuePart implements EnqueueReceipt {
  readonly topic: TopicName;
  readonly tasks: TopicTask[];
  readonly indexes: number[];
  readonly #request: EnqueueRequest;

  constructor(request: EnqueueRequest, first: TopicTask, index: number) {
    this.#request = request;
    this.topic = first.topic;
    // What is pushed to an empty list makes room for seventeen, and most parts are of one task.
    this.tasks = [first];
    this.indexes = [index];
  }

  stored(created: readonly boolean[]): void {
    this.#request.stored(this, created);
  }

  refused(error: unknown): void {
    this.#request.refused(error);
  }
}
