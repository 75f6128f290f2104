/** What watchers see of a broker that makes more events than it may tell. */
import { Client, defineTopic, type WatchEvent, Worker } from "@taskqueue/sdk";
import { EventType, type WatchResponse } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { expect, test } from "vitest";
import { TestBroker } from "../support/broker.js";
import { until } from "../support/until.js";

const PER_SECOND = 200;
const TASKS = 10_000;
const clicks = defineTopic<[number]>("clicks");
const mails = defineTopic<[]>("mails");

async function flood(client: Client): Promise<void> {
  for (let from = 0; from < TASKS; from += 1_000) {
    await client.enqueueMany(
      clicks,
      Array.from({ length: 1_000 }, (_, index): [number] => [from + index]),
    );
  }
}

test("a watcher on a flooded broker is told of drops, and still sees a failure", async () => {
  await using broker = await TestBroker.start({ eventsPerSecond: PER_SECOND });
  await using client = new Client({ address: broker.address });
  await using watch = client.watch();
  await watch.ready;
  const seen: WatchEvent[] = [];
  const following = (async () => {
    for await (const event of watch) seen.push(event);
  })();
  await using worker = new Worker({ address: broker.address, concurrency: 500 });
  worker.register(clicks, () => {});
  worker.register(mails, () => {
    throw new Error("no such mailbox");
  });
  await worker.start();
  const fromMs = performance.now();
  await flood(client);
  await client.enqueue(mails, [], { id: "undeliverable" });
  await until("everything is done", async () => {
    const { stats } = await client.stats();
    return stats.completed === TASKS && stats.failed === 1;
  });
  await until("the watcher is told", () => {
    const failure = seen.some(({ type, taskId }) => type === "TASK_FAILURE" && taskId === "undeliverable");
    return failure && seen.some(({ dropped }) => dropped);
  });
  const seconds = Math.ceil((performance.now() - fromMs) / 1_000) + 1;
  const told = seen.filter(({ type }) => type.startsWith("TASK_"));
  expect(told.length).toBeLessThanOrEqual(PER_SECOND * seconds);
  expect(broker.broker.eventsDropped).toBeGreaterThan(3 * TASKS - PER_SECOND * seconds);
  await watch.close();
  await following;
});

test("what was dropped is told though nothing more happens, and to those who resume", async () => {
  await using broker = await TestBroker.start({ eventsPerSecond: PER_SECOND });
  await using client = new Client({ address: broker.address });
  const abort = new AbortController();
  const watch = (after: string) =>
    broker.producer
      .watch({ topics: [clicks.name], types: [EventType.TASK_ENQUEUE], after }, { signal: abort.signal })
      [Symbol.asyncIterator]();
  const untilDropped = async (responses: AsyncIterator<WatchResponse>) => {
    for (;;) {
      const { done, value } = await responses.next();
      if (done) throw new Error("the watch ended");
      if (value.dropped) return;
    }
  };
  const responses = watch("");
  const first = await responses.next();
  await flood(client);
  await untilDropped(responses);
  await untilDropped(watch(first.value?.cursor ?? ""));
  abort.abort();
});
