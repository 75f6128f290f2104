import { expect } from "vitest";
import { COUNTERS } from "../../server/domain/topic.js";
import { encodeRecord } from "../../server/store/record.js";
import { newTask, newTasks, topicName } from "../support/task-factory.js";
import { conformance } from "./suite.js";

const SIZES = ["scheduled", "ready", "leased", "dead", "completedKept", "cancelledKept", "bytes"];

conformance("describe", {
  "a topic that does not exist is all zeros, and is not created": async (f) => {
    const topic = topicName("unknown");
    const zeros = Object.fromEntries([...COUNTERS, ...SIZES].map((name) => [name, 0]));
    expect(await f.store.describe([topic])).toEqual([{ topic, stats: zeros, settings: { paused: false } }]);
    expect((await f.store.topics({ limit: 10 })).rows).toEqual([]);
  },

  "rows come in the order asked for": async (f) => {
    const topics = ["b", "unknown", "a", "b"].map(topicName);
    await f.enqueue([newTask("x")], topicName("a"));
    await f.enqueue(newTasks(2), topicName("b"));
    const rows = await f.store.describe(topics);
    expect(rows.map((row) => [row.topic, row.stats.ready])).toEqual([
      ["b", 2],
      ["unknown", 0],
      ["a", 1],
      ["b", 2],
    ]);
  },

  "none asked for is none told": async (f) => {
    expect(await f.store.describe([])).toEqual([]);
  },

  "bytes follow tasks in and out, kept ones included": async (f) => {
    const large = newTask("large", { spec: "x".repeat(500), externalId: "größe", retentionMs: 1000 });
    const small = newTask("small");
    const bytes = (task: typeof large) => encodeRecord(task.head, task.spec).length;
    await f.enqueue([large, small]);
    expect(await f.stats()).toMatchObject({ bytes: bytes(large) + bytes(small) });
    const lease = await f.leaseOne();
    await f.retry(await f.leaseOne(), 0, "an error takes no bytes");
    expect(await f.stats()).toMatchObject({ bytes: bytes(large) + bytes(small) });
    await f.complete(lease);
    expect(await f.stats()).toMatchObject({ bytes: bytes(large) + bytes(small), completedKept: 1 });
    f.advance(1000);
    await f.store.prune(f.topic, { ...f.ending, limit: 10 });
    await f.remove("small");
    expect(await f.stats()).toMatchObject({ bytes: 0 });
  },

  "the oldest ready task is the one at the head of the queue": async (f) => {
    const at = (enqueuedAtMs: number, priority = 0) => ({ enqueuedAtMs, priority });
    await f.enqueue([newTask("a", at(5000)), newTask("b", at(1000)), newTask("c", at(9000, -1))]);
    expect(await f.stats()).toMatchObject({ oldestReadyMs: 9000 });
    await f.lease(1);
    expect(await f.stats()).toMatchObject({ oldestReadyMs: 5000 });
    await f.lease(2);
    expect((await f.stats()).oldestReadyMs).toBeUndefined();
  },

  "the next due moment is that of the earliest scheduled task": async (f) => {
    await f.enqueue([3, 1, 2].map((ms) => newTask(`t${ms}`, { dueAtMs: f.now + ms })));
    expect(await f.stats()).toMatchObject({ nextDueMs: f.now + 1 });
    await f.cancel("t1");
    expect(await f.stats()).toMatchObject({ nextDueMs: f.now + 2 });
    await f.remove("t2", "t3");
    expect((await f.stats()).nextDueMs).toBeUndefined();
  },

  "every counter counts its own": async (f) => {
    const retentionMs = 1000;
    await f.complete(await f.leased("completed"));
    await f.retry(await f.leased("retried"), 1000);
    await f.bury(await f.leased("failed"));
    await f.release(await f.leased("released"));
    const aborted = await f.leased("aborted", { priority: -1 });
    await f.cancel("aborted", "released");
    await f.release(aborted);
    await f.leased("expired", { priority: -1 });
    await f.expire(f.worker.id);
    await f.add("cancelled", { retentionMs });
    await f.cancel("cancelled");
    await f.requeue("cancelled", "failed");
    await f.remove("cancelled");
    expect(await f.stats()).toMatchObject({
      enqueued: 7,
      started: 6,
      retried: 1,
      failed: 1,
      completed: 1,
      released: 1,
      expired: 1,
      cancelled: 2,
      aborted: 1,
      requeued: 2,
      deleted: 1,
    });
  },

  "topics are counted apart": async (f) => {
    const other = topicName("other");
    await f.complete(await f.leased("a"));
    await f.enqueue([newTask("a")], other);
    expect(await f.stats()).toMatchObject({ enqueued: 1, completed: 1, ready: 0 });
    expect(await f.stats(other)).toMatchObject({ enqueued: 1, completed: 0, ready: 1 });
  },
});
