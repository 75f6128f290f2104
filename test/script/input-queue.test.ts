/** The two parts of the input queue: what is sorted, and segments in order of arrival. */
import { expect, test } from "vitest";
import { packRefs } from "../../server/store/redis/packing.js";
import { cancel } from "../../server/store/redis/scripts/cancel.js";
import { configure } from "../../server/store/redis/scripts/configure.js";
import { describe } from "../../server/store/redis/scripts/describe.js";
import { enqueue, enqueueCall } from "../../server/store/redis/scripts/enqueue.js";
import { get } from "../../server/store/redis/scripts/get.js";
import { hold } from "../../server/store/redis/scripts/hold.js";
import { lease } from "../../server/store/redis/scripts/lease.js";
import { list, listCall } from "../../server/store/redis/scripts/list.js";
import { purge } from "../../server/store/redis/scripts/purge.js";
import { release } from "../../server/store/redis/scripts/release.js";
import type { Leased, NewTask } from "../../server/store/store.js";
import { NOW, newTask, newTasks, sessionId, taskId } from "../support/task-factory.js";
import { ScriptFixture, TOPIC } from "./script-fixture.js";

const ending = { topic: TOPIC, now: NOW, endedWindowMs: 30_000 };
const session = { id: sessionId("worker-1"), epoch: 1 };
const ids = (rows: readonly { readonly id: string }[]) => rows.map(({ id }) => id);

/** Script calls on one topic, with one session. */
class Queue {
  readonly f: ScriptFixture;

  private constructor(f: ScriptFixture) {
    this.f = f;
  }

  static async open(): Promise<Queue> {
    const queue = new Queue(await ScriptFixture.open());
    await queue.f.run(hold, { topic: TOPIC, session, why: "open" });
    return queue;
  }

  async add(...tasks: readonly NewTask[]): Promise<void> {
    for (let i = 0; i < tasks.length; i += 1000) {
      const call = { ...ending, tasksMax: 0, bytesMax: 0, tasks: tasks.slice(i, i + 1000) };
      await this.f.run(enqueue, enqueueCall(call));
    }
  }

  /** Lets as many numbers pass as if tasks had gone straight to a worker. */
  async skip(numbers: number): Promise<void> {
    await this.f.redis.hincrby(this.f.key("stats"), "enqueued", numbers);
  }

  lease(limit: number) {
    return this.f.run(lease, { topic: TOPIC, now: NOW, demands: [{ session, limit, bytesMax: 1_000_000 }] });
  }

  release(leases: readonly Leased[]) {
    return this.f.run(release, { ...ending, refs: packRefs(leases) });
  }

  async page(limit: number, after?: string) {
    return this.f.run(list, listCall({ topic: TOPIC, state: "ready", limit, after }));
  }

  /** Ids of all that are ready, by pages of that size. */
  async listed(limit: number): Promise<string[]> {
    const all: string[] = [];
    for (let after: string | undefined; ; ) {
      const page = await this.page(limit, after);
      expect(page.rows.length).toBeLessThanOrEqual(limit);
      all.push(...ids(page.rows));
      if (page.next === undefined) return all;
      after = page.next;
    }
  }

  segments(): Promise<string[]> {
    return this.f.redis.zrange(this.f.key("segments"), "0", "-1");
  }

  /** What is in segments, as the counter has it and as it is. */
  async counted(): Promise<[counter: number, lengths: number]> {
    const lengths = (await this.segments()).map((number) => this.f.redis.llen(`${this.f.key("segment:")}${number}`));
    const sum = (await Promise.all(lengths)).reduce((total, length) => total + length, 0);
    return [Number(await this.f.redis.hget(this.f.key("stats"), "segmented")), sum];
  }

  [Symbol.dispose](): void {
    this.f[Symbol.dispose]();
  }
}

test("a segment holds a thousand numbers, and is gone with its last task", async () => {
  using queue = await Queue.open();
  await queue.add(...newTasks(2500));
  expect(await queue.segments()).toEqual(["0", "1", "2"]);
  expect(await queue.counted()).toEqual([2500, 2500]);
  expect(await queue.f.redis.exists(queue.f.key("ready"))).toBe(0);

  expect(await queue.lease(999)).toMatchObject({ ready: 1501 });
  expect(await queue.segments()).toEqual(["1", "2"]);
  const { leased } = await queue.lease(1000);
  expect(ids(leased)).toEqual(ids(newTasks(1999).slice(999)));
  expect(await queue.segments()).toEqual(["2"]);
  expect((await queue.lease(1000)).leased).toHaveLength(501);
  expect(await queue.segments()).toEqual([]);
  expect(await queue.f.redis.keys(`${queue.f.key("segment:")}*`)).toEqual([]);
  expect(await queue.counted()).toEqual([0, 0]);
});

test("both parts are handed out together, in order of place", async () => {
  using queue = await Queue.open();
  await queue.add(...newTasks(4, {}, "a"));
  const { leased } = await queue.lease(4);
  await queue.add(newTask("urgent", { priority: -1 }), newTask("b"), newTask("late", { priority: 1 }), newTask("c"));
  await queue.release(leased.filter((_, i) => i % 2 === 0));
  await queue.add(newTask("d"));
  const order = ["urgent", "a0000", "a0002", "b", "c", "d", "late"];
  expect(await queue.listed(100)).toEqual(order);
  expect(await queue.f.run(describe, { topic: TOPIC })).toMatchObject({ stats: { ready: 7, leased: 2 } });
  const handed: string[] = [];
  for (const [limit, left] of [
    [2, 5],
    [2, 3],
    [1, 2],
    [9, 0],
  ] as const) {
    const answer = await queue.lease(limit);
    expect(answer.ready).toBe(left);
    handed.push(...ids(answer.leased));
  }
  expect(handed).toEqual(order);
  expect(await queue.counted()).toEqual([0, 0]);
});

test("a call looks at a few sparse segments, and says that there is more", async () => {
  using queue = await Queue.open();
  for (let n = 0; n < 40; n += 1) {
    await queue.add(newTask(`t${n}`));
    await queue.skip(999);
  }
  await queue.add(newTask("late", { priority: 1 }));
  const order = Array.from({ length: 40 }, (_, n) => `t${n}`);
  expect(await queue.listed(1000)).toEqual([...order, "late"]);
  const first = await queue.lease(1000);
  expect(ids(first.leased)).toEqual(order.slice(0, 16));
  expect(first.ready).toBe(25);
  expect(ids((await queue.lease(1000)).leased)).toEqual(order.slice(16, 32));
  expect(await queue.lease(1000)).toMatchObject({
    ready: 0,
    leased: [...order.slice(32), "late"].map((id) => ({ id })),
  });
});

test("a task in the middle of a segment is found, and cancelled", async () => {
  using queue = await Queue.open();
  await queue.add(...newTasks(1500));
  const asked = ["t0700", "t1200", "t0000", "t1499"].map(taskId);
  expect((await queue.f.run(get, { topic: TOPIC, ids: asked })).map((row) => row?.state)).toEqual(
    asked.map(() => "ready"),
  );
  const outcomes = await queue.f.run(cancel, { ...ending, ids: asked });
  expect(outcomes.map(({ kind }) => kind)).toEqual(asked.map(() => "done"));
  expect(await queue.counted()).toEqual([1496, 1496]);
  expect(await queue.listed(1000)).toEqual(ids(newTasks(1500)).filter((id) => !asked.includes(taskId(id))));
  await queue.f.run(cancel, { ...ending, ids: ids(newTasks(999)).map(taskId) });
  expect(await queue.segments()).toEqual(["1"]);
});

test("pages go through both parts, also behind entries that are gone", async () => {
  using queue = await Queue.open();
  await queue.add(...newTasks(1200, {}, "a"));
  const { leased } = await queue.lease(600);
  await queue.add(...newTasks(50, { priority: 1 }, "late"), ...newTasks(50, { priority: -1 }, "soon"));
  await queue.release(leased.filter((_, i) => i % 3 === 0));
  await queue.add(...newTasks(1300, {}, "b"));
  const released = ids(newTasks(600, {}, "a")).filter((_, i) => i % 3 === 0);
  const order = [
    ...ids(newTasks(50, {}, "soon")),
    ...released,
    ...ids(newTasks(1200, {}, "a")).slice(600),
    ...ids(newTasks(1300, {}, "b")),
    ...ids(newTasks(50, {}, "late")),
  ];
  for (const limit of [1000, 333, 7]) expect(await queue.listed(limit)).toEqual(order);

  // The last of the page is of the sorted part, of a segment, and of one on the second page.
  for (const limit of [20, 150, 900, 1600]) {
    const last = order[limit - 1] ?? "";
    const page = await queue.page(Math.min(limit, 1000));
    const after = limit <= 1000 ? page.next : (await queue.page(limit - 1000, page.next)).next;
    await queue.f.run(cancel, { ...ending, ids: [taskId(last)] });
    expect(ids((await queue.page(3, after)).rows), `behind ${last}`).toEqual(order.slice(limit, limit + 3));
    order.splice(limit - 1, 1);
  }
});

test("a purge takes the front of both parts", async () => {
  using queue = await Queue.open();
  await queue.add(newTask("a"), newTask("soon", { priority: -1 }), newTask("b"), newTask("late", { priority: 1 }));
  const options = { topic: TOPIC, state: "ready" } as const;
  expect(await queue.f.run(purge, { ...options, limit: 2 })).toEqual({ deleted: 2, more: true });
  expect(await queue.listed(9)).toEqual(["b", "late"]);
  expect(await queue.f.run(purge, { ...options, limit: 1 })).toEqual({ deleted: 1, more: true });
  expect(await queue.f.run(purge, { ...options, limit: 2 })).toEqual({ deleted: 1, more: false });
  expect(await queue.counted()).toEqual([0, 0]);
});

test("a topic that is resumed wakes brokers for what waits in segments", async () => {
  using queue = await Queue.open();
  await queue.add(newTask("a"));
  const wakes: string[] = [];
  const subscriber = queue.f.redis.duplicate();
  await subscriber.subscribe(queue.f.keys.wake);
  const told = new Promise((resolve) => {
    subscriber.on("message", (_, message) => {
      wakes.push(message);
      if (wakes.length === 2) resolve(undefined);
    });
  });
  await queue.f.run(configure, { topic: TOPIC, settings: { paused: false } });
  await told;
  expect(wakes).toEqual([`settings ${TOPIC}`, `ready ${TOPIC}`]);
  subscriber.disconnect();
});

test("segments that were lost with their tasks are not waited for", async () => {
  using queue = await Queue.open();
  for (let n = 0; n < 20; n += 1) {
    await queue.add(newTask(`t${n}`));
    await queue.skip(999);
  }
  const numbers = await queue.segments();
  await queue.f.redis.del(...numbers.slice(0, 19).map((number) => `${queue.f.key("segment:")}${number}`));
  expect(await queue.lease(5)).toMatchObject({ leased: [], ready: 20 });
  expect(await queue.lease(5)).toMatchObject({ leased: [{ id: "t19" }], ready: 19 });
  expect(await queue.lease(5)).toMatchObject({ leased: [], ready: 0 });
  expect(await queue.counted()).toEqual([0, 0]);
});
