/**
 * One process with a broker for each mutant, each with a namespace and a port
 * of its own. Prints `<mutant> <address>` for each. Orders: JSON with the URL
 * of a Redis and the mutants' names.
 */
import { Broker } from "../../server/engine/broker.js";
import { startGrpcServer } from "../../server/grpc/server.js";
import { systemClock } from "../../server/lib/clock.js";
import { silentLog } from "../../server/lib/log.js";
import { RedisStore } from "../../server/store/redis/redis-store.js";
import { asked, tellAtWork } from "./child.js";
import { isMutantName, mutated } from "./mutants.js";

const { url, names }: { url: string; names: string[] } = JSON.parse(process.argv[2] ?? "{}");
const stopped = asked();
const options = {
  graceMs: 300,
  sessionTimeoutMs: 1_500,
  heartbeatMs: 300,
  sweepMs: 300,
  cancelGraceMs: 300,
  endedWindowMs: 600_000,
};

const running = await Promise.all(
  names.filter(isMutantName).map(async (name) => {
    const store = mutated(new RedisStore({ url, namespace: name }), name);
    await store.open();
    const broker = new Broker({ store, options: { ...options, broker: name } });
    await broker.start();
    const grpc = await startGrpcServer({ broker, clock: systemClock, log: silentLog, address: "127.0.0.1:0" });
    process.stdout.write(`${name} 127.0.0.1:${grpc.port}\n`);
    return { store, broker, grpc };
  }),
);
tellAtWork();
await stopped;
await Promise.all(
  running.map(async ({ store, broker, grpc }) => {
    await grpc.stop(0);
    await broker.stop();
    await store.close();
  }),
);
process.exit(0);
