/** What the store does when Redis does not do as it should. */
import { Redis } from "ioredis";
import { expect, test } from "vitest";
import { RedisStore } from "../../server/store/redis/redis-store.js";
import type { Wake } from "../../server/store/store.js";
import { freePort } from "../support/ports.js";
import { TcpProxy } from "../support/proxy.js";
import { RedisServer, redisNamespace, sharedRedis } from "../support/redis.js";
import { NOW, newSession, newTask, newTasks, sessionId, topicName } from "../support/task-factory.js";
import { until } from "../support/until.js";

const TOPIC = topicName("clicks");
const ending = { now: NOW, endedWindowMs: 30_000 };
const unbounded = { ...ending, tasksMax: 0, bytesMax: 0 };

test("it says so when nobody listens there", async () => {
  const store = new RedisStore({ url: `redis://127.0.0.1:${await freePort()}` });
  await expect(store.open()).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
    message: expect.stringContaining("ECONNREFUSED"),
  });
});

test("it says so when the password is wrong, and does not show it", async () => {
  await using server = await RedisServer.start({ password: "right" });
  const store = new RedisStore({ url: server.url.replace("right", "wrong") });
  expect(store.description).not.toContain("wrong");
  await expect(store.open()).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
    message: expect.stringMatching(/WRONGPASS|NOAUTH/),
  });
});

test("it refuses a Redis that would throw tasks away, unless told otherwise", async () => {
  await using server = await RedisServer.start({ config: { maxmemory: "100mb", "maxmemory-policy": "allkeys-lru" } });
  await expect(new RedisStore({ url: server.url }).open()).rejects.toThrow("maxmemory-policy is allkeys-lru");
  const store = new RedisStore({ url: server.url, allowEviction: true });
  await store.open();
  await store.close();
});

test("it refuses a replica", async () => {
  await using server = await RedisServer.start({ config: { replicaof: "127.0.0.1 1" } });
  await expect(new RedisStore({ url: server.url }).open()).rejects.toMatchObject({ code: "STORE_READ_ONLY" });
});

test.each([
  { layout: "6", advice: "docs/operations.md" },
  { layout: "4", advice: "docs/redis.md" },
  { layout: "5-cluster", advice: "is for Redis Cluster" },
])("it refuses a namespace of layout $layout, and says what to do", async ({ layout, advice }) => {
  const { url } = await sharedRedis();
  const namespace = redisNamespace();
  const redis = new Redis(url);
  await redis.set(`{${namespace}}:layout`, layout);
  const opened = new RedisStore({ url, namespace }).open();
  await expect(opened).rejects.toThrow(new RegExp(`has the layout "${layout}".*${advice}`));
  expect(await redis.get(`{${namespace}}:layout`)).toBe(layout);
  redis.disconnect();
});

test.each(["1", "2", "3"])(
  "it takes over a namespace of layout %s, with what waits in it, and marks it as its own",
  async (layout) => {
    const { url } = await sharedRedis();
    const namespace = redisNamespace();
    const redis = new Redis(url);
    const key = (name: string) => `{${namespace}:${TOPIC}}:${name}`;
    const entry = (n: number, id: string) =>
      Buffer.concat([Buffer.from([0x80, 0, 0, 0, 0, 0, 0, 0, 0, n]), Buffer.from(id)]);
    const value = (n: number) => Buffer.concat([entry(n, ""), Buffer.from(`${NOW.toString(36)}\nspec`)]);
    await redis.set(`{${namespace}}:layout`, layout);
    await redis.hset(key("tasks"), { a: value(1), b: value(2) });
    await redis.zadd(key("ready"), 0, entry(1, "a"), 0, entry(2, "b"));
    await redis.hset(key("stats"), { enqueued: 2, bytes: 2 * (value(1).length - 10) });
    const store = new RedisStore({ url, namespace });
    await store.open();
    expect(await redis.get(`{${namespace}}:layout`)).toBe("5");
    await store.openSession(newSession("worker-1", [TOPIC]));
    await store.enqueue(TOPIC, [newTask("c"), newTask("d")], unbounded);
    const demand = { session: { id: sessionId("worker-1"), epoch: 1 }, limit: 3, bytesMax: 9999 };
    const { leased, ready } = await store.lease(TOPIC, [demand], { now: NOW });
    expect([leased.map(({ id }) => id), ready]).toEqual([["a", "b", "c"], 1]);
    expect((await store.scrub(TOPIC, { ...ending, repair: false, limit: 1000 })).problems).toEqual([]);
    redis.disconnect();
    await store.close();
  },
);

test("a namespace with a colon is refused", () => {
  expect(() => new RedisStore({ namespace: "a:b" })).toThrow("namespace");
});

test("it heals after a restart of Redis, with its scripts, and tells those who listen", async () => {
  await using server = await RedisServer.start({ appendonly: "always" });
  const store = new RedisStore({ url: server.url });
  await store.open();
  const wakes: Wake["kind"][] = [];
  store.listen(({ kind }) => wakes.push(kind));
  await store.enqueue(TOPIC, [newTask("a")], unbounded);
  await server.kill();
  await expect(store.enqueue(TOPIC, [newTask("b")], unbounded)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  await server.restart();
  await until("the store serves again", () => store.pulse().catch(() => undefined));
  expect(await store.enqueue(TOPIC, [newTask("a"), newTask("b")], unbounded)).toMatchObject({ created: [false, true] });
  await until("a resync was told", () => wakes.includes("resync"));
  await store.openSession(newSession("worker-1", [TOPIC]));
  wakes.length = 0;
  const demands = [{ session: { id: sessionId("worker-1"), epoch: 1 }, limit: 9, bytesMax: 9999 }];
  expect(await store.lease(TOPIC, demands, { now: NOW })).toMatchObject({ leased: [{ id: "a" }, { id: "b" }] });
  await store.enqueue(TOPIC, [newTask("c")], unbounded);
  await until("wake-ups arrive again", () => wakes.includes("ready"));
  await store.close();
});

test("a call that is not answered fails in time, and the connection is replaced", async () => {
  const server = await sharedRedis();
  await using proxy = await TcpProxy.start(server.port);
  const url = `redis://127.0.0.1:${proxy.port}`;
  const store = new RedisStore({ url, namespace: redisNamespace(), commandTimeoutMs: 100 });
  await store.open();
  proxy.blackhole("down");
  await expect(store.pulse()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE", retryDelayMs: expect.any(Number) });
  proxy.heal();
  await until("the store serves again", () => store.pulse().catch(() => undefined));
  await store.close();
});

test("a full Redis refuses new tasks, and still gives out and takes back those it has", async () => {
  await using server = await RedisServer.start();
  const store = new RedisStore({ url: server.url });
  await store.open();
  await store.openSession(newSession("worker-1", [TOPIC]));
  const tasks = newTasks(40, { spec: Buffer.alloc(10_000), retentionMs: 1000 });
  await store.enqueue(TOPIC, [...tasks, newTask("later", { dueAtMs: NOW + 1 })], unbounded);
  const admin = new Redis(server.url);
  await admin.config("SET", "maxmemory", "1mb");
  await expect(store.enqueue(TOPIC, [newTask("new")], unbounded)).rejects.toMatchObject({ code: "STORE_FULL" });
  await expect(store.pulse()).resolves.toBeDefined();

  const session = { id: sessionId("worker-1"), epoch: 1 };
  const demand = { session, limit: 8, bytesMax: 1_000_000 };
  const { leased } = await store.lease(TOPIC, [demand], { now: NOW });
  expect(leased).toHaveLength(8);
  const [a, b, c, d, ...others] = leased;
  if (!(a && b && c && d)) throw new Error("eight were leased");
  expect(
    await store.complete(TOPIC, [{ ...a, result: Buffer.from("r") }], { ...ending, demands: [demand] }),
  ).toMatchObject({
    outcomes: ["completed"],
  });
  const failures = [b, c].map((lease) => ({
    ...lease,
    error: "e",
    next: { kind: "retry", dueAtMs: NOW + 9 } as const,
  }));
  expect(await store.fail(TOPIC, failures, ending)).toEqual(["retried", "retried"]);
  expect(await store.release(TOPIC, [d], ending)).toEqual(["released"]);
  expect(await store.promote(TOPIC, { now: NOW + 1, limit: 10 })).toMatchObject({ promoted: 1 });
  expect(await store.renewSessions([session], NOW + 60_000)).toEqual(["renewed"]);
  expect((await store.expiredSessions({ now: NOW + 60_000, limit: 9 })).sessions).toHaveLength(1);
  const options = { ...ending, charge: "lost", undelivered: [], lostLeasesMax: 3, error: "", limit: 2 } as const;
  expect(await store.expire(TOPIC, session.id, options)).toMatchObject({ more: true });
  expect((await store.expire(TOPIC, session.id, { ...options, limit: 99 })).more).toBe(false);
  expect(others.length).toBeGreaterThan(0);
  await store.closeSession(session);
  expect(
    await store.remove(
      TOPIC,
      tasks.slice(20).map(({ id }) => id),
    ),
  ).toContainEqual({ kind: "done", externalId: "" });
  admin.disconnect();
  await store.close();
});

test("every script stays within the slot of its topic", async () => {
  await using server = await RedisServer.start({
    config: { "cluster-enabled": "yes", "cluster-announce-ip": "127.0.0.1" },
  });
  const admin = new Redis(server.url);
  await admin.cluster("ADDSLOTS", ...Array.from({ length: 16_384 }, (_, slot) => slot));
  await until("the cluster has all its slots", async () => (await admin.cluster("INFO")).includes("cluster_state:ok"));
  admin.disconnect();
  const store = new RedisStore({ cluster: { nodes: [{ host: "127.0.0.1", port: server.port }] } });
  await store.open();
  const topics = ["a", "b", "c"].map(topicName);
  const wakes: Wake[] = [];
  store.listen((wake) => wakes.push(wake));
  await store.openSession(newSession("worker-1", topics));
  for (const topic of topics) {
    await store.enqueue(topic, newTasks(3, { externalId: "x" }), unbounded);
    const demands = [{ session: { id: sessionId("worker-1"), epoch: 1 }, limit: 2, bytesMax: 9999 }];
    const { leased } = await store.lease(topic, demands, { now: NOW });
    expect((await store.complete(topic, leased, ending)).outcomes).toEqual(["completed", "completed"]);
  }
  expect((await store.topics({ limit: 9 })).rows).toEqual(topics);
  expect((await store.describe(topics)).map(({ stats }) => stats.ready)).toEqual([1, 1, 1]);
  await until("wake-ups arrive", () => wakes.length >= topics.length);
  await store.close();
});
