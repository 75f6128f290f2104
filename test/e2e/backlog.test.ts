/**
 * A topic filled to its bound, while a hundred watchers look away: the broker's
 * memory stays where it was, the watchers are told what they missed, producers
 * are refused with a delay, and what workers hold they can still finish.
 * TASKQUEUE_TEST_WAITING_TASKS sets how many tasks wait.
 */
import { Client, defineTopic, TaskqueueError, Worker } from "@taskqueue/sdk";
import { BrokerServiceDefinition, type WatchResponse } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { createChannel, createClient } from "nice-grpc";
import { Status } from "nice-grpc-common";
import { expect, test } from "vitest";
import { resourcesOf } from "../chaos/resources.js";
import { RedisServer } from "../support/redis.js";
import { until } from "../support/until.js";
import { Crew, tellFigures } from "./fixtures/crew.js";
import { sharedMs } from "./fixtures/crew-child.js";

const WAITING = Number(process.env.TASKQUEUE_TEST_WAITING_TASKS ?? 20_000);
const WATCHERS = 100;
const HELD = 50;
const BATCH = 1_000;
const MIB = 1024 * 1024;
/** What the heap may grow by under load, however long that is: a copy per watcher would be a hundred times the backlog. */
const GROWTH_BYTES_MAX = 192 * MIB;
/** What it may grow by in the second half of a long load. */
const CREEP_BYTES_MAX = 48 * MIB;
/** Below, there are too few samples to tell a slope. */
const LONG_LOAD_TASKS = 200_000;

const backlog = defineTopic<[text: string]>("backlog");
const warmup = defineTopic<[text: string]>("warmup");
const TEXT = "x".repeat(100);

/** A watcher on a connection of its own that reads once, and then only when it is asked to. */
class LazyWatcher {
  readonly #abort = new AbortController();
  readonly #channel;
  readonly #client;
  readonly #responses: AsyncIterator<WatchResponse>;

  constructor(address: string) {
    this.#channel = createChannel(address, undefined, { "grpc.use_local_subchannel_pool": 1 });
    this.#client = createClient(BrokerServiceDefinition, this.#channel);
    this.#responses = this.#watch({ after: "" });
  }

  #watch(from: { readonly after: string; readonly taskIds?: string[] }): AsyncIterator<WatchResponse> {
    return this.#client
      .watch({ topics: [backlog.name], ...from }, { signal: this.#abort.signal })
      [Symbol.asyncIterator]();
  }

  async next(): Promise<WatchResponse> {
    const { done, value } = await this.#responses.next();
    if (done) throw new Error("the watch ended");
    return value;
  }

  /** Reads until it is told that it missed something, and says how much it was given before. */
  async readUntilTold(): Promise<{ events: number; cursor: string }> {
    for (let events = 0; ; ) {
      const response = await this.next();
      if (response.dropped) return { events, cursor: response.cursor };
      events += response.events.length;
    }
  }

  /** Watches that task anew, after `cursor`. Once it does, resolves with what waits for an event of it. */
  async resume(cursor: string, taskId: string): Promise<() => Promise<void>> {
    const responses = this.#watch({ after: cursor, taskIds: [taskId] });
    await responses.next();
    return async () => {
      for (;;) {
        const { done, value } = await responses.next();
        if (done) throw new Error("the watch ended");
        if (value.events.some((event) => event.taskId === taskId)) return;
      }
    };
  }

  close(): void {
    this.#abort.abort();
    this.#channel.close();
  }
}

/** Follows the size of a process. */
class Scale {
  readonly #pid: number;
  readonly #weights: number[] = [];

  constructor(pid: number) {
    this.#pid = pid;
  }

  weigh(): number {
    const { residentBytes } = resourcesOf(this.#pid) ?? { residentBytes: Number.NaN };
    this.#weights.push(residentBytes);
    return residentBytes;
  }

  /** The largest of those weighed since the `from`th. */
  peakBytes(from: number): number {
    return Math.max(...this.#weights.slice(from));
  }

  get count(): number {
    return this.#weights.length;
  }

  /** In ten pieces of equal length, the largest of each. */
  curve(from: number, to: number): number[] {
    const piece = (to - from) / 10;
    return Array.from({ length: 10 }, (_, index) =>
      Math.max(...this.#weights.slice(Math.floor(from + index * piece), Math.ceil(from + (index + 1) * piece))),
    );
  }
}

async function enqueueAll(client: Client, topic: typeof backlog, count: number, scale: Scale): Promise<void> {
  for (let left = count; left > 0; left -= 10 * BATCH) {
    const parts = Array.from({ length: Math.min(10, Math.ceil(left / BATCH)) }, (_, part) =>
      Array.from({ length: Math.min(BATCH, left - part * BATCH) }, (): [string] => [TEXT]),
    );
    await Promise.all(parts.map((part) => client.enqueueMany(topic, part)));
    scale.weigh();
  }
}

test(
  "a backlog and watchers who look away cost the broker no memory; the full topic still empties",
  async () => {
    await using redis = await RedisServer.start();
    await using crew = await Crew.start(1, ["--redis", redis.url]);
    const [broker] = crew.brokers;
    if (broker === undefined) throw new Error("there is a broker");
    const scale = new Scale(broker.process.pid);

    // The broker's code has run, and its heap has seen load, before it is weighed.
    await enqueueAll(crew.client, warmup, 20 * BATCH, scale);
    let gate = () => {};
    const open = new Promise<void>((resolve) => {
      gate = resolve;
    });
    await using worker = new Worker({ address: crew.addresses, concurrency: HELD });
    let entered = 0;
    worker.register(backlog, async () => {
      entered += 1;
      await open;
    });
    await worker.start();
    await crew.client.admin.configure(backlog, { tasksMax: WAITING + HELD });
    await enqueueAll(crew.client, backlog, HELD, scale);
    await until("the worker holds tasks", () => entered === HELD);

    const watchers = Array.from({ length: WATCHERS }, () => new LazyWatcher(broker.address));
    try {
      await Promise.all(watchers.map((watcher) => watcher.next()));
      const beforeBytes = scale.weigh();
      const from = scale.count;

      const fromMs = sharedMs();
      await enqueueAll(crew.client, backlog, WAITING, scale);
      const tookMs = sharedMs() - fromMs;
      const curve = scale.curve(from, scale.count);
      const fullBytes = scale.weigh();

      // Full: refused, with a delay, and nothing of it is kept.
      await using impatient = new Client({ address: crew.addresses, retryForMs: 0 });
      const refusal = await impatient.enqueueMany(backlog, [[TEXT]]).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(TaskqueueError);
      expect(refusal).toMatchObject({ code: "TOPIC_FULL", status: Status.RESOURCE_EXHAUSTED, retryable: true });
      expect(refusal instanceof TaskqueueError && refusal.retryDelayMs).toBeGreaterThan(0);
      const { stats: full } = await crew.client.stats({ topic: backlog });
      expect(full).toMatchObject({ inputQueueSize: WAITING, workQueueSize: HELD, enqueued: WAITING + HELD });
      // More of the same, again and again, leaves nothing behind either.
      for (let round = 0; round < 20; round += 1) {
        const more = Array.from({ length: 10 }, () => impatient.enqueueMany(backlog, Array(BATCH).fill([TEXT])));
        for (const { status } of await Promise.allSettled(more)) expect(status).toBe("rejected");
        scale.weigh();
      }

      // Workers finish what they hold, and that makes room.
      gate();
      await until(
        "tasks complete",
        async () => (await crew.client.stats({ topic: backlog })).stats.completed >= 2 * HELD,
      );
      await impatient.enqueueMany(backlog, [[TEXT]]);
      await worker.close({ timeoutMs: 5_000 });

      // Each watcher is told that it missed something, and where to go on.
      const told = await Promise.all(watchers.map((watcher) => watcher.readUntilTold()));
      for (const { cursor } of told) expect(cursor).not.toBe("");
      const [{ cursor } = { cursor: "" }] = told;
      const seen = await watchers[0]?.resume(cursor, "after-the-gap");
      await impatient.enqueue(backlog, [TEXT], { id: "after-the-gap" });
      await seen?.();
      const afterBytes = scale.weigh();
      tellFigures("a backlog", {
        waiting: WAITING,
        watchers: WATCHERS,
        toldThatTheyMissedSome: told.length,
        eventsReadBefore: `${Math.min(...told.map(({ events }) => events))}-${Math.max(...told.map(({ events }) => events))}`,
        enqueuesPerSecond: (WAITING / tookMs) * 1_000,
        beforeMiB: beforeBytes / MIB,
        fullMiB: fullBytes / MIB,
        inTenthsMiB: curve.map((bytes) => Math.round(bytes / MIB)).join("/"),
        peakMiB: scale.peakBytes(from) / MIB,
        afterMiB: afterBytes / MIB,
        refused: `${refusal instanceof TaskqueueError ? `${refusal.code} (wait ${refusal.retryDelayMs} ms)` : ""}`,
      });
      expect(scale.peakBytes(from) - beforeBytes).toBeLessThan(GROWTH_BYTES_MAX);
      if (WAITING >= LONG_LOAD_TASKS) {
        expect(Math.max(...curve.slice(5)) - Math.max(...curve.slice(0, 5))).toBeLessThan(CREEP_BYTES_MAX);
      }
      expect(broker.process.output).not.toMatch(/this is a bug|not consistent|INTERNAL/);
    } finally {
      for (const watcher of watchers) watcher.close();
    }
  },
  60_000 + WAITING / 2,
);
