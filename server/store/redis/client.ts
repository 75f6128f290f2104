/**
 * ioredis clients, all with the settings that the store relies on. The tests of
 * faults are what keeps them right: see the header of connection.ts.
 */
import { Cluster, type ClusterNode, type ClusterOptions, Redis, type RedisOptions } from "ioredis";

export type Client = Redis | Cluster;

/** Where Redis is: one of these. */
export interface Target {
  /** `redis://[user:password@]host:port[/db]`, or `rediss://` for TLS. */
  readonly url?: string | undefined;
  /** ioredis' options, for what a URL cannot say: Sentinel, sockets, certificates. */
  readonly connection?: RedisOptions | undefined;
  /** A client to make copies of; it stays the caller's. */
  readonly client?: Client | undefined;
  readonly cluster?: { readonly nodes: readonly ClusterNode[]; readonly options?: ClusterOptions } | undefined;
}

export interface Timeouts {
  readonly connectTimeout: number;
  readonly commandTimeout?: number;
  readonly socketTimeout?: number;
  readonly blockingTimeout?: number;
  readonly blockingTimeoutGrace?: number;
}

const REDIS_PORT = 6379;
const KEEP_ALIVE_MS = 10_000;
const RECONNECT_MS_MAX = 1_000;

/** A client that is not connected yet, and connects when told to. */
export function createClient(
  { url, connection, client, cluster }: Target,
  timeouts: Timeouts,
  /** Redis refuses writes: whether to connect anew. */
  onReadOnly: () => boolean,
): Client {
  const redisOptions = {
    ...connection,
    ...timeouts,
    keepAlive: KEEP_ALIVE_MS,
    // Nothing is sent twice, and nothing waits for a connection.
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    enableAutoPipelining: false,
    autoResubscribe: false,
    replyMapping: "legacy" as const,
    // After a failover the connection may be to what is a replica now: look the address up again.
    reconnectOnError: (error: Error) => error.message.includes("READONLY") && onReadOnly(),
  } satisfies RedisOptions;
  const options = { ...redisOptions, lazyConnect: true, retryStrategy: reconnectDelayMs } satisfies RedisOptions;
  const clusterOptions = {
    lazyConnect: true,
    enableOfflineQueue: false,
    enableAutoPipelining: false,
    clusterRetryStrategy: reconnectDelayMs,
    redisOptions,
  } satisfies ClusterOptions;
  if (client instanceof Redis) return client.duplicate(options);
  if (client instanceof Cluster) return client.duplicate([], clusterOptions);
  if (cluster !== undefined) {
    const own = { ...cluster.options?.redisOptions, ...redisOptions };
    return new Cluster([...cluster.nodes], { ...cluster.options, ...clusterOptions, redisOptions: own });
  }
  return url === undefined ? new Redis(options) : new Redis(url, options);
}

/** What a list of URLs means: a server, or nodes of a cluster, all of which take the credentials of the first. */
export function redisTarget(urls: readonly string[]): Target {
  const [first = ""] = urls;
  if (urls.length === 1) return { url: first };
  const { protocol, username, password } = new URL(first);
  const nodes = urls.map((url) => {
    const { hostname: host, port } = new URL(url);
    return { host, port: port === "" ? REDIS_PORT : Number(port) };
  });
  const credentials = {
    ...(username === "" ? {} : { username: decodeURIComponent(username) }),
    ...(password === "" ? {} : { password: decodeURIComponent(password) }),
  };
  const redisOptions = { ...credentials, ...(protocol === "rediss:" ? { tls: {} } : {}) };
  return { cluster: { nodes, options: { redisOptions } } };
}

/** For logs, without secrets. */
export function describeTarget({ url, connection, client, cluster }: Target): string {
  if (client instanceof Cluster || cluster !== undefined) return "Redis Cluster";
  const { host, port, path, sentinels, name } = new Redis(url ?? "", {
    ...(client instanceof Redis ? client.options : {}),
    ...connection,
    replyMapping: "legacy",
    lazyConnect: true,
  }).options;
  if (sentinels) return `Redis behind Sentinel, master ${name ?? "unnamed"}`;
  return `Redis at ${path ?? `${host}:${port}`}`;
}

function reconnectDelayMs(times: number): number {
  return Math.min(20 * 2 ** Math.min(times, 10), RECONNECT_MS_MAX);
}
