/**
 * The stores that must keep the contract. A new one costs one line here.
 *
 * Each opens in a namespace of its own. `dispose` is told whether the test
 * passed: what a failed one left in Redis is kept for a look at it, which takes
 * a server that outlives the tests: TASKQUEUE_TEST_REDIS names one.
 * TASKQUEUE_TEST_STORES limits the table, such as `model,redis`.
 */
import { Redis } from "ioredis";
import type { Store } from "../../server/store/store.js";
import { ModelStore } from "../differential/model.js";
import { redisNamespace, sharedRedis } from "../support/redis.js";
import { forgetClusterKeys, sharedCluster } from "../support/redis-cluster.js";

export interface OpenedStore {
  readonly store: Store;
  /** For the message of a failure. */
  readonly where: string;
  /** How many it has that send wake-ups of their own. */
  readonly nodes: number;
  dispose(passed: boolean): Promise<void>;
}

const ALL: Readonly<Record<string, () => Promise<OpenedStore>>> = {
  model: () => opened(new ModelStore(), "memory"),
  embedded: openEmbedded,
  redis: () => openRedis(),
  // The same with hashes of many ids in shards, of which usually thousands are needed.
  "redis-sharded": () => openRedis(1),
  "redis-cluster": openRedisCluster,
};

/** A cluster runs the same scripts: it is asked for by name (`make test-cluster`). */
const wanted = process.env.TASKQUEUE_TEST_STORES?.split(",") ?? ["model", "embedded", "redis", "redis-sharded"];
export const STORES = Object.fromEntries(Object.entries(ALL).filter(([name]) => wanted.includes(name)));

async function opened(
  store: Store,
  where: string,
  { nodes = 1, forget }: { readonly nodes?: number; readonly forget?: () => Promise<void> } = {},
): Promise<OpenedStore> {
  await store.open();
  return {
    store,
    where,
    nodes,
    async dispose(passed) {
      await store.close();
      if (passed) await forget?.();
    },
  };
}

async function openEmbedded(): Promise<OpenedStore> {
  const { EmbeddedStore } = await import("../../server/store/embedded/embedded-store.js");
  return opened(new EmbeddedStore({ dir: ":memory:" }), ":memory:");
}

async function openRedis(unshardedMax?: number): Promise<OpenedStore> {
  const { RedisStore } = await import("../../server/store/redis/redis-store.js");
  const url = process.env.TASKQUEUE_TEST_REDIS ?? (await sharedRedis()).url;
  const namespace = redisNamespace("conformance");
  const forget = () => forgetKeys(url, namespace);
  const store = new RedisStore({ url, namespace, unshardedMax });
  return opened(store, `${url} namespace ${namespace}`, { forget });
}

async function openRedisCluster(): Promise<OpenedStore> {
  const { RedisStore } = await import("../../server/store/redis/redis-store.js");
  const cluster = await sharedCluster();
  const namespace = redisNamespace("conformance");
  const store = new RedisStore({ cluster: { nodes: cluster.nodes }, namespace });
  return opened(store, `${cluster.urls} namespace ${namespace}`, {
    nodes: cluster.nodes.length,
    forget: () => forgetClusterKeys(cluster, namespace),
  });
}

async function forgetKeys(url: string, namespace: string): Promise<void> {
  const redis = new Redis(url);
  for await (const keys of redis.scanStream({ match: `*${namespace}*`, count: 1000 })) {
    if (keys.length > 0) await redis.unlink(keys);
  }
  redis.disconnect();
}
