/** Tasks of any topics that go straight to workers: what is declined, what they leave, and how topics are unfolded. */
import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { TopicName } from "../../server/domain/ids.js";
import { RedisStore } from "../../server/store/redis/redis-store.js";
import type { Leased, NewTask, SessionRef, TopicLeaseRef } from "../../server/store/store.js";
import { RedisServer, redisNamespace, sharedRedis } from "../support/redis.js";
import { forgetClusterKeys, sharedCluster } from "../support/redis-cluster.js";
import { assertConsistent, takeSnapshot } from "../support/snapshot.js";
import {
  FOREIGN_TOKEN,
  NOW,
  newSession,
  newTask,
  newTasks,
  sessionId,
  taskId,
  topicName,
} from "../support/task-factory.js";
import { ScriptFixture, TOPIC } from "./script-fixture.js";

const WINDOW_MS = 30_000;
/** As folded.lua says. */
const STRAIGHT_MAX = 4096;
/** One of their names ends with another, and all with the same letters. */
const TOPICS = ["a", "ba", "b:a", "a-a", "x.a"].map(topicName);
const [A = TOPIC, BA = TOPIC] = TOPICS;
const worker = { id: sessionId("worker-1"), epoch: 1 };
const other = { id: sessionId("worker-2"), epoch: 1 };

let f: ScriptFixture;
let store: RedisStore;
let now: number;

beforeEach(async () => {
  f = await ScriptFixture.open();
  store = new RedisStore({ url: (await sharedRedis()).url, namespace: f.namespace });
  now = NOW;
  await store.open();
  for (const { id } of [worker, other]) await store.openSession(newSession(id, TOPICS));
  // Tasks of a topic whose name nobody has written are declined.
  await nameTopics(store);
});

async function nameTopics(by: RedisStore): Promise<void> {
  for (const topic of TOPICS) await by.configure(topic, { paused: false });
}

afterEach(async () => {
  await store.close();
  for (const key of await f.redis.keys(`*${f.namespace}*`)) await f.redis.unlink(key);
  f[Symbol.dispose]();
});

const ending = () => ({ now, endedWindowMs: WINDOW_MS });

/** Leases, by where the task was in the call; undefined where it was declined. */
function send(topic: TopicName, tasks: readonly NewTask[], taker: SessionRef = worker, options = ending()) {
  const all = tasks.map((task) => ({ ...task, topic }));
  return store.enqueueStraight(all, Array<SessionRef>(all.length).fill(taker), options);
}

async function went(topic: TopicName, tasks: readonly NewTask[], taker = worker): Promise<Leased[]> {
  const leased = (await send(topic, tasks, taker)).filter((lease) => lease !== undefined);
  expect(leased.map(({ id }) => id)).toEqual(tasks.map(({ id }) => id));
  return leased;
}

const refs = (topic: TopicName, leases: readonly Leased[]): TopicLeaseRef[] =>
  leases.map(({ id, session, token }) => ({ id, session, token, topic }));

const finish = (topic: TopicName, leases: readonly Leased[], options = ending()) =>
  store.completeStraight(refs(topic, leases), options);

async function take(topic: TopicName, limit: number) {
  return (await store.lease(topic, [{ session: worker, limit, bytesMax: 1e6 }], { now })).leased;
}

const isFolded = async (topic: TopicName) => (await f.redis.hexists(f.key("folded"), topic)) === 1;
const unfold = (topic: TopicName) => store.get(topic, [taskId("none")]);
const inHand = () => f.redis.hlen(f.key("straight"));
const figures = async (topic: TopicName) => (await store.describe([topic]))[0]?.stats;
const ids = (rows: readonly ({ readonly id: string } | undefined)[]) => rows.map((row) => row?.id);

test("tasks of several topics go straight in one call, and end in one", async () => {
  const tasks = TOPICS.flatMap((topic) => newTasks(3, {}, "t").map((task) => ({ ...task, topic })));
  const mixed = [...tasks.filter((_, i) => i % 2 === 0), ...tasks.filter((_, i) => i % 2 === 1)];
  const takers = mixed.map((_, i) => (i % 3 === 0 ? other : worker));
  const leased = await store.enqueueStraight(mixed, takers, ending());
  for (const [i, lease] of leased.entries()) {
    expect(lease).toMatchObject({ id: mixed[i]?.id, session: takers[i]?.id, leasedAtMs: NOW, failures: 0, bytes: 9 });
  }
  expect(await inHand()).toBe(15);
  for (const topic of TOPICS)
    expect(await figures(topic)).toMatchObject({ enqueued: 3, started: 3, leased: 3, bytes: 27 });
  const leases = leased.flatMap((lease, i) => (lease === undefined ? [] : refs(mixed[i]?.topic ?? A, [lease])));
  const theirs = leases.map((lease) => ({ ...lease, session: lease.session === worker.id ? other.id : worker.id }));
  expect(await store.completeStraight(theirs, ending()), "of other sessions").toEqual(leases.map(() => false));
  const spoilt = leases.map((lease, i) => (i === 4 ? { ...lease, token: FOREIGN_TOKEN } : lease));
  expect(await store.completeStraight(spoilt, ending())).toEqual(leases.map((_, i) => i !== 4));
  expect(await store.completeStraight(leases, ending())).toEqual(leases.map((_, i) => i === 4));
  expect(await inHand()).toBe(0);
  for (const topic of TOPICS) {
    expect(await figures(topic)).toMatchObject({ enqueued: 3, started: 3, completed: 3, leased: 0, bytes: 0 });
  }
  expect((await store.topics({ limit: 9 })).rows).toEqual([...TOPICS].sort());
});

test("what a topic that is unfolded had in hand is found, once, and others keep theirs", async () => {
  const before = newTasks(3, { numRetries: 7 });
  for (const topic of TOPICS) await went(topic, before);
  const sizes = await figures(A);
  await unfold(A);
  expect(await figures(A)).toEqual(sizes);
  expect(await f.redis.hlen(`{${f.namespace}:a}:tasks`)).toBe(3);
  expect(await inHand()).toBe(12);
  expect([await isFolded(A), await isFolded(BA)]).toEqual([false, true]);
  for (const topic of TOPICS) {
    expect(ids(await store.held(topic, worker.id)).sort()).toEqual(ids(before));
    expect((await store.list(topic, { state: "leased", limit: 9 })).rows).toMatchObject(
      before.map(({ id, head }) => ({ id, head, lease: { session: worker.id } })),
    );
  }
  expect(await inHand()).toBe(0);
  assertConsistent(await takeSnapshot(store, TOPICS));
});

test.each(["complete", "fail", "release", "progress"] as const)(
  "a topic is unfolded by %s of one of its tasks, or of all",
  async (verb) => {
    const act = (leases: readonly Leased[]) => {
      if (verb === "complete") return store.complete(A, leases, ending()).then(({ outcomes }) => outcomes);
      if (verb === "release") return store.release(A, leases, ending());
      if (verb === "progress") return store.progress(A, leases);
      const next = { kind: "bury", reason: "do_not_retry" } as const;
      return store.fail(
        A,
        leases.map((lease) => ({ ...lease, error: "", next })),
        ending(),
      );
    };
    const done = { complete: "completed", fail: "buried", release: "released", progress: "held" }[verb];
    await went(BA, newTasks(2));
    const all = [...(await went(A, newTasks(2))), ...(await went(A, newTasks(2, {}, "u"), other))];
    expect(await act(all)).toEqual(all.map(() => done));
    expect(await inHand()).toBe(2);
    assertConsistent(await takeSnapshot(store, [A]));
    const topic = topicName("x.a");
    const [first, ...rest] = await went(topic, newTasks(3));
    if (first !== undefined) await store.progress(topic, [first]);
    expect((await store.complete(topic, rest, ending())).outcomes).toEqual(["completed", "completed"]);
    expect(await figures(topic)).toMatchObject({ leased: 1, completed: 2 });
  },
);

test("tokens rise from lease to lease of a topic, whichever way tasks take", async () => {
  const tokens: string[] = [];
  const note = (leases: readonly Leased[]) => tokens.push(...leases.map(({ token }) => token));
  for (let round = 0; round < 4; round++) {
    const leases = await went(A, newTasks(3, {}, `a${round}`));
    note(leases);
    await went(BA, newTasks(20, {}, `b${round}`));
    await store.release(A, leases, ending());
    for (let again = 0; again < 9; again++) {
      const taken = await take(A, 3);
      note(taken);
      await store.release(A, taken, ending());
    }
    const last = await take(A, 3);
    note(last);
    await store.complete(A, last, ending());
  }
  expect(tokens).toEqual([...new Set(tokens)].sort());
});

test("a task that comes back is at its place, among those that took another way", async () => {
  const first = await went(A, newTasks(2, {}, "first"));
  await store.enqueue(A, newTasks(2, {}, "second"), { ...ending(), tasksMax: 0, bytesMax: 0 });
  const second = await take(A, 2);
  await store.complete(A, second.slice(1), ending());
  await store.release(A, second.slice(0, 1), ending());
  await store.complete(A, await take(A, 1), ending());
  await store.complete(A, first.slice(0, 1), ending());
  const third = await send(A, newTasks(2, {}, "third"));
  expect(third).toEqual([undefined, undefined]);
  await store.release(A, first.slice(1), ending());
  const fourth = await went(A, []);
  expect(fourth).toEqual([]);
  await store.enqueue(A, newTasks(1, {}, "fourth"), { ...ending(), tasksMax: 0, bytesMax: 0 });
  expect(ids(await take(A, 9))).toEqual(["first0001", "fourth0000"]);
});

test("a topic's name that was written long ago is written again, as a failover may have lost it", async () => {
  await finish(A, await went(A, newTasks(1)));
  const names = `{${f.namespace}}:topics`;
  await f.redis.zrem(names, A);
  await went(A, newTasks(1, {}, "soon"));
  expect(await f.redis.zscore(names, A)).toBeNull();
  now += 61_000;
  await went(A, newTasks(1, {}, "later"));
  expect(await f.redis.zscore(names, A)).toBe("0");
});

test("a topic whose name nobody has written has none after its tasks were declined", async () => {
  const topic = topicName("unknown");
  await store.openSession(newSession("worker-3", [topic]));
  const taker = { id: sessionId("worker-3"), epoch: 1 };
  expect(await send(topic, newTasks(1), taker)).toEqual([undefined]);
  expect((await store.topics({ limit: 9 })).rows).not.toContain(topic);
});

test("a session that is not open on the topic, or moved, or is over takes nothing", async () => {
  const stranger = { id: sessionId("worker-3"), epoch: 1 };
  expect(await send(A, newTasks(1), stranger)).toEqual([undefined]);
  await store.openSession(newSession(stranger.id, [BA]));
  expect(await send(A, newTasks(1), stranger)).toEqual([undefined]);
  expect(await send(BA, newTasks(1), { ...stranger, epoch: 2 })).toEqual([undefined]);
  await went(BA, newTasks(1), stranger);

  const elsewhere = new RedisStore({ url: (await sharedRedis()).url, namespace: f.namespace });
  await elsewhere.open();
  await nameTopics(elsewhere);
  const by = { broker: "broker-2", address: "", expiresAtMs: NOW };
  await elsewhere.resumeSession({ id: worker.id, secret: `secret of ${worker.id}` }, by);
  expect(await send(A, newTasks(1))).toEqual([undefined]);
  const [moved] = newTasks(1).map((task) => ({ ...task, topic: A }));
  if (moved === undefined) throw new Error("no task");
  const there = await elsewhere.enqueueStraight([moved], [{ ...worker, epoch: 2 }], ending());
  expect(there).toMatchObject([{ session: worker.id }]);
  await elsewhere.close();

  const expiry = { ...ending(), charge: "none", undelivered: [], lostLeasesMax: 1, error: "", limit: 9 } as const;
  await store.expire(A, other.id, expiry);
  expect(await send(BA, newTasks(1, {}, "u"), other), "on another topic").toEqual([undefined]);
  await store.closeSession(other);
  expect(await send(BA, newTasks(1, {}, "u"), other)).toEqual([undefined]);
  expect(await f.redis.hkeys(f.key("takers"))).toEqual(expect.not.arrayContaining([other.id]));
});

test("a session that came back takes tasks though its old stream is detached late", async () => {
  const by = { broker: "broker-1", address: "", expiresAtMs: NOW };
  await store.resumeSession({ id: worker.id, secret: `secret of ${worker.id}` }, by);
  await store.detachSession(worker, NOW, []);
  await store.closeSession(worker);
  expect(await store.renewSessions([worker], NOW)).toEqual(["lost"]);
  expect(await send(A, newTasks(1), { ...worker, epoch: 2 })).toMatchObject([{ session: worker.id }]);
});

test("an epoch that fell behind is refused by Redis, whoever asks", async () => {
  await f.redis.hset(f.key("takers"), worker.id, "2");
  expect(await send(A, newTasks(1))).toEqual([undefined]);
  expect(await send(A, newTasks(1), other)).toMatchObject([{ session: other.id }]);
});

test("many sessions may take what goes straight, each at its epoch", async () => {
  const many = Array.from({ length: 40 }, (_, n) => ({ id: sessionId(`many-${n}`), epoch: 1 }));
  for (const { id } of many) await store.openSession(newSession(id, [A]));
  expect(await f.redis.object("ENCODING", f.key("takers"))).toBe("hashtable");
  const tasks = newTasks(40).map((task) => ({ ...task, topic: A }));
  const leased = await store.enqueueStraight(tasks, many, ending());
  expect(leased.map((lease) => lease?.session)).toEqual(many.map(({ id }) => id));
  const later = many.map((session) => ({ ...session, epoch: 2 }));
  expect(await store.enqueueStraight(tasks, later, ending())).toEqual(tasks.map(() => undefined));
});

test("an id that is known is declined, with what comes behind it in its topic", async () => {
  const leases = await went(A, [newTask("in-hand"), newTask("straight")]);
  await finish(A, leases.slice(1));
  await went(BA, [newTask("in-hand"), newTask("straight")]);
  let tries = 0;
  const tryBetween = async (id: string) => {
    tries += 1;
    return (await send(A, [newTask(`before-${tries}`), newTask(id), newTask(`behind-${tries}`)])).map(Boolean);
  };
  expect(await tryBetween("in-hand"), "in hand").toEqual([true, false, false]);
  expect(await tryBetween("straight"), "ended straight").toEqual([true, false, false]);
  const [ordinary] = await went(A, [newTask("ordinary")]);
  if (ordinary !== undefined) await store.complete(A, [ordinary], ending());
  const released = (await store.held(A, worker.id)).slice(0, 1);
  await store.release(A, released, ending());
  await store.cancel(
    A,
    released.map(({ id }) => id),
    ending(),
  );
  await store.complete(A, await store.held(A, worker.id), ending());
  expect(await tryBetween("ordinary"), "completed").toEqual([true, false, false]);
  expect(await tryBetween(released[0]?.id ?? ""), "cancelled").toEqual([true, false, false]);
  const twice = await send(A, [newTask("one"), newTask("two"), newTask("one"), newTask("three")]);
  expect(twice.map(Boolean), "twice in a call").toEqual([true, true, false, false]);
});

test.each(["kept", "dead", "scheduled"])("an id that is %s is declined, and others go straight", async (state) => {
  const overrides = state === "kept" ? { retentionMs: 9 * WINDOW_MS } : {};
  const demands = [{ session: worker, limit: 1, bytesMax: 99 }];
  const answer = await store.enqueue(A, [newTask("x", overrides)], { ...ending(), tasksMax: 0, bytesMax: 0, demands });
  const leases = answer.kind === "enqueued" ? answer.leased : [];
  const next =
    state === "dead"
      ? ({ kind: "bury", reason: "do_not_retry" } as const)
      : ({ kind: "retry", dueAtMs: NOW + 1e6 } as const);
  if (state === "kept") await store.complete(A, leases, ending());
  else
    await store.fail(
      A,
      leases.map((lease) => ({ ...lease, error: "", next })),
      ending(),
    );
  now += 3 * WINDOW_MS;
  expect((await send(A, [newTask("y"), newTask("x"), newTask("z")])).map(Boolean)).toEqual([true, false, false]);
  expect(await isFolded(A)).toBe(true);
  expect(await figures(A)).toMatchObject({ leased: 1 });
  assertConsistent(await takeSnapshot(store, [A]));
});

test("an id may go straight again when its window is over, and at once where none is kept", async () => {
  await finish(A, await went(A, [newTask("x")]));
  for (const passed of [0, WINDOW_MS]) {
    now = NOW + passed;
    expect(await send(A, [newTask("x")])).toEqual([undefined]);
  }
  now = NOW + 2 * WINDOW_MS;
  await finish(A, await went(A, [newTask("x")]));
  const nothing = { now, endedWindowMs: 0 };
  expect(await send(BA, [newTask("x")], worker, nothing)).toMatchObject([{ id: "x" }]);
  expect(await finish(BA, await store.held(BA, worker.id), nothing), "unfolded").toEqual([false]);
  const leases = (await send(topicName("x.a"), [newTask("x")], worker, nothing)).filter((lease) => lease !== undefined);
  expect(await finish(topicName("x.a"), leases, nothing)).toEqual([true]);
  expect(await send(topicName("x.a"), [newTask("x")], worker, nothing)).toMatchObject([{ id: "x" }]);
});

test("tasks that are not plain are declined", async () => {
  const odd: NewTask[] = [
    newTask("priority", { priority: 1 }),
    newTask("delayed", { dueAtMs: NOW + 1 }),
    newTask("external", { externalId: "x" }),
    newTask("kept", { retentionMs: 1 }),
    newTask("large", { spec: "x".repeat(9_000) }),
  ];
  for (const task of odd) expect(await send(A, [task])).toEqual([undefined]);
  await went(A, [newTask("retries", { numRetries: 3, timeoutMs: 5 }), newTask("due", { dueAtMs: NOW })]);
  await unfold(A);
  expect(await store.get(A, [taskId("retries")])).toMatchObject([{ head: { numRetries: 3, timeoutMs: 5 } }]);
  const lease = await f.redis.hget(f.keys.leases(A, worker.id), "retries");
  expect(lease?.trimEnd().slice(-8), "the fields of the record's line").toBe("\tr=3\tt=5");
});

test("where tasks wait, or are leased another way, or the topic is paused, nothing goes straight", async () => {
  const enqueue = (tasks: NewTask[]) => store.enqueue(A, tasks, { ...ending(), tasksMax: 0, bytesMax: 0 });
  await enqueue([newTask("waits", { priority: -1 })]);
  expect(await send(A, newTasks(1))).toEqual([undefined]);
  const leases = await take(A, 1);
  expect(await send(A, newTasks(1))).toEqual([undefined]);
  await store.complete(A, leases, ending());
  await store.configure(A, { paused: true });
  expect(await send(A, newTasks(1))).toEqual([undefined]);
  await store.configure(A, { paused: false });
  const [lease] = await went(A, newTasks(1));
  await store.configure(A, { paused: true });
  expect(await finish(A, lease === undefined ? [] : [lease]), "unfolded").toEqual([false]);
});

test("a state names what went straight while that is little, and nothing that ended before", async () => {
  const names = async () => (await f.redis.hgetBuffer(f.key("folded"), A))?.subarray(21).toString();
  const size = () => f.redis.hstrlen(f.key("folded"), A);
  for (const id of ["one", "two"]) {
    const leases = await went(A, [newTask(id)]);
    expect(await names()).toBe(`${id}\na`);
    await finish(A, leases);
    expect(await size()).toBe(21);
  }
  const first = await went(A, [newTask("x")]);
  await went(A, [newTask("y")]);
  await finish(A, first);
  expect(await names()).toBe("x\na\ny\na");
  await went(A, newTasks(40));
  expect(await size()).toBe(22);
  await store.complete(A, await store.held(A, worker.id), ending());
  expect(await figures(A)).toMatchObject({ completed: 44, leased: 0 });
});

test("what a state fails to name is looked for", async () => {
  await went(A, newTasks(2));
  const state = (await f.redis.hgetBuffer(f.key("folded"), A)) ?? Buffer.alloc(0);
  await f.redis.hset(f.key("folded"), A, state.subarray(0, 21));
  expect(ids(await store.held(A, worker.id)).sort()).toEqual(["t0000", "t0001"]);
});

test("no more go straight than can be looked through, and all of those are found", async () => {
  const all: Leased[] = [];
  for (let n = 0; n < 4; n++) all.push(...(await went(A, newTasks(1000, { spec: "x".repeat(80) }, `m${n}-`))));
  await went(BA, newTasks(50));
  const last = await send(A, newTasks(60, {}, "z"));
  expect(last.map(Boolean)).toEqual(last.map((_, i) => i < STRAIGHT_MAX - 4050));
  expect(await send(BA, newTasks(1, {}, "z"))).toEqual([undefined]);
  const before = await figures(A);
  await unfold(A);
  expect(await figures(A)).toEqual(before);
  expect(await inHand()).toBe(50);
  for (let n = 0; n < 4; n++) {
    const { outcomes } = await store.complete(A, all.slice(1000 * n, 1000 * (n + 1)), ending());
    expect(new Set(outcomes)).toEqual(new Set(["completed"]));
  }
  expect(await figures(A)).toMatchObject({ leased: 46, completed: 4000 });
});

test("hundreds of them, through all forms that a window has", async () => {
  const made = (n: number) => newTask(`${(NOW + 25 * n).toString(36)}${String(n).padStart(6, "0")}`);
  for (let n = 0; n < 1_200; n += 4) {
    const topic = TOPICS[(n / 4) % TOPICS.length] ?? A;
    await finish(topic, await went(topic, [made(n), made(n + 1), made(n + 2), made(n + 3)]));
  }
  const window = `${f.key("ended:")}${Math.floor(NOW / WINDOW_MS)}`;
  expect(await f.redis.hkeys(window), "its shards have them").toEqual([""]);
  for (const n of [0, 7, 1_000, 1_199]) {
    const topic = TOPICS[Math.floor(n / 4) % TOPICS.length] ?? A;
    expect(await send(topic, [made(n)])).toEqual([undefined]);
    const answer = await store.enqueue(topic, [made(n)], { ...ending(), tasksMax: 0, bytesMax: 0 });
    expect(answer).toMatchObject({ created: [false] });
  }
  await went(BA, [made(0)]);
  await store.prune(topicName("x.a"), { ...ending(), now: now + 3 * WINDOW_MS, limit: 9 });
  expect(await f.redis.keys(`${f.key("ended:")}*`), "forgotten by whichever topic").toEqual([]);
  expect(await isFolded(BA)).toBe(true);
});

test("a full Redis takes no tasks, and lets those that it has end", async () => {
  await using server = await RedisServer.start();
  const full = new RedisStore({ url: server.url, namespace: "full" });
  const redis = new Redis(server.url);
  await full.open();
  await nameTopics(full);
  await full.openSession(newSession(worker.id, [A, BA]));
  const tasks = (prefix: string) => [A, BA].map((topic) => ({ ...newTask(`${prefix}-${topic}`), topic }));
  const first = await full.enqueueStraight(tasks("first"), [worker, worker], ending());
  await redis.config("SET", "maxmemory", "1");
  await expect(full.enqueueStraight(tasks("second"), [worker, worker], ending())).rejects.toMatchObject({
    code: "STORE_FULL",
  });
  const leases = first.flatMap((lease, i) => (lease === undefined ? [] : refs(i === 0 ? A : BA, [lease])));
  expect(await full.completeStraight(leases.slice(0, 1), ending())).toEqual([true]);
  expect((await full.complete(BA, leases.slice(1), ending())).outcomes).toEqual(["completed"]);
  redis.disconnect();
  await full.close();
});

test("a scrub finds what went straight in a topic that is not folded, and puts it right", async () => {
  const leases = await went(A, newTasks(3));
  await f.redis.hdel(f.key("folded"), A);
  const scrub = async (repair: boolean) => (await store.scrub(A, { ...ending(), repair, limit: 1_000 })).problems;
  expect(await finish(A, leases)).toEqual([false, false, false]);
  const found = leases.map(({ id }) => expect.objectContaining({ kind: "stray_task", id, repaired: false }));
  expect(await scrub(false)).toEqual(expect.arrayContaining(found));
  expect(await inHand()).toBe(3);
  await scrub(true);
  await scrub(true);
  expect(await scrub(true)).toEqual([]);
  expect(ids(await store.held(A, worker.id)).sort()).toEqual(["t0000", "t0001", "t0002"]);
  assertConsistent(await takeSnapshot(store, [A]));

  await went(BA, newTasks(1));
  await f.redis.hdel(f.key("folded"), BA);
  await store.enqueue(BA, newTasks(1), { ...ending(), tasksMax: 0, bytesMax: 0 });
  const problems = (await store.scrub(BA, { ...ending(), repair: true, limit: 1_000 })).problems;
  expect(problems).toMatchObject([{ kind: "two_states", id: "t0000", repaired: true }]);
  expect(await figures(BA)).toMatchObject({ ready: 1, leased: 0 });
});

test("with Redis Cluster each topic is a scope of its own", async () => {
  const cluster = await sharedCluster();
  const namespace = redisNamespace("straight");
  const apart = new RedisStore({ cluster: { nodes: cluster.nodes }, namespace });
  await apart.open();
  await nameTopics(apart);
  await apart.openSession(newSession(worker.id, TOPICS));
  const tasks = [...newTasks(2), ...newTasks(1, { priority: 1 }, "u")].flatMap((task) =>
    TOPICS.map((topic) => ({ ...task, topic })),
  );
  const takers = tasks.map(() => worker);
  const leased = await apart.enqueueStraight(tasks, takers, ending());
  expect(leased.map(Boolean)).toEqual(tasks.map(({ head }) => head.priority === 0));
  const leases = leased.flatMap((lease, i) => (lease === undefined ? [] : refs(tasks[i]?.topic ?? A, [lease])));
  expect(await apart.completeStraight(leases.slice(0, 7), ending())).toEqual(Array(7).fill(true));
  assertConsistent(await takeSnapshot(apart, TOPICS));
  await apart.close();
  await forgetClusterKeys(cluster, namespace);
});
