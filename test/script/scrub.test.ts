/** What a scrub does about damage, which here is done to the keys by hand. */
import { expect, test } from "vitest";
import { RedisStore } from "../../server/store/redis/redis-store.js";
import type { Leased, ScrubProblem } from "../../server/store/store.js";
import { sharedRedis } from "../support/redis.js";
import { assertConsistent, takeSnapshot } from "../support/snapshot.js";
import { NOW, newSession, newTask, newTasks, sessionId } from "../support/task-factory.js";
import { ScriptFixture, TOPIC } from "./script-fixture.js";

const ending = { now: NOW, endedWindowMs: 30_000 };
const session = { id: sessionId("worker-1"), epoch: 1 };

/** A store over the fixture's namespace: four ready tasks, one of each other kind, two leased ones. */
class Damaged {
  readonly f: ScriptFixture;
  readonly store: RedisStore;
  leases: readonly Leased[] = [];

  private constructor(f: ScriptFixture, store: RedisStore) {
    this.f = f;
    this.store = store;
  }

  static async open(): Promise<Damaged> {
    const f = await ScriptFixture.open();
    const store = new RedisStore({ url: (await sharedRedis()).url, namespace: f.namespace });
    await store.open();
    const damaged = new Damaged(f, store);
    await store.openSession(newSession(session.id, [TOPIC]));
    const kept = newTasks(2, { retentionMs: 60_000, externalId: "order" }, "kept");
    const tasks = [...kept, ...newTasks(6), newTask("later", { dueAtMs: NOW + 5000 })];
    await store.enqueue(TOPIC, tasks, { ...ending, tasksMax: 0, bytesMax: 0 });
    const demands = [{ session, limit: 4, bytesMax: 1_000_000 }];
    const { leased } = await store.lease(TOPIC, demands, { now: NOW });
    const [completed] = leased;
    if (completed === undefined) throw new Error("nothing was leased");
    await store.complete(TOPIC, [{ ...completed, result: Buffer.from("result") }], ending);
    await store.cancel(TOPIC, [kept[1]?.id ?? completed.id], ending);
    damaged.leases = leased.slice(1);
    return damaged;
  }

  segment(number = 0): string {
    return `${this.f.key("segment:")}${number}`;
  }

  /** The entry at the head of the first segment. */
  async firstReady(): Promise<Buffer> {
    return (await this.f.redis.lindexBuffer(this.segment(), 0)) ?? Buffer.alloc(0);
  }

  async scrub(repair = true): Promise<ScrubProblem[]> {
    const problems: ScrubProblem[] = [];
    for (let after: string | undefined; ; ) {
      const options = { ...ending, repair, limit: 7, ...(after === undefined ? {} : { after }) };
      const piece = await this.store.scrub(TOPIC, options);
      problems.push(...piece.problems);
      if (piece.next === undefined) return problems;
      after = piece.next;
    }
  }

  /** Looking tells the problem and changes nothing; repairing puts it right. */
  async finds(...expected: readonly object[]): Promise<void> {
    const before = await this.f.picture();
    const told = await this.scrub(false);
    expect(told).toEqual(expected.map((problem) => expect.objectContaining({ ...problem, repaired: false })));
    expect(await this.f.picture()).toEqual(before);
    const mended = await this.scrub();
    // Where only the sum was wrong, it is right once its cause is.
    const lasting = expected.filter((problem) => problem !== WRONG_COUNT);
    expect(mended).toEqual(lasting.map((problem) => expect.objectContaining({ ...problem, repaired: true })));
    expect(await this.scrub()).toEqual([]);
    assertConsistent(await takeSnapshot(this.store, [TOPIC]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
    this.f[Symbol.dispose]();
  }
}

const WRONG_COUNT = { kind: "wrong_count" };
/** A figure that does not follow its cause, and is set. */
const REPAIRED_COUNT = { kind: "wrong_count" };
const place = (n: number) => Buffer.from(`80000000${n.toString(16).padStart(12, "0")}`, "hex");
const member = (n: number, id: string) => Buffer.concat([place(n), Buffer.from(id)]);

test.each(["ready", "scheduled", "dead", "completed", "cancelled"] as const)(
  "an entry of %s without its task is removed",
  async (queue) => {
    await using damaged = await Damaged.open();
    await damaged.f.redis.zadd(damaged.f.key(queue), NOW + 9_000, member(99, "ghost"));
    await damaged.f.redis.zadd(damaged.f.key(queue), NOW + 9_000, member(98, "t0004"));
    const problems = await damaged.scrub();
    const ghosts = problems.filter(({ kind }) => kind === "ghost_entry");
    expect(ghosts.map(({ id, repaired }) => [id, repaired]).sort()).toEqual([
      ["ghost", true],
      ["t0004", true],
    ]);
    expect(await damaged.scrub()).toEqual([]);
    assertConsistent(await takeSnapshot(damaged.store, [TOPIC]));
  },
);

test("a task in no state is made ready at its place", async () => {
  await using damaged = await Damaged.open();
  const { redis } = damaged.f;
  const first = await damaged.firstReady();
  await redis.lrem(damaged.segment(), 1, first);
  await damaged.finds({ kind: "stray_task", id: first.toString("latin1", 10) }, REPAIRED_COUNT, WRONG_COUNT);
  expect(await redis.zrangeBuffer(damaged.f.key("ready"), "0", "-1")).toEqual([first]);
  expect((await damaged.store.list(TOPIC, { state: "ready", limit: 9 })).rows.map(({ id }) => id)).toEqual([
    "t0002",
    "t0003",
    "t0004",
    "t0005",
  ]);
});

test("a task in two states keeps the one in which it is least lost", async () => {
  await using damaged = await Damaged.open();
  const { redis } = damaged.f;
  const first = await damaged.firstReady();
  await redis.zadd(damaged.f.key("ready"), 0, first);
  await redis.lrem(damaged.segment(), 1, first);
  await redis.hincrby(damaged.f.key("stats"), "segmented", -1);
  await redis.zadd(damaged.f.key("dead"), NOW, first);
  await redis.zadd(damaged.f.key("completed"), NOW, first);
  const twice = { kind: "two_states", id: first.toString("latin1", 10) };
  await damaged.finds({ ...twice, detail: "ready and dead" }, { ...twice, detail: "ready and completed" }, WRONG_COUNT);
});

test("a task in a segment and another state stays in the segment", async () => {
  await using damaged = await Damaged.open();
  const first = await damaged.firstReady();
  await damaged.f.redis.zadd(damaged.f.key("scheduled"), NOW, first);
  const id = first.toString("latin1", 10);
  await damaged.finds({ kind: "two_states", id, detail: "ready and scheduled" }, WRONG_COUNT);
  expect(await damaged.firstReady()).toEqual(first);
});

test("a task in both parts of the input queue stays among the sorted ones", async () => {
  await using damaged = await Damaged.open();
  const first = await damaged.firstReady();
  await damaged.f.redis.zadd(damaged.f.key("ready"), 0, first);
  const id = first.toString("latin1", 10);
  await damaged.finds({ kind: "two_states", id, detail: "ready, and ready in a segment" }, WRONG_COUNT);
  expect(await damaged.firstReady()).not.toEqual(first);
});

test("what a segment holds twice, or not rightly, is taken out of it", async () => {
  await using damaged = await Damaged.open();
  const { redis } = damaged.f;
  const before = await damaged.f.picture();
  const first = await damaged.firstReady();
  // Of no task, of a task with another place, of another segment, of a task there already, and no entry at all.
  const wrong = [member(99, "ghost"), member(98, "t0004"), member(3000, "far"), first, Buffer.from("?")];
  await redis.rpush(damaged.segment(), ...wrong);
  await damaged.finds(
    { kind: "ghost_entry", id: "far", detail: "in segment 0, where it does not belong" },
    { kind: "two_states", id: first.toString("latin1", 10) },
    { kind: "ghost_entry", detail: "in segment 0, where it does not belong" },
    { kind: "ghost_entry", id: "ghost", detail: "in segment 0, without its task" },
    { kind: "ghost_entry", id: "t0004", detail: "in segment 0, without its task" },
    WRONG_COUNT,
    WRONG_COUNT,
  );
  expect(await damaged.f.picture()).toEqual(before);
});

test("a segment that the index misses is named again, and one that it names in vain no longer", async () => {
  await using damaged = await Damaged.open();
  const { redis } = damaged.f;
  const before = await damaged.f.picture();
  await redis.zrem(damaged.f.key("segments"), "0");
  await redis.zadd(damaged.f.key("segments"), 7, "7", 9, "9");
  await damaged.finds(
    { kind: "wrong_count", detail: "segment 0 is not in the index" },
    { kind: "wrong_count", detail: "segment 7 is in the index, and empty" },
    { kind: "wrong_count", detail: "segment 9 is in the index, and empty" },
    WRONG_COUNT,
    WRONG_COUNT,
  );
  expect(await damaged.f.picture()).toEqual(before);
});

test("how many tasks are in segments is set", async () => {
  await using damaged = await Damaged.open();
  const before = await damaged.f.picture();
  await damaged.f.redis.hincrby(damaged.f.key("stats"), "segmented", 2);
  await damaged.finds({ kind: "wrong_count", detail: "6 tasks in segments, which hold 4" });
  expect(await damaged.f.picture()).toEqual(before);
});

test("all of many segments are looked through, in pieces", async () => {
  await using damaged = await Damaged.open();
  for (let n = 0; n < 3; n += 1) {
    await damaged.store.enqueue(TOPIC, newTasks(1000, {}, `m${n}-`), { ...ending, tasksMax: 0, bytesMax: 0 });
  }
  const ghosts = [700, 1200, 2999, 3005].map((n) => member(n, `ghost-${n}`));
  for (const ghost of ghosts) {
    const segment = damaged.segment(Math.floor(ghost.readUIntBE(4, 6) / 1000));
    await damaged.f.redis.linsert(segment, "AFTER", (await damaged.f.redis.lindexBuffer(segment, 3)) ?? "", ghost);
  }
  const problems = await damaged.scrub();
  expect(problems.filter(({ kind }) => kind === "ghost_entry").map(({ id }) => id)).toEqual(
    [700, 1200, 2999, 3005].map((n) => `ghost-${n}`),
  );
  expect(await damaged.scrub()).toEqual([]);
});

test("a leased task that is also ready stays leased", async () => {
  await using damaged = await Damaged.open();
  const [, lease] = damaged.leases;
  const value = await damaged.f.redis.hgetBuffer(damaged.f.key("tasks"), lease?.id ?? "");
  const entry = Buffer.concat([value?.subarray(0, 10) ?? Buffer.alloc(0), Buffer.from(lease?.id ?? "")]);
  await damaged.f.redis.zadd(damaged.f.key("ready"), 0, entry);
  await damaged.finds({ kind: "two_states", id: lease?.id, detail: "leased and ready" }, WRONG_COUNT);
  expect((await damaged.store.get(TOPIC, [lease?.id ?? (session.id as never)]))[0]?.state).toBe("leased");
  await damaged.f.redis.lpush(damaged.segment(), entry);
  await damaged.finds({ kind: "two_states", id: lease?.id, detail: "leased and ready" }, REPAIRED_COUNT, WRONG_COUNT);
  expect((await damaged.store.get(TOPIC, [lease?.id ?? (session.id as never)]))[0]?.state).toBe("leased");
});

test("a lease without its task is removed", async () => {
  await using damaged = await Damaged.open();
  const leases = damaged.f.keys.leases(TOPIC, session.id);
  const [lease] = damaged.leases;
  const value = await damaged.f.redis.hgetBuffer(leases, lease?.id ?? "");
  await damaged.f.redis.hset(leases, "ghost", value ?? "");
  await damaged.finds({ kind: "ghost_lease", id: "ghost" }, WRONG_COUNT);
});

test("leases of a session whose record was lost are released", async () => {
  await using damaged = await Damaged.open();
  const { redis, keys } = damaged.f;
  await redis.del(keys.sessions, keys.sessionStates, keys.sessionExpiry, keys.sessionIds);
  await damaged.finds(...damaged.leases.map(() => ({ kind: "orphan_lease" })));
  expect(await redis.exists(damaged.f.key("holders"), keys.leases(TOPIC, session.id))).toBe(0);
});

test("leases of a session that is no holder are found, and released", async () => {
  await using damaged = await Damaged.open();
  const { redis } = damaged.f;
  await redis.del(damaged.f.key("holders"));
  await damaged.finds(...damaged.leases.map(() => ({ kind: "orphan_lease" })), WRONG_COUNT);
});

test("notes, index entries and retentions without their tasks are removed", async () => {
  await using damaged = await Damaged.open();
  const { redis } = damaged.f;
  for (const name of ["meta", "cancels", "progress", "results"] as const) {
    await redis.hset(damaged.f.key(name), "ghost", "0\t0\t\t\t");
  }
  await redis.hset(damaged.f.key("cancels"), "t0004", "1");
  await redis.zadd(damaged.f.key("xids"), 0, "order\nghost", 0, "other\nkept0000");
  await redis.zadd(damaged.f.key("retention"), NOW, member(99, "ghost"));
  await damaged.finds(
    { kind: "wrong_retention", id: "ghost" },
    { kind: "ghost_note", id: "ghost", detail: "in meta, without its task" },
    { kind: "ghost_note", id: expect.any(String), detail: "in cancels, without its task" },
    { kind: "ghost_note", id: expect.any(String), detail: "in cancels, without its task" },
    { kind: "ghost_note", id: "ghost", detail: "in progress, without its task" },
    { kind: "ghost_note", id: "ghost", detail: "in results, without its task" },
    { kind: "wrong_index", id: "ghost" },
    { kind: "wrong_index", id: "kept0000" },
  );
});

test("what is missing beside a task is made again", async () => {
  await using damaged = await Damaged.open();
  const { redis } = damaged.f;
  const before = await damaged.f.picture();
  await redis.zrem(damaged.f.key("xids"), "order\nkept0000");
  const [kept = Buffer.alloc(0)] = await redis.zrangeBuffer(damaged.f.key("completed"), "0", "0");
  await redis.zrem(damaged.f.key("retention"), kept);
  await damaged.finds({ kind: "wrong_index", id: "kept0000" }, { kind: "wrong_retention", id: "kept0000" });
  expect(await damaged.f.picture()).toEqual(before);
});

test("wrong bytes and counters are set", async () => {
  await using damaged = await Damaged.open();
  const { redis } = damaged.f;
  await redis.hset(damaged.f.key("stats"), "released", 0);
  const before = await damaged.f.picture();
  await redis.hincrby(damaged.f.key("stats"), "bytes", 77);
  await redis.hincrby(damaged.f.key("stats"), "released", -3);
  await damaged.finds({ kind: "wrong_count" }, { kind: "wrong_bytes" });
  expect(await damaged.f.picture()).toEqual(before);
});

test("bytes of a topic that did not hold still are not judged", async () => {
  await using damaged = await Damaged.open();
  await damaged.f.redis.hincrby(damaged.f.key("stats"), "bytes", 77);
  const first = await damaged.store.scrub(TOPIC, { ...ending, repair: true, limit: 1 });
  await damaged.store.enqueue(TOPIC, [newTask("new")], { ...ending, tasksMax: 0, bytesMax: 0 });
  const rest = await damaged.store.scrub(TOPIC, { ...ending, repair: true, limit: 10_000, after: first.next ?? "" });
  expect(rest).toMatchObject({ problems: [] });
  expect(rest.next).toBeUndefined();
  expect(await damaged.scrub()).toMatchObject([{ kind: "wrong_bytes" }]);
});
