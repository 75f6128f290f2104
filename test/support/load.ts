/**
 * A small, steady load: a producer that insists on every task, and a worker that
 * counts how often it ran each. For tests that hurt what is between the two and
 * then ask: was anything lost, or run again although nobody had let go of it?
 */
import { Client, defineTopic, TaskqueueError, Worker } from "@taskqueue/sdk";
import { pause, systemClock } from "../../server/lib/clock.js";
import { until } from "./until.js";

const SHORT = defineTopic<[ms: number]>("short");
const LONG = defineTopic<[ms: number]>("long");

export class Load {
  readonly client: Client;
  /** Ids that a broker accepted. */
  readonly accepted = new Set<string>();
  /** How often the processor of each task was called. */
  readonly runs = new Map<string, number>();
  /** Tasks whose processor came to its end. */
  readonly finished = new Set<string>();
  /** Attempts whose signal fired. */
  readonly aborted: string[] = [];
  /** Codes of refused enqueues, and the longest that one took. */
  readonly refusals = new Map<string, number>();
  slowestRefusalMs = 0;
  readonly #worker: Worker;
  readonly #stop = new AbortController();
  #producing: Promise<void> = Promise.resolve();
  #made = 0;

  private constructor(address: readonly string[]) {
    this.client = new Client({ address, retryForMs: 0, connectTimeoutMs: 1_000 });
    this.#worker = new Worker({ address, concurrency: 20, connectTimeoutMs: 1_000 });
    this.#worker.register(SHORT, ([ms], task) => this.#run(task.id, ms, task.signal));
    this.#worker.register(LONG, ([ms], task) => this.#run(task.id, ms, task.signal));
  }

  /** `longTasks` run for `longMs` each, from the beginning. */
  static async start(
    address: readonly string[],
    { longTasks = 4, longMs = 8_000 }: { longTasks?: number; longMs?: number } = {},
  ): Promise<Load> {
    const load = new Load(address);
    await load.#worker.start();
    for (let index = 0; index < longTasks; index += 1) await load.#enqueue(LONG, `long-${index}`, longMs);
    await until("the long tasks run", () => load.runs.size === longTasks);
    load.#producing = load.#produce();
    return load;
  }

  async #run(id: string, ms: number, signal: AbortSignal): Promise<void> {
    this.runs.set(id, (this.runs.get(id) ?? 0) + 1);
    await pause(systemClock, ms, signal);
    if (signal.aborted) this.aborted.push(id);
    else this.finished.add(id);
  }

  async #produce(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const batch = Array.from({ length: 10 }, () => `short-${this.#made++}`);
      await Promise.all(batch.map((id, index) => this.#enqueue(SHORT, id, index * 4)));
      await pause(systemClock, 20, this.#stop.signal);
    }
  }

  /** Until it is accepted: a refused one is sent again, under the same id. */
  async #enqueue(topic: typeof SHORT, id: string, ms: number): Promise<void> {
    for (;;) {
      const startedAt = systemClock.monotonic();
      try {
        await this.client.enqueue(topic, [ms], { id });
        this.accepted.add(id);
        return;
      } catch (error) {
        if (!(error instanceof TaskqueueError) || !error.retryable) throw error;
        this.refusals.set(error.code, (this.refusals.get(error.code) ?? 0) + 1);
        this.slowestRefusalMs = Math.max(this.slowestRefusalMs, systemClock.monotonic() - startedAt);
        await pause(systemClock, 100);
      }
    }
  }

  /** Resolves when work goes on: `count` more tasks came to their end. */
  async progresses(count = 50, timeoutMs = 10_000): Promise<void> {
    const before = this.finished.size;
    await until(`${count} more tasks are done`, () => this.finished.size >= before + count, { timeoutMs });
  }

  /** Stops producing, and resolves when every task that was accepted has been done. */
  async finish(timeoutMs = 20_000): Promise<void> {
    this.#stop.abort();
    await this.#producing;
    await until("every accepted task is done", () => [...this.accepted].every((id) => this.finished.has(id)), {
      timeoutMs,
    });
  }

  /** Tasks that ran more than once, with how often. */
  get repeated(): [id: string, runs: number][] {
    return [...this.runs].filter(([, runs]) => runs > 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#worker.close();
    await this.client.close();
    await this.#producing.catch(() => undefined);
  }
}
