/**
 * A producer: enqueues tasks at a steady pace, one by one and in batches,
 * repeats some that were accepted, and those of which it cannot know. Writes
 * down what it asked and what it was promised.
 */
import { Client, defineTopic, type EnqueueEntry, TaskqueueError } from "@taskqueue/sdk";
import { pause, systemClock } from "../../server/lib/clock.js";
import { Random } from "../support/random.js";
import { asked, type ProducerOrders, type QueueAddress, readOrders, tellAtWork } from "./child.js";
import type { PlannedTask } from "./history.js";
import { draftTask, KEPT_MS, topicRow } from "./workload.js";

const { orders, recorder } = readOrders<ProducerOrders>();
const random = new Random(orders.seed);
const rows = orders.topics.map(topicRow);
const topics = new Map(orders.topics.map((name) => [name, defineTopic<[id: string, timeoutMs: number]>(name)]));
const stopped = asked();
let isOver = false;
void stopped.then(() => {
  isOver = true;
});
let calls = 0;
let tasks = 0;

interface Batch {
  readonly topic: string;
  readonly planned: readonly PlannedTask[];
  readonly entries: readonly EnqueueEntry<[id: string, timeoutMs: number]>[];
}

function draw(): Batch {
  const draft = draftTask(random, rows);
  const size = random.chance(0.1) ? random.int(2, 20) : 1;
  const ids = Array.from({ length: size }, () => `${orders.name.replace("#", ".")}-${++tasks}`);
  const { priority, retries, delayMs, timeoutMs } = draft;
  return {
    topic: draft.topic.name,
    planned: ids.map((id) => ({
      id,
      topic: draft.topic.name,
      priority,
      retries,
      kept: draft.topic.kept,
      delayMs,
      timeoutMs,
    })),
    entries: ids.map((id) => ({
      args: [id, timeoutMs],
      id,
      priority,
      numRetries: retries,
      delayMs,
      timeoutMs,
      backoff: { initialMs: 20, maxMs: 200 },
      retentionMs: draft.topic.kept ? KEPT_MS : 0,
    })),
  };
}

/** One recorded call. False when its outcome is unknown. */
async function enqueue(client: Client, queue: string, { topic: name, planned, entries }: Batch): Promise<boolean> {
  const topic = topics.get(name);
  if (!topic) throw new Error(`no topic ${name}`);
  const call = ++calls;
  recorder.record({ kind: "enqueue:invoked", call, tasks: planned }, queue);
  try {
    const [only] = entries;
    const answers =
      entries.length === 1 && only
        ? [await client.enqueue(topic, only.args, optionsOf(only))]
        : await client.enqueueMany(topic, entries);
    recorder.record({ kind: "enqueue:acknowledged", call, created: answers.map(({ created }) => created) }, queue);
    return true;
  } catch (error) {
    // A refusal of what is well-formed is a bug, and ends this process.
    if (!(error instanceof TaskqueueError && error.retryable)) throw error;
    recorder.record({ kind: "enqueue:failed", call, code: error.code, unknown: true }, queue);
    return false;
  }
}

function optionsOf({ args: _, ...options }: EnqueueEntry<[id: string, timeoutMs: number]>) {
  return options;
}

/** One batch, until its fate is known, or this producer lets the matter rest. */
async function produce(client: Client, queue: string, batch: Batch): Promise<void> {
  const insists = random.chance(0.8);
  const repeats = random.chance(orders.repeated);
  while (!(await enqueue(client, queue, batch))) if (!insists) return;
  if (repeats) await enqueue(client, queue, batch);
}

async function serve({ queue, addresses }: QueueAddress): Promise<void> {
  const client = new Client({ address: addresses, retryForMs: 2_000, connectTimeoutMs: 1_000 });
  const underWay = new Set<Promise<void>>();
  for (let made = 0; !isOver && (orders.callsMax === 0 || made < orders.callsMax); made++) {
    const work = produce(client, queue, draw()).finally(() => underWay.delete(work));
    underWay.add(work);
    await pause(systemClock, (random.next() * 2_000) / orders.callsPerSecond);
    if (underWay.size > 200) await Promise.race(underWay);
  }
  await Promise.all(underWay);
  await client.close();
}

tellAtWork();
await Promise.all(orders.queues.map(serve));
recorder.close();
process.exit(0);
