/** What a topic holds, and the ids that ended, when they are many: in shards of a few at a time. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { RedisStore } from "../../server/store/redis/redis-store.js";
import type { Leased, NewTask } from "../../server/store/store.js";
import { sharedRedis } from "../support/redis.js";
import { assertConsistent, takeSnapshot } from "../support/snapshot.js";
import { NOW, newSession, newTask, sessionId } from "../support/task-factory.js";
import { ScriptFixture, TOPIC } from "./script-fixture.js";

const ending = { now: NOW, endedWindowMs: 30_000 };
const unbounded = { ...ending, tasksMax: 0, bytesMax: 0 };
const session = { id: sessionId("worker-1"), epoch: 1 };
/** As records.lua and ended.lua say. */
const UNSHARDED_MAX = 4096;
const WINDOW_UNSHARDED_MAX = 1024;

let f: ScriptFixture;
let store: RedisStore;

beforeEach(async () => {
  f = await ScriptFixture.open();
  store = new RedisStore({ url: (await sharedRedis()).url, namespace: f.namespace });
  await store.open();
  await store.openSession(newSession(session.id, [TOPIC]));
});

afterEach(async () => {
  await store.close();
  for (const key of await f.redis.keys(`*${f.namespace}*`)) await f.redis.unlink(key);
  f[Symbol.dispose]();
});

/** With ids as the SDK makes them, so many in each millisecond. */
function made(count: number, perMs: number, retentionMs = 0): NewTask[] {
  return Array.from({ length: count }, (_, n) => {
    const moment = (NOW + Math.floor(n / perMs)).toString(36);
    return newTask(`${moment}${String(n).padStart(12, "-")}`, { spec: "", retentionMs });
  });
}

async function add(tasks: readonly NewTask[], options = unbounded): Promise<boolean[]> {
  const created: boolean[] = [];
  for (let from = 0; from < tasks.length; from += 1000) {
    const answer = await store.enqueue(TOPIC, tasks.slice(from, from + 1000), options);
    if (answer.kind === "full") throw new Error("the topic is full");
    created.push(...answer.created);
  }
  return created;
}

async function take(count: number): Promise<Leased[]> {
  const leases: Leased[] = [];
  while (leases.length < count) {
    const demand = { session, limit: Math.min(1000, count - leases.length), bytesMax: 1e9 };
    const { leased } = await store.lease(TOPIC, [demand], { now: NOW });
    if (leased.length === 0) break;
    leases.push(...leased);
  }
  return leases;
}

async function complete(leases: readonly Leased[]): Promise<string[]> {
  const outcomes: string[] = [];
  for (let from = 0; from < leases.length; from += 1000) {
    outcomes.push(...(await store.complete(TOPIC, leases.slice(from, from + 1000), ending)).outcomes);
  }
  return outcomes;
}

async function sizes() {
  const shards = await f.redis.keys(`${f.key("shard:")}*`);
  const inShards = await Promise.all(shards.map((key) => f.redis.hlen(key)));
  return {
    unsharded: await f.redis.hlen(f.key("tasks")),
    shards: shards.length,
    sharded: inShards.reduce((sum, size) => sum + size, 0),
    counted: Number(await f.redis.hget(f.key("stats"), "sharded")),
  };
}

const figures = async () => (await store.describe([TOPIC]))[0]?.stats;

const windowShards = async () => (await f.redis.keys(`${f.key("ended:")}*`)).filter((key) => /:ended:\d+:/.test(key));

async function scrub(repair: boolean) {
  const found = [];
  for (let after: string | undefined; ; ) {
    const piece = await store.scrub(TOPIC, {
      ...ending,
      repair,
      limit: 1000,
      ...(after === undefined ? {} : { after }),
    });
    found.push(...piece.problems);
    if (piece.next === undefined) return found;
    after = piece.next;
  }
}

test("what a topic holds beyond some thousands is in shards, and every verb finds it", async () => {
  const tasks = made(7000, 5);
  const ids = tasks.map(({ id }) => id);
  expect((await add(tasks)).every(Boolean)).toBe(true);
  // The batch that found little less than the limit went into the hash as a whole.
  const { shards, ...rest } = await sizes();
  expect(rest).toEqual({ unsharded: 5000, sharded: 2000, counted: 2000 });
  expect([2, 3]).toContain(shards);
  expect((await add(tasks)).some(Boolean), "enqueued again").toBe(false);
  const stats = await figures();
  expect([stats?.ready, stats?.leased, stats?.enqueued]).toEqual([7000, 0, 7000]);
  expect((await store.get(TOPIC, [ids[0] ?? "", ids[6999] ?? ""] as typeof ids)).map((task) => task?.state)).toEqual([
    "ready",
    "ready",
  ]);
  await store.cancel(TOPIC, [ids[6998] ?? ids[0]] as typeof ids, ending);
  const leases = await take(7000);
  expect(leases.map(({ id }) => id)).toEqual(ids.filter((_, n) => n !== 6998));
  expect(new Set(await complete(leases))).toEqual(new Set(["completed"]));
  expect(await sizes()).toEqual({ unsharded: 0, shards: 0, sharded: 0, counted: 0 });
  assertConsistent(await takeSnapshot(store, [TOPIC]));
});

test("a topic whose backlog has shrunk fills its hash again, and both are found", async () => {
  const before = made(6000, 40);
  await add(before);
  await complete(await take(5000));
  expect(await sizes()).toMatchObject({ unsharded: 0, sharded: 1000 });
  const later = made(2000, 40, 60_000).map((task) => ({ ...task, id: `x${task.id}` as typeof task.id }));
  await add(later);
  expect(await sizes()).toMatchObject({ unsharded: 2000, sharded: 1000 });
  expect((await add([...before.slice(5000), ...later])).some(Boolean), "enqueued again").toBe(false);
  const leases = await take(3000);
  expect(leases.map(({ id }) => id)).toEqual([...before.slice(5000), ...later].map(({ id }) => id));
  await complete(leases);
  expect((await figures())?.completedKept).toBe(2000);
  for (let left = 2000; left > 0; )
    left -= (await store.prune(TOPIC, { ...ending, now: NOW + 60_000, limit: 1000 })).pruned;
  expect(await sizes()).toEqual({ unsharded: 0, shards: 0, sharded: 0, counted: 0 });
  expect((await figures())?.bytes).toBe(0);
});

test("tasks that are scheduled, or will be kept, go into shards though nothing waits", async () => {
  await add(made(6000, 5).map((task) => ({ ...task, dueAtMs: NOW + 1000 })));
  expect(await sizes()).toMatchObject({ unsharded: 5000, sharded: 1000 });
  const kept = made(1, 1, 60_000).map((task) => ({ ...task, id: `${task.id}+` as typeof task.id }));
  await add(kept);
  expect(await sizes()).toMatchObject({ unsharded: 5000, sharded: 1001 });
  await store.promote(TOPIC, { now: NOW + 1000, limit: 1000 });
  expect((await take(7000)).length).toBe(1001);
});

test("the bound of a topic counts what is in shards", async () => {
  await add(made(6000, 20));
  const more = made(6001, 20).slice(5999);
  const answer = await store.enqueue(TOPIC, more, { ...unbounded, tasksMax: 6000 });
  expect(answer).toMatchObject({ kind: "full", tasks: 6000 });
});

test("tasks of one moment are in one shard, and those of any ids are somewhere", async () => {
  await add(made(UNSHARDED_MAX, 1000));
  const stray = ["", "~~~~~~~", "ABCDEFG", "......./", "012345"].map((id) => newTask(`id${id}`));
  const oneMoment = made(500, 1000).map((task) => ({ ...task, id: `${task.id}+` as typeof task.id }));
  await add([...oneMoment, ...stray]);
  const held = await Promise.all(
    (await f.redis.keys(`${f.key("shard:")}*`)).map(async (key) => [...(await f.redis.hkeys(key))]),
  );
  expect(held.filter((ids) => ids.some((id) => id.endsWith("+")))).toHaveLength(1);
  expect(
    held
      .flat()
      .filter((id) => id.startsWith("id"))
      .sort(),
  ).toEqual(stray.map(({ id }) => id).sort());
  expect((await add(stray)).some(Boolean), "enqueued again").toBe(false);
});

test("the ids of a large window move into shards, and are remembered and forgotten as before", async () => {
  const tasks = made(3000, 5);
  await add(tasks);
  const leases = await take(3000);
  await complete(leases.slice(0, WINDOW_UNSHARDED_MAX));
  expect(await windowShards()).toEqual([]);
  await complete(leases.slice(WINDOW_UNSHARDED_MAX));
  expect([3, 4]).toContain((await windowShards()).length);
  expect((await add(tasks)).some(Boolean), "enqueued again").toBe(false);
  expect((await add(tasks.slice(1022, 1026))).some(Boolean), "few enqueued again").toBe(false);
  expect(new Set(await complete(leases)), "completed again").toEqual(new Set(["completed"]));
  const someoneElses = leases.slice(0, 5).map((lease) => ({ ...lease, token: "ffffffffffff" as typeof lease.token }));
  expect(new Set(await complete(someoneElses))).toEqual(new Set(["lease_lost"]));
  for (const key of await windowShards()) expect(await f.redis.pttl(key), "it goes by itself").toBeGreaterThan(0);
  await store.prune(TOPIC, { ...ending, now: NOW + 60_000, limit: 1000 });
  expect(await f.redis.keys(`${f.key("ended:")}*`)).toEqual([]);
});

test("a task that lives again is forgotten among many ended ones", async () => {
  const tasks = made(WINDOW_UNSHARDED_MAX + 500, 2, 60_000);
  const ids = tasks.map(({ id }) => id);
  await add(tasks);
  await store.cancel(TOPIC, ids.slice(0, 1000), ending);
  await store.cancel(TOPIC, ids.slice(1000), ending);
  expect(await windowShards()).toEqual([]);
  await add([newTask("another")]);
  await complete(await take(1));
  expect((await windowShards()).length).toBeGreaterThan(1);
  const again = ids.slice(0, 3);
  await store.requeue(TOPIC, { ids: again }, { now: NOW });
  await store.remove(TOPIC, again);
  expect((await add(tasks.slice(3, 9))).some(Boolean), "kept tasks are known").toBe(false);
  expect(await add(tasks.slice(0, 3)), "they are new").toEqual([true, true, true]);
});

test("a scrub finds a wrong count of what is in shards, and records that are in no queue", async () => {
  const tasks = made(5100, 20);
  await add(tasks);
  expect(await scrub(true)).toEqual([]);
  await f.redis.hincrby(f.key("stats"), "sharded", 5);
  expect(await scrub(false)).toMatchObject([{ kind: "wrong_count", detail: "105 tasks in shards, which hold 100" }]);
  expect(await scrub(true)).toMatchObject([{ kind: "wrong_count", repaired: true }]);
  expect(await scrub(true)).toEqual([]);
  const [lost] = (await f.redis.lrangeBuffer(`${f.key("segment:")}5`, -1, -1)) ?? [];
  await f.redis.lrem(`${f.key("segment:")}5`, 1, lost ?? "");
  await f.redis.hincrby(f.key("stats"), "segmented", -1);
  expect(await scrub(true)).toMatchObject([{ kind: "stray_task", id: tasks[5099]?.id, repaired: true }]);
  expect(await scrub(true)).toEqual([]);
  assertConsistent(await takeSnapshot(store, [TOPIC]));
});

test("hashes of many short values are tables, in which Redis need not search from the beginning", async () => {
  const encoding = async (key: string) => f.redis.object("ENCODING", key);
  const leases = `${f.key("leases:")}${session.id}`;
  const window = `${f.key("ended:")}${Math.floor(NOW / ending.endedWindowMs)}`;
  await add(made(300, 20, 60_000));
  const few = await take(10);
  expect(await encoding(leases), "ten leases").not.toBe("hashtable");
  await complete(few);
  expect(await encoding(window), "ten ended ids").not.toBe("hashtable");
  const many = await take(200);
  expect(await encoding(leases), "two hundred leases").toBe("hashtable");
  expect((await store.held(TOPIC, session.id)).length).toBe(200);
  expect((await store.get(TOPIC, [many[31]?.id, many[32]?.id] as never)).map((task) => task?.lease?.token)).toEqual([
    many[31]?.token,
    many[32]?.token,
  ]);
  expect(new Set(await complete(many))).toEqual(new Set(["completed"]));
  expect((await figures())?.completedKept).toBe(210);
  expect(await encoding(window), "two hundred ended ids").toBe("hashtable");
  await add(made(2000, 20).map((task) => ({ ...task, id: `${task.id}+` as typeof task.id })));
  await complete(await take(2090));
  for (const key of await windowShards()) expect(await encoding(key), key).toBe("hashtable");
  await complete(await take(1));
  expect(await scrub(false)).toEqual([]);
});

test("of many holders each may lease, at its epoch only", async () => {
  const sessions = Array.from({ length: 40 }, (_, n) => sessionId(`worker-${n + 2}`));
  for (const id of sessions) await store.openSession(newSession(id, [TOPIC]));
  expect(await f.redis.object("ENCODING", f.key("holders"))).toBe("hashtable");
  await add(made(41, 1));
  const demands = sessions.map((id) => ({ session: { id, epoch: 1 }, limit: 1, bytesMax: 1e9 }));
  const { leased, lostSessions } = await store.lease(TOPIC, demands, { now: NOW });
  expect([leased.map((lease) => lease.session), lostSessions]).toEqual([sessions, []]);
  const later = demands.map((demand) => ({ ...demand, session: { ...demand.session, epoch: 2 } }));
  expect(await store.lease(TOPIC, later, { now: NOW })).toMatchObject({ leased: [], lostSessions: sessions });
});
