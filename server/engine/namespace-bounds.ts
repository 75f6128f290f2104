/**
 * Keeps the namespace within the tasks and bytes that the broker was told it
 * may hold. What it holds is asked about once a second, and what this broker
 * accepted since is added: so the bounds are exceeded by no more than what all
 * brokers accept within a second, about. Bounds of a topic are exact; those
 * are the store's.
 */
import { TaskqueueError } from "../domain/errors.js";
import { encodeHead } from "../store/record.js";
import type { NewTask } from "../store/store.js";
import type { EngineContext } from "./context.js";
import type { StatsReader } from "./stats-reader.js";

const SAMPLE_MS = 1_000;
/** A namespace of many topics is asked about less often: no more than this part of the time. */
const SAMPLING_SHARE = 0.05;

interface Amount {
  readonly tasks: number;
  readonly bytes: number;
}

const NOTHING: Amount = { tasks: 0, bytes: 0 };

export class NamespaceBounds {
  readonly #context: EngineContext;
  readonly #stats: StatsReader;
  /** As the store told it last. */
  #held = NOTHING;
  /** Accepted by this broker since the store was asked. */
  #accepted = NOTHING;

  constructor(context: EngineContext, stats: StatsReader) {
    this.#context = context;
    this.#stats = stats;
  }

  get isOn(): boolean {
    const { tasksMax, bytesMax } = this.#context.options;
    return tasksMax > 0 || bytesMax > 0;
  }

  /** Asks the store. Returns the milliseconds after which to ask again. */
  async tick(): Promise<number | undefined> {
    if (!this.isOn) return undefined;
    const { clock } = this.#context;
    const before = this.#accepted;
    const startedAt = clock.monotonic();
    const { scheduled, ready, leased, dead, completedKept, cancelledKept, bytes } = await this.#stats.total();
    this.#held = { tasks: scheduled + ready + leased + dead + completedKept + cancelledKept, bytes };
    // What was accepted while the store was asked may be counted twice for a second, but never not at all.
    this.#accepted = minus(this.#accepted, before);
    return Math.max(SAMPLE_MS, (clock.monotonic() - startedAt) / SAMPLING_SHARE);
  }

  /** Takes note of tasks that are about to be stored. Throws NAMESPACE_FULL when they are too many. */
  admit(tasks: readonly NewTask[]): void {
    if (!this.isOn) return;
    const { tasksMax, bytesMax } = this.#context.options;
    const more = { tasks: tasks.length, bytes: bytesMax > 0 ? bytesOf(tasks) : 0 };
    const held = plus(this.#held, this.#accepted);
    const after = plus(held, more);
    if ((tasksMax > 0 && after.tasks > tasksMax) || (bytesMax > 0 && after.bytes > bytesMax)) {
      const bounds = [...(tasksMax > 0 ? [`${tasksMax} tasks`] : []), ...(bytesMax > 0 ? [`${bytesMax} bytes`] : [])];
      throw new TaskqueueError(
        "NAMESPACE_FULL",
        `the namespace holds about ${held.tasks} tasks of ${held.bytes} bytes, and may hold ${bounds.join(" and ")}`,
        { retryDelayMs: SAMPLE_MS },
      );
    }
    this.#accepted = plus(this.#accepted, more);
  }
}

function bytesOf(tasks: readonly NewTask[]): number {
  return tasks.reduce((sum, { head, spec }) => sum + Buffer.byteLength(encodeHead(head)) + spec.length, 0);
}

function plus(a: Amount, b: Amount): Amount {
  return { tasks: a.tasks + b.tasks, bytes: a.bytes + b.bytes };
}

function minus(a: Amount, b: Amount): Amount {
  return { tasks: a.tasks - b.tasks, bytes: a.bytes - b.bytes };
}
