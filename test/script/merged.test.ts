/** Calls of many topics that travel as one. */
import { Redis } from "ioredis";
import { expect, test } from "vitest";
import type { LeaseToken, TopicName } from "../../server/domain/ids.js";
import { text } from "../../server/store/redis/codec.js";
import { mergedScript, packCalls, repliesOf } from "../../server/store/redis/merged-script.js";
import { RedisStore } from "../../server/store/redis/redis-store.js";
import type { Reply } from "../../server/store/redis/script.js";
import { enqueue, enqueueCall } from "../../server/store/redis/scripts/enqueue.js";
import { hold } from "../../server/store/redis/scripts/hold.js";
import { lease } from "../../server/store/redis/scripts/lease.js";
import type { Demand, NewTask } from "../../server/store/store.js";
import { RedisServer, redisNamespace, sharedRedis } from "../support/redis.js";
import { forgetClusterKeys, sharedCluster } from "../support/redis-cluster.js";
import { NOW, newSession, newTask, newTasks, sessionId, taskId, topicName } from "../support/task-factory.js";
import { until } from "../support/until.js";
import { ScriptFixture, TOPIC } from "./script-fixture.js";

const SESSION = sessionId("worker-1");
const ending = { now: NOW, endedWindowMs: 30_000 };
const unbounded = { ...ending, tasksMax: 0, bytesMax: 0 };
const demands: Demand[] = [{ session: { id: SESSION, epoch: 1 }, limit: 3, bytesMax: 9_999 }];
const TOPICS = Array.from({ length: 100 }, (_, index) => topicName(`t${index}`));
const ref = (id: string, token: LeaseToken | undefined) => ({
  id: taskId(id),
  session: SESSION,
  token: token ?? ("" as LeaseToken),
});

/** A store on a Redis of its own, with a second client to look at it. */
async function open(options: { config?: Record<string, string>; commandTimeoutMs?: number } = {}) {
  const server = await RedisServer.start(options.config === undefined ? {} : { config: options.config });
  const { commandTimeoutMs = 2_000 } = options;
  const store = new RedisStore({ url: server.url, namespace: "merged", commandTimeoutMs });
  const redis = new Redis(server.url);
  if (options.config?.["cluster-enabled"] === "yes") {
    await redis.cluster("ADDSLOTS", ...Array.from({ length: 16_384 }, (_, slot) => slot));
    await until("the node serves all slots", async () => (await redis.cluster("INFO")).includes("cluster_state:ok"));
  }
  await store.open();
  return {
    store,
    redis,
    /** How many scripts Redis ran since it was asked last. */
    async scripts() {
      const stats = await redis.info("commandstats");
      await redis.config("RESETSTAT");
      return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
    },
    async [Symbol.asyncDispose]() {
      await store.close();
      redis.disconnect();
      await server[Symbol.asyncDispose]();
    },
  };
}

test("calls of a turn are few scripts, and each gets its own answer", async () => {
  await using rig = await open();
  const { store } = rig;
  const enqueueAll = (tasksOf: (topic: TopicName) => NewTask[]) =>
    Promise.all(TOPICS.map((topic) => store.enqueue(topic, tasksOf(topic), unbounded)));
  await enqueueAll(() => [newTask("first")]);
  await rig.scripts();
  const answers = await enqueueAll((topic) => [newTask("first"), newTask(`of-${topic}`)]);
  expect(await rig.scripts()).toBe(2);
  expect(answers).toEqual(TOPICS.map(() => expect.objectContaining({ created: [false, true], ready: 2 })));
  const records = await Promise.all(TOPICS.map((topic) => store.get(topic, [taskId(`of-${topic}`)])));
  expect(records.map(([record]) => record?.id)).toEqual(TOPICS.map((topic) => `of-${topic}`));
});

test.each([
  { spec: 10, form: "one string" },
  { spec: 10_000, form: "lists" },
])("answers of tasks of $spec bytes come as $form", async ({ spec, form }) => {
  using f = await ScriptFixture.open();
  const topics = TOPICS.slice(0, 3);
  for (const topic of topics) {
    await f.run(hold, { topic, session: { id: SESSION, epoch: 1 }, why: "open" });
    await f.run(enqueue, enqueueCall({ topic, ...unbounded, tasks: [newTask("x", { spec: "x".repeat(spec) })] }));
  }
  const calls = topics.map((topic) => ({ args: lease.args({ topic, demands, now: NOW }, f.keys) }));
  const keys = [f.keys.straight(TOPIC), ...topics.map((topic) => f.keys.tasks(topic))];
  const reply: unknown = await f.raw(mergedScript("lease"), keys, [packCalls(calls)]);
  expect(Buffer.isBuffer(reply)).toBe(form === "one string");
  const answers = repliesOf(reply as Reply).map((answer) => (answer as Reply[]).slice(5, 6).map(text));
  expect(answers).toEqual(topics.map(() => ["x"]));
});

test.each([
  { what: "few tasks", tasks: newTasks(32), script: mergedScript("enqueue") },
  { what: "many tasks", tasks: newTasks(33), script: enqueue },
  { what: "a large task", tasks: [newTask("x", { spec: "x".repeat(9_000) })], script: enqueue },
])("a call that is alone and about $what is carried out by one script", async ({ tasks, script }) => {
  await using rig = await open();
  await rig.store.enqueue(topicName("a"), tasks, unbounded);
  const shas = [mergedScript("enqueue").sha, enqueue.sha];
  const known = (await rig.redis.script("EXISTS", ...shas)) as number[];
  expect(shas.filter((_, i) => known[i] === 1)).toEqual([script.sha]);
  expect(await rig.redis.hlen("{merged:a}:tasks")).toBe(tasks.length);
});

test("scripts that Redis forgot are given to it again", async () => {
  await using rig = await open();
  const enqueueAll = (id: string) =>
    Promise.all(TOPICS.map((topic) => rig.store.enqueue(topic, [newTask(id)], unbounded)));
  await enqueueAll("x");
  await rig.redis.script("FLUSH");
  expect(await enqueueAll("y")).toEqual(TOPICS.map(() => expect.objectContaining({ created: [true], ready: 2 })));
});

test("a call that fails fails alone", async () => {
  await using rig = await open();
  const [spoilt, ...whole] = TOPICS;
  await rig.redis.set(`{merged:${spoilt}}:tasks`, "not a hash");
  const outcomes = await Promise.allSettled(TOPICS.map((topic) => rig.store.enqueue(topic, [newTask("x")], unbounded)));
  expect(outcomes[0]).toMatchObject({ status: "rejected", reason: { message: expect.stringContaining("WRONGTYPE") } });
  expect(outcomes.slice(1)).toEqual(whole.map(() => expect.objectContaining({ status: "fulfilled" })));
  expect(await rig.redis.hlen(`{merged:${whole.at(-1)}}:tasks`)).toBe(1);
});

test("what Redis has no memory for is refused to each call, and repeats are answered", async () => {
  await using rig = await open();
  const [known, ...others] = TOPICS;
  await Promise.all(TOPICS.map((topic) => rig.store.enqueue(topic, [newTask("x")], unbounded)));
  await rig.redis.config("SET", "maxmemory", "1");
  const outcomes = await Promise.allSettled(
    TOPICS.map((topic) => rig.store.enqueue(topic, [newTask(topic === known ? "x" : "y")], unbounded)),
  );
  expect(outcomes[0]).toMatchObject({ status: "fulfilled", value: { created: [false] } });
  for (const outcome of outcomes.slice(1)) expect(outcome).toMatchObject({ reason: { code: "STORE_FULL" } });
  await rig.redis.config("SET", "maxmemory", "0");
  expect(await rig.redis.hlen(`{merged:${others[0]}}:tasks`)).toBe(1);
});

test("an answer that does not come fails all calls that wait for it", async () => {
  await using rig = await open({ commandTimeoutMs: 100 });
  await Promise.all(TOPICS.map((topic) => rig.store.enqueue(topic, [newTask("x")], unbounded)));
  await rig.redis.call("CLIENT", "PAUSE", "1000", "ALL");
  const outcomes = await Promise.allSettled(TOPICS.map((topic) => rig.store.enqueue(topic, [newTask("y")], unbounded)));
  expect(outcomes).toEqual(
    TOPICS.map(() => expect.objectContaining({ reason: expect.objectContaining({ code: "STORE_UNAVAILABLE" }) })),
  );
});

test("what is asked next of a topic does not overtake a call that waits for others", async () => {
  await using rig = await open();
  const { store } = rig;
  const [a, b] = [topicName("a"), topicName("b")];
  await store.openSession(newSession(SESSION, [a, b]));
  const lease = (topic: TopicName) => store.lease(topic, demands, { now: NOW });
  // Redis knows all scripts from here on.
  await Promise.all([lease(a), lease(b), store.purge(a, "ready", 9)]);
  await Promise.all([a, b].map((topic) => store.enqueue(topic, [newTask("x")], unbounded)));
  const [{ leased }, , { deleted }] = await Promise.all([lease(a), lease(b), store.purge(a, "ready", 9)]);
  expect(leased.map(({ id }) => id)).toEqual(["x"]);
  expect(deleted).toBe(0);
});

test("a store that is closed in the turn of a call answers it first", async () => {
  await using rig = await open();
  const pending = Promise.all(["a", "b"].map((name) => rig.store.describe([topicName(name)])));
  await rig.store.close();
  expect(await pending).toMatchObject([[{ topic: "a" }], [{ topic: "b" }]]);
});

test("Redis Cluster, where topics are on different nodes, is sent call by call", async () => {
  const cluster = await sharedCluster();
  const namespace = redisNamespace("merged");
  const store = new RedisStore({ cluster: { nodes: cluster.nodes }, namespace });
  await store.open();
  const answers = await Promise.all(TOPICS.map((topic) => store.enqueue(topic, [newTask("x")], unbounded)));
  expect(answers).toEqual(TOPICS.map(() => expect.objectContaining({ created: [true] })));
  await store.close();
  await forgetClusterKeys(cluster, namespace);
});

test("a cluster behind one address is sent call by call, and each topic is a scope of its own", async () => {
  await using rig = await open({ config: { "cluster-enabled": "yes" } });
  const enqueueAll = () =>
    Promise.all(TOPICS.map((topic) => rig.store.enqueue(topic, [newTask("x"), newTask("y")], unbounded)));
  expect(await enqueueAll()).toEqual(TOPICS.map(() => expect.objectContaining({ created: [true, true] })));
  await rig.scripts();
  await enqueueAll();
  expect(await rig.scripts()).toBe(TOPICS.length);
  const topics = ["a", "b"].map(topicName);
  for (const topic of topics) await rig.store.configure(topic, { paused: false });
  await rig.store.openSession(newSession(SESSION, topics));
  const tasks = topics.map((topic) => ({ ...newTask("x"), topic }));
  const takers = topics.map(() => ({ id: SESSION, epoch: 1 }));
  expect(await rig.store.enqueueStraight(tasks, takers, ending)).toMatchObject([{ id: "x" }, { id: "x" }]);
  expect(await rig.redis.hlen("{merged:b}:straight")).toBe(1);
});

test("what travels together is carried out as it would be alone", async () => {
  using fixture = await ScriptFixture.open();
  const store = new RedisStore({ url: (await sharedRedis()).url, namespace: fixture.namespace });
  await store.open();
  const [alone, ...together] = ["alone", "one", "two"].map(topicName) as [TopicName, TopicName, TopicName];
  await store.openSession(newSession(SESSION, [alone, ...together]));
  /** The same call on each topic, first by itself and then with another; gives the answer that they all got. */
  const each = async <Answer>(call: (topic: TopicName) => Promise<Answer>): Promise<Answer> => {
    const expected = await call(alone);
    for (const answer of await Promise.all(together.map(call))) expect(answer).toEqual(expected);
    return expected;
  };
  const later = { now: NOW + 60_000, endedWindowMs: 30_000 };
  const tasks = [
    newTask("kept", { retentionMs: 1_000, externalId: "Zoë" }),
    newTask("urgent", { priority: -1 }),
    newTask("due", { dueAtMs: NOW + 1_000 }),
    ...newTasks(6),
  ];
  await each((topic) => store.enqueue(topic, tasks, unbounded));
  await each((topic) => store.enqueue(topic, tasks.slice(0, 2), { ...unbounded, tasksMax: 1 }));
  await each((topic) => store.enqueue(topic, [newTask("too-many")], { ...unbounded, tasksMax: 1 }));
  const { leased } = await each((topic) => store.lease(topic, demands, { now: NOW }));
  expect(leased.map(({ id }) => id)).toEqual(["urgent", "kept", "t0000"]);
  const tokens = new Map(leased.map(({ id, token }) => [String(id), token]));
  const held = (id: string) => ref(id, tokens.get(id));
  await each((topic) => store.progress(topic, [{ ...held("t0000"), progress: { fraction: 0.5, message: "half" } }]));
  const completions = [{ ...held("kept"), result: Buffer.from("42") }];
  await each((topic) => store.complete(topic, completions, { ...ending, demands }));
  await each((topic) => store.complete(topic, completions, ending));
  await each((topic) => store.release(topic, [held("t0000"), held("kept")], ending));
  const failure = { ...held("urgent"), error: "no", next: { kind: "bury", reason: "retries_exhausted" } } as const;
  await each((topic) => store.fail(topic, [failure], ending));
  await each((topic) => store.fail(topic, [failure], ending));
  await each((topic) => store.promote(topic, { now: NOW + 2_000, limit: 9 }));
  await each((topic) => store.prune(topic, { ...later, limit: 9 }));
  await each(async (topic) => (await store.describe([topic])).map((row) => ({ ...row, topic: "" })));
  const stored: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(await fixture.picture())) {
    stored[key.replace(/:(alone|one|two)\}/, (_, topic) => `:${topic}}`)] = value;
  }
  const of = (topic: TopicName) =>
    Object.entries(stored).flatMap(([key, value]) => (key.includes(`:${topic}}`) ? [[key.split("}")[1], value]] : []));
  for (const topic of together) expect(of(topic)).toEqual(of(alone));
  expect(of(alone).length).toBeGreaterThan(5);
  await store.close();
});
