/**
 * A broker like that of `taskqueue serve`, with the same flags, whose wall clock
 * can be set: at SIGUSR2 it reads from a file by how many milliseconds it is
 * wrong.
 */
import { readFileSync } from "node:fs";
import { pino } from "pino";
import { type Config, readConfig } from "../../server/config.js";
import { Broker } from "../../server/engine/broker.js";
import { startGrpcServer } from "../../server/grpc/server.js";
import { type Clock, systemClock } from "../../server/lib/clock.js";
import { redisTarget } from "../../server/store/redis/client.js";
import { RedisStore } from "../../server/store/redis/redis-store.js";
import { asked } from "./child.js";

const config = readConfig(flags(process.argv.slice(2)), {});
const log = pino({ level: config.logLevel, base: { broker: config.name } }, pino.destination(2));
const clock = settableClock(process.env.TASKQUEUE_TEST_CLOCK);
const stopped = asked();
if (config.redis === undefined) throw new Error("a broker with a clock of its own needs a store with another one");
const store = new RedisStore({ ...redisTarget(config.redis), namespace: config.namespace, log });
await store.open();
const broker = new Broker({ store, clock, log, options: engineOptions(config) });
await broker.start();
const grpc = await startGrpcServer({ broker, clock, log, address: config.listen.text });
log.info({ address: `127.0.0.1:${grpc.port}` }, "the broker serves");
await stopped;
broker.drain(config.drainTimeoutMs);
await grpc.stop(config.drainTimeoutMs);
await broker.stop();
await store.close();

function flags(args: readonly string[]): Map<string, string> {
  const map = new Map<string, string>();
  for (let i = 0; i < args.length; i += 2) map.set((args[i] ?? "").slice(2), args[i + 1] ?? "");
  return map;
}

function engineOptions(from: Config) {
  const { graceMs, sessionTimeoutMs, heartbeatMs, sweepMs, endedWindowMs, cancelGraceMs } = from;
  return { broker: from.name, graceMs, sessionTimeoutMs, heartbeatMs, sweepMs, endedWindowMs, cancelGraceMs };
}

function settableClock(file: string | undefined): Clock {
  let offsetMs = 0;
  process.on("SIGUSR2", () => {
    offsetMs = file === undefined ? 0 : Number(readFileSync(file, "utf8"));
  });
  return { ...systemClock, now: () => systemClock.now() + offsetMs };
}
