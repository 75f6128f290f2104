/** One producer: random pauses, random topics, numbered tasks. */
import { defineTopic, type Topic } from "@taskqueue/sdk";
import { type Clock, pause } from "../../lib/clock.js";
import type { BrokerClient } from "../context.js";
import { seeded } from "./fate.js";
import type { TaskNumber } from "./ledger.js";
import { type Plan, taskIdOf } from "./plan.js";

/** Enqueues on their way at once. */
const PENDING_MAX = 2_000;

export type SimulatedArgs = [producer: number, number: number];

/**
 * Enqueues until `signal` aborts or `count` tasks are accepted, and until all
 * answers are in. Rejects with the first enqueue that fails.
 */
export async function produce(
  plan: Plan,
  producer: number,
  given: {
    readonly client: Pick<BrokerClient, "enqueue">;
    readonly clock: Clock;
    readonly signal: AbortSignal;
    readonly count: number;
    readonly accepted: (task: TaskNumber) => void;
  },
): Promise<void> {
  const { client, clock, signal, count, accepted } = given;
  const topics = plan.topics.map((name) => defineTopic<SimulatedArgs>(name));
  const options = {
    externalId: plan.run,
    numRetries: plan.numRetries,
    ...(plan.timeoutMs > 0 ? { timeoutMs: plan.timeoutMs } : {}),
  };
  const random = seeded(plan.seed, "producer", producer);
  const pending = new Pending(PENDING_MAX);
  const enqueue = async (topic: Topic<SimulatedArgs>, number: number) => {
    await client.enqueue(topic, [producer, number], { ...options, id: taskIdOf(plan.run, producer, number) });
    accepted({ producer, number });
  };
  let number = 0;
  while (!signal.aborted && number < count) {
    if (plan.fillTimeMs > 0) {
      await pause(clock, random() * plan.fillTimeMs, signal);
      if (signal.aborted) break;
    }
    const topic = topics[Math.floor(random() * topics.length)];
    for (let i = 0; topic !== undefined && i < plan.burst && number < count; i += 1) {
      number += 1;
      await pending.add(enqueue(topic, number));
    }
  }
  await pending.all();
}

/** Promises under way, bounded in number. The first rejection is kept, and thrown by whatever is called next. */
class Pending {
  readonly #max: number;
  #size = 0;
  #error: { readonly cause: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(max: number) {
    this.#max = max;
  }

  /** Resolves when there is room for another one. */
  async add(promise: Promise<void>): Promise<void> {
    this.#size += 1;
    promise
      .catch((cause: unknown) => {
        this.#error ??= { cause };
      })
      .finally(() => {
        this.#size -= 1;
        this.#wake?.();
      });
    await this.#until(this.#max - 1);
  }

  /** Resolves when none is left. */
  async all(): Promise<void> {
    await this.#until(0);
  }

  async #until(size: number): Promise<void> {
    while (this.#size > size && this.#error === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#error !== undefined) throw this.#error.cause;
  }
}
