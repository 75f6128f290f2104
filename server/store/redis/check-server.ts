/**
 * What must be true of a Redis before tasks are trusted to it: that it takes
 * writes, that it throws nothing away, and that the namespace is laid out as
 * this version expects.
 */
import { TaskqueueError } from "../../domain/errors.js";
import type { Log } from "../../lib/log.js";
import { list, text } from "./codec.js";
import type { Connection } from "./connection.js";
import type { Keys } from "./keys.js";
import { pulse } from "./scripts/pulse.js";

/** Rises with every change of keys or values that an older broker would not understand. */
const LAYOUT_VERSION = "5";
/** Behind it where each topic is a scope of its own: what topics have in common is in other keys then. */
const CLUSTER_SUFFIX = "-cluster";
/** The layouts that are taken over as they are: what they have is read as well. */
const LAYOUTS_BEFORE: readonly string[] = ["1", "2", "3"];
/** It had folded topics in other keys, which this version would not find. */
const LAYOUT_OF_FOLDED_TOPICS = "4";

export async function checkServer(
  connection: Connection,
  keys: Keys,
  { allowEviction, log }: { readonly allowEviction: boolean; readonly log: Log },
): Promise<void> {
  await connection.run(pulse, undefined);
  const config = await serverConfig(connection);
  const bounded = Number(config.get("maxmemory") ?? 0) > 0;
  const policy = config.get("maxmemory-policy") ?? "noeviction";
  if (bounded && policy !== "noeviction") {
    const message = `Redis throws data away when it is full (maxmemory-policy is ${policy}): set it to noeviction`;
    if (!allowEviction) throw new TaskqueueError("STORE_UNAVAILABLE", message);
    log.warn({ policy }, `${message}.`);
  }
  if (config.get("appendonly") === "no") {
    log.warn({}, "Redis keeps no append-only file (appendonly is no): a crash of Redis loses tasks.");
  }
  await checkLayout(connection, keys, log);
}

async function serverConfig(connection: Connection): Promise<ReadonlyMap<string, string>> {
  const config = new Map<string, string>();
  // One by one: Redis 6.2 takes a single pattern.
  for (const name of ["maxmemory", "maxmemory-policy", "appendonly"]) {
    const reply = await connection.command("config", ["GET", name]).catch(forbidden);
    const [key, value] = list(reply).map(text);
    if (key !== undefined && value !== undefined) config.set(key, value);
  }
  return config;
}

/** Hosted services often forbid CONFIG; what it would have said is then for their operator to know. */
function forbidden(error: unknown): never[] {
  const refusal = error instanceof TaskqueueError ? error.cause : error;
  if (refusal instanceof Error && /NOPERM|unknown command|unknown subcommand|not allowed/i.test(refusal.message))
    return [];
  throw error;
}

async function checkLayout(connection: Connection, keys: Keys, log: Log): Promise<void> {
  const own = `${LAYOUT_VERSION}${keys.topicsAreScopes ? CLUSTER_SUFFIX : ""}`;
  const reply = await connection.command("get", [keys.layout]);
  if (reply === null) {
    await connection.command("set", [keys.layout, own, "NX"]);
    return;
  }
  const found = text(reply);
  if (found === own) return;
  if (!LAYOUTS_BEFORE.includes(found)) throw new TaskqueueError("STORE_UNAVAILABLE", refusal(found, own));
  log.warn({ layout: found }, `The namespace has the layout ${found}: it gets ${own}.`);
  await connection.command("set", [keys.layout, own]);
}

function refusal(found: string, own: string): string {
  const message = `The namespace has the layout ${JSON.stringify(found)}, and this version knows ${own}`;
  switch (found) {
    case LAYOUT_OF_FOLDED_TOPICS:
      return `${message}: see "The layout's version" in docs/redis.md for how to get from one to the other`;
    case LAYOUT_VERSION:
    case `${LAYOUT_VERSION}${CLUSTER_SUFFIX}`:
      return `${message}, as one of them is for Redis Cluster: see "The layout's version" in docs/redis.md`;
    default:
      return `${message}: see "Upgrade" in docs/operations.md`;
  }
}
