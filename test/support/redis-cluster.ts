/** A Redis Cluster of three primaries on this machine; it ends with the process that started it. */
import { Cluster, Redis } from "ioredis";
import { type RedisOptions, RedisServer } from "./redis.js";
import { until } from "./until.js";

const NODES = 3;
const SLOTS = 16_384;

export interface ClusterNodes {
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  /** As `--redis` takes it. */
  readonly urls: string;
  readonly servers: readonly RedisServer[];
}

let shared: Promise<ClusterNodes> | undefined;

/** The cluster all tests of this test process share. */
export function sharedCluster(): Promise<ClusterNodes> {
  shared ??= startCluster();
  return shared;
}

export async function startCluster({ appendonly }: Pick<RedisOptions, "appendonly"> = {}): Promise<ClusterNodes> {
  const config = { "cluster-enabled": "yes", "cluster-announce-ip": "127.0.0.1", "cluster-node-timeout": "2000" };
  const servers = await Promise.all(Array.from({ length: NODES }, () => RedisServer.start({ appendonly, config })));
  const admins = servers.map(({ url }) => new Redis(url));
  try {
    for (const [index, admin] of admins.entries()) {
      const from = Math.ceil((index * SLOTS) / NODES);
      const to = Math.ceil(((index + 1) * SLOTS) / NODES);
      await admin.cluster("ADDSLOTS", ...Array.from({ length: to - from }, (_, slot) => from + slot));
      await admin.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
    }
    for (const { port } of servers.slice(1)) await admins[0]?.cluster("MEET", "127.0.0.1", port);
    for (const admin of admins) {
      const whole = async () => {
        const info = await admin.cluster("INFO");
        return info.includes("cluster_state:ok") && info.includes(`cluster_known_nodes:${NODES}`);
      };
      // Gossip takes its time when many clusters are started side by side.
      await until("every node knows the whole cluster", whole, { timeoutMs: 30_000 });
    }
  } finally {
    for (const admin of admins) admin.disconnect();
  }
  const nodes = servers.map(({ port }) => ({ host: "127.0.0.1", port }));
  return { nodes, urls: servers.map(({ url }) => url).join(","), servers };
}

/** Removes the keys of a namespace from every node. */
export async function forgetClusterKeys({ nodes }: ClusterNodes, namespace: string): Promise<void> {
  const cluster = new Cluster([...nodes]);
  await cluster.ping();
  for (const node of cluster.nodes("master")) {
    for await (const keys of node.scanStream({ match: `*${namespace}*`, count: 1000 })) {
      for (const key of keys) await node.unlink(key);
    }
  }
  cluster.disconnect();
}
