/** How each fault is done to a cluster, and undone. */
import { readdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { pause, systemClock } from "../../server/lib/clock.js";
import type { TcpProxy } from "../support/proxy.js";
import type { RedisServer } from "../support/redis.js";
import type { Cluster } from "./cluster.js";
import { monotonicUs } from "./history.js";
import type { Member } from "./member.js";
import type { FaultName, PlannedFault } from "./plan.js";

type Lift = () => Promise<void> | void;

interface Deed {
  /** Milliseconds before its beginning whose stored changes it may undo. */
  readonly forgetsMs?: number;
  /** When it began, if later than the attempt to. */
  readonly sinceUs?: number;
  readonly lift: Lift;
}

type Doing = (cluster: Cluster, planned: PlannedFault) => Promise<Deed> | Deed;

/** While a sync is under way Redis may hold writes back for so long, having answered them already. */
const POSTPONED_WRITES_MS = 2_000;

const NOTHING: Lift = () => {};

const kill: Doing = async (cluster, { target }) => {
  const member = cluster.member(target);
  await member.kill();
  return { lift: () => member.start() };
};

const restart: Doing = async (cluster, { target }) => {
  const member = cluster.member(target);
  // A worker that cannot take its leave loses what it holds.
  if (cluster.options.timing === "gentle" && cluster.workers.includes(member)) await cluster.attached(member);
  await member.stop();
  return { lift: () => member.start() };
};

const freeze: Doing = (cluster, { target }) => {
  const member = cluster.member(target);
  member.freeze();
  return { lift: () => member.thaw() };
};

function onWays(
  inject: (way: TcpProxy, planned: PlannedFault) => void,
  lift: (way: TcpProxy, planned: PlannedFault) => void,
): Doing {
  return (cluster, planned) => {
    const ways = cluster.waysOf(planned.target);
    for (const way of ways) inject(way, planned);
    return {
      lift: () => {
        for (const way of ways) lift(way, planned);
      },
    };
  };
}

const cut = onWays(
  (way) => way.cut(),
  () => {},
);
const partition = onWays(
  (way) => way.refuse(),
  (way) => way.heal(),
);
const halfOpen = onWays(
  (way, { direction }) => way.blackhole(direction),
  (way, { ending }) => {
    if (ending === "cut") way.cut();
    way.heal();
  },
);
const latency = onWays(
  (way, { amountMs }) => way.latency(amountMs),
  (way) => way.latency(0),
);

function onRedis(deed: (redis: RedisServer, cluster: Cluster, planned: PlannedFault) => Promise<Deed> | Deed): Doing {
  return (cluster, planned) => {
    if (!cluster.redis) throw new Error("there is no Redis in this cluster");
    return deed(cluster.redis, cluster, planned);
  };
}

export const DEEDS: Readonly<Record<FaultName, Doing>> = {
  "broker-kill": kill,
  "broker-restart": restart,
  "broker-freeze": freeze,
  "broker-coma": freeze,
  "broker-clock": (cluster, { target, amountMs }) => {
    setClock(cluster, target, amountMs);
    return { lift: () => setClock(cluster, target, 0) };
  },
  "worker-kill": kill,
  "worker-restart": restart,
  "worker-freeze": freeze,
  "worker-coma": freeze,
  "producer-kill": kill,
  "producer-freeze": freeze,
  "worker-cut": cut,
  "worker-partition": partition,
  "worker-half-open": halfOpen,
  "worker-latency": latency,
  "producer-cut": cut,
  "producer-half-open": halfOpen,
  "producer-latency": latency,
  "store-cut": cut,
  "store-partition": partition,
  "store-half-open": halfOpen,
  "store-latency": latency,
  "redis-kill": onRedis(async (redis) => {
    await redis.kill();
    return { forgetsMs: POSTPONED_WRITES_MS, lift: () => redis.restart() };
  }),
  "redis-restart": onRedis(async (redis) => {
    await redis.stop();
    return { lift: () => redis.restart() };
  }),
  "redis-freeze": onRedis((redis) => {
    redis.pause();
    return { lift: () => redis.resume() };
  }),
  "redis-forget": onRedis(async (redis, _, { amountMs }) => {
    const sinceUs = await forget(redis, amountMs);
    return { sinceUs, forgetsMs: POSTPONED_WRITES_MS + amountMs, lift: () => redis.restart() };
  }),
  "redis-script-flush": onRedis(async (redis) => {
    await withClient(redis, (client) => client.script("FLUSH"));
    return { lift: NOTHING };
  }),
  "redis-full": onRedis(async (redis) => {
    await withClient(redis, async (client) => {
      const used = /^used_memory:(\d+)/m.exec(await client.info("memory"))?.[1];
      await client.config("SET", "maxmemory", String(Math.floor(Number(used) * 0.8)));
    });
    return {
      lift: async () => {
        await withClient(redis, (client) => client.config("SET", "maxmemory", "0"));
      },
    };
  }),
};

/** Carries out one fault from its beginning to its end, and records both. Skips a target that is not up. */
export async function inject(cluster: Cluster, planned: PlannedFault): Promise<void> {
  const { fault, number, target } = planned;
  const member: Member | undefined = cluster.members.find(({ name }) => name === target);
  if (member && !member.isUp) return;
  const askedUs = monotonicUs();
  const { lift, forgetsMs = 0, sinceUs = askedUs } = await DEEDS[fault](cluster, planned);
  cluster.fate.record({ kind: "fault:injected", fault, number, targets: [target], sinceUs, forgetsMs }, "*");
  await pause(systemClock, planned.forMs);
  await lift();
  cluster.fate.record({ kind: "fault:lifted", fault, number }, "*");
}

function setClock(cluster: Cluster, broker: string, offsetMs: number): void {
  writeFileSync(join(cluster.options.folder, `${broker}.clock`), String(offsetMs));
  cluster.member(broker).signal("SIGUSR2");
}

/**
 * Kills Redis and takes the end of its append-only file away: what was written
 * in the last milliseconds, as if it had not reached the disk when the power
 * went. Returns when it went.
 */
async function forget(redis: RedisServer, forMs: number): Promise<number> {
  const [, dir = ""] = await withClient(redis, (client) => client.config("GET", "dir"));
  const file = appendOnlyFile(dir);
  const { size } = statSync(file);
  await pause(systemClock, forMs);
  const killedUs = monotonicUs();
  await redis.kill();
  truncateSync(file, size);
  return killedUs;
}

function appendOnlyFile(dir: string): string {
  const files = readdirSync(dir, { recursive: true, encoding: "utf8" }).filter(
    (name) => /\.aof$/.test(name) && !/base/.test(name),
  );
  const newest = files.sort().at(-1);
  if (newest === undefined) throw new Error(`there is no append-only file in ${dir}`);
  return join(dir, newest);
}

async function withClient<Answer>(redis: RedisServer, call: (client: Redis) => Promise<Answer>): Promise<Answer> {
  const client = new Redis(redis.url, { lazyConnect: true, retryStrategy: null, commandTimeout: 10_000 });
  client.on("error", () => {});
  try {
    await client.connect();
    return await call(client);
  } finally {
    client.disconnect();
  }
}
