/**
 * A fleet on Redis: two brokers, three worker processes, tasks over five topics
 * of which some fail once and some always. Every id completes or is in the dead
 * queue with its error; the counters are exact; what the command line requeues
 * completes. TASKQUEUE_TEST_FLEET_TASKS sets how many tasks.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, defineTopic } from "@taskqueue/sdk";
import { expect, test } from "vitest";
import { runSource, type Subprocess, taskqueue } from "../support/process.js";
import { RedisServer } from "../support/redis.js";
import { until } from "../support/until.js";

const TASKS = Number(process.env.TASKQUEUE_TEST_FLEET_TASKS ?? 20_000);
const TOPICS = ["fleet-a", "fleet-b", "fleet-c", "fleet-d", "fleet-e"];
const WORKER = "test/e2e/fixtures/fleet-worker.ts";
const RETRIES = { numRetries: 1, backoff: { initialMs: 50, jitter: 0 } };

function fate(number: number): "once" | "always" | "never" {
  if (number % 100 === 0) return "always";
  return number % 10 === 5 ? "once" : "never";
}

async function startBroker(redis: RedisServer): Promise<{ process: Subprocess; address: string }> {
  const options = ["--listen", "127.0.0.1:0", "--http", "off", "--log-format", "json"];
  const process = await taskqueue(["serve", "--redis", redis.url, "--namespace", "fleet", ...options]);
  const [, address = ""] = await process.waitForLine(/"address":"([^"]+)"/);
  return { process, address };
}

test("two brokers and three workers on one Redis complete or bury every task, and count exactly", async () => {
  await using redis = await RedisServer.start({ appendonly: "everysec" });
  const brokers = [await startBroker(redis), await startBroker(redis)];
  const addresses = brokers.map(({ address }) => address);
  const folder = await mkdtemp(join(tmpdir(), "taskqueue-fleet-"));
  const mended = join(folder, "mended");
  const client = new Client({ address: addresses });
  try {
    const workers: Subprocess[] = [];
    for (let index = 0; index < 3; index++) {
      const order = index % 2 === 0 ? addresses : [...addresses].reverse();
      workers.push(await runSource(WORKER, [order.join(","), TOPICS.join(","), mended]));
    }
    for (const worker of workers) await worker.waitForLine(/^attached$/);

    const topics = TOPICS.map((name) => defineTopic<[number: number, fails: string]>(name));
    await enqueueAll(client, topics);
    const numbers = Array.from({ length: TASKS }, (_, index) => index);
    const always = numbers.filter((number) => fate(number) === "always");
    const once = numbers.filter((number) => fate(number) === "once");
    const atRest = () => client.stats().then(({ stats }) => stats.completed + stats.deadQueueSize === TASKS && stats);
    const rest = await until("every task completed or died", atRest, { timeoutMs: 100_000 });
    expect(rest).toMatchObject({
      enqueued: TASKS,
      started: TASKS + once.length + always.length,
      completed: TASKS - always.length,
      retried: once.length + always.length,
      failed: always.length,
      released: 0,
      expired: 0,
      deadQueueSize: always.length,
      inputQueueSize: 0,
      workQueueSize: 0,
      scheduledSize: 0,
    });

    const dead = await deadTasks(client);
    expect([...dead.keys()].sort(byNumber)).toEqual(always);
    for (const [number, error] of dead) expect(String(error)).toContain(`task ${number} always fails`);

    await writeFile(mended, "");
    for (const topic of TOPICS) {
      await using command = await taskqueue(["dead", "requeue", topic, "--all", "--address", addresses[0] ?? ""]);
      expect(await command.exited).toEqual({ code: 0, signal: null });
    }
    const finished = () => client.stats().then(({ stats }) => stats.completed === TASKS && stats);
    const end = await until("the requeued tasks completed", finished, { timeoutMs: 30_000 });
    expect(end).toMatchObject({
      requeued: always.length,
      deadQueueSize: 0,
      started: TASKS + once.length + 2 * always.length,
    });

    const completed: number[] = [];
    for (const worker of workers) {
      const line = worker.waitForLine(/^completed (.*)$/);
      void worker.stop();
      completed.push(...JSON.parse((await line)[1] ?? "[]"));
    }
    expect(completed.sort(byNumber)).toEqual(numbers);
    for (const { process } of brokers) expect(await process.stop()).toEqual({ code: 0, signal: null });
  } finally {
    await client.close();
    await rm(folder, { recursive: true, force: true });
  }
}, 180_000);

async function enqueueAll(client: Client, topics: ReturnType<typeof defineTopic<[number, string]>>[]): Promise<void> {
  for (let from = 0; from < TASKS; from += 5_000) {
    const numbers = Array.from({ length: Math.min(5_000, TASKS - from) }, (_, index) => from + index);
    await Promise.all(
      numbers.map((number) => {
        const topic = topics[number % topics.length];
        if (!topic) throw new Error("there is a topic for every number");
        return client.enqueue(topic, [number, fate(number)], RETRIES);
      }),
    );
  }
}

/** The dead tasks' numbers and errors. */
async function deadTasks(client: Client): Promise<Map<number, string>> {
  const dead = new Map<number, string>();
  for (const topic of TOPICS) {
    for await (const info of client.admin.listTasks({ topic, state: "dead" })) {
      dead.set(Number(info.args?.[0]), info.lastError ?? "");
    }
  }
  return dead;
}

function byNumber(a: number, b: number): number {
  return a - b;
}
