import { expect, test } from "vitest";
import { enqueue, enqueueCall } from "../../server/store/redis/scripts/enqueue.js";
import { hold } from "../../server/store/redis/scripts/hold.js";
import { NOW, newTask, newTasks, sessionId } from "../support/task-factory.js";
import { ScriptFixture, TOPIC } from "./script-fixture.js";

const unbounded = { topic: TOPIC, now: NOW, endedWindowMs: 30_000, tasksMax: 0, bytesMax: 0 };
const session = { id: sessionId("worker-1"), epoch: 1 };
const demands = [{ session, limit: 10, bytesMax: 1_000_000 }];

test("a task is a place and a record, and its place is in the input queue", async () => {
  using f = await ScriptFixture.open();
  await f.run(enqueue, enqueueCall({ ...unbounded, tasks: [newTask("b", { priority: -1 }), newTask("a")] }));
  const sorted = await f.redis.zrangeBuffer(f.key("ready"), "0", "-1");
  const arrived = await f.redis.lrangeBuffer(`${f.key("segment:")}0`, 0, -1);
  expect([sorted, arrived].map((entries) => entries.map((entry) => entry.toString("hex")))).toEqual([
    [`7fffffff000000000001${Buffer.from("b").toString("hex")}`],
    [`80000000000000000002${Buffer.from("a").toString("hex")}`],
  ]);
  const value = await f.redis.hgetBuffer(f.key("tasks"), "a");
  expect(value?.subarray(0, 10).toString("hex")).toBe("80000000000000000002");
  expect(value?.subarray(10).toString()).toBe(`${NOW.toString(36)}\na`);
  expect(await f.redis.hgetall(f.key("stats"))).toMatchObject({ enqueued: "2", segmented: "1" });
});

test("what waits for a worker goes to it without passing the input queue", async () => {
  using f = await ScriptFixture.open();
  await f.run(hold, { topic: TOPIC, session, why: "open" });
  const answer = await f.run(enqueue, enqueueCall({ ...unbounded, tasks: newTasks(3), demands }));
  expect(answer).toMatchObject({
    kind: "enqueued",
    ready: 0,
    leased: [{ id: "t0000" }, { id: "t0001" }, { id: "t0002" }],
  });
  expect(await f.redis.exists(f.key("ready"), f.key("segments"))).toBe(0);
  await f.unfold();
  expect(await f.redis.hlen(f.keys.leases(TOPIC, session.id))).toBe(3);
});

test("a task that another one must overtake passes the queue", async () => {
  using f = await ScriptFixture.open();
  await f.run(hold, { topic: TOPIC, session, why: "open" });
  const tasks = [newTask("late", { priority: 1 }), newTask("soon")];
  const answer = await f.run(enqueue, enqueueCall({ ...unbounded, tasks, demands }));
  expect(answer).toMatchObject({ leased: [{ id: "soon", spec: Buffer.from("soon") }, { id: "late" }] });
});

test("a refused call writes nothing", async () => {
  using f = await ScriptFixture.open();
  await f.run(enqueue, enqueueCall({ ...unbounded, tasks: newTasks(2) }));
  const before = await f.picture();
  const tasks = newTasks(2, {}, "u");
  expect(await f.run(enqueue, enqueueCall({ ...unbounded, tasks, tasksMax: 3 }))).toMatchObject({
    kind: "full",
    tasks: 2,
  });
  expect(await f.run(enqueue, enqueueCall({ ...unbounded, tasks, bytesMax: 20 }))).toMatchObject({ kind: "full" });
  expect(await f.picture()).toEqual(before);
});

test("arguments that are cut short are refused before anything is written", async () => {
  using f = await ScriptFixture.open();
  const call = enqueueCall({ ...unbounded, tasks: newTasks(2) });
  const args = enqueue.args(call, f.keys);
  const packed = args[7];
  if (!Buffer.isBuffer(packed)) throw new Error("the tasks are packed in the eighth argument");
  const cut = args.with(7, packed.subarray(0, -5));
  await expect(f.raw(enqueue, f.keys.topic(TOPIC), cut)).rejects.toThrow(/data string too short/);
  expect(await f.picture()).toEqual({});
});

test("a thousand tasks fit one call", async () => {
  using f = await ScriptFixture.open();
  const tasks = newTasks(1000, { externalId: "order", retentionMs: 5, dueAtMs: NOW + 1 });
  await f.run(enqueue, enqueueCall({ ...unbounded, tasks }));
  expect(await f.redis.zcard(f.key("scheduled"))).toBe(1000);
  expect(await f.redis.zcard(f.key("xids"))).toBe(1000);
});

test("a waiting task takes at most 150 bytes beyond its payload", async () => {
  using f = await ScriptFixture.open();
  const tasks = Array.from({ length: 20_000 }, (_, i) =>
    newTask(`task-${String(i).padStart(15, "0")}`, { spec: Buffer.alloc(100) }),
  );
  for (let i = 0; i < tasks.length; i += 1000) {
    await f.run(enqueue, enqueueCall({ ...unbounded, tasks: tasks.slice(i, i + 1000) }));
  }
  const keys = await f.redis.keys(`{${f.namespace}*`);
  expect(keys.length).toBeGreaterThan(20);
  const sizes = await Promise.all(keys.map((key) => f.redis.memory("USAGE", key, "SAMPLES", 0)));
  const bytes = sizes.reduce<number>((sum, size) => sum + Number(size), 0) / tasks.length;
  expect(bytes - 100).toBeLessThanOrEqual(150);
});
