/**
 * Composition: configuration → store → engine → gRPC and HTTP. What `taskqueue
 * serve` starts, and what the simulator starts inside itself.
 */
import { rm } from "node:fs/promises";
import { connect } from "node:net";
import { type Logger, pino } from "pino";
import type { RunningBroker } from "./cli/context.js";
import type { Config, Endpoint } from "./config.js";
import { startHttpServer } from "./console/http.js";
import { TaskqueueError } from "./domain/errors.js";
import { Broker } from "./engine/broker.js";
import { startGrpcServer } from "./grpc/server.js";
import { systemClock } from "./lib/clock.js";
import { logDestination } from "./lib/log-destination.js";
import { Metrics } from "./metrics/registry.js";
import { EmbeddedStore } from "./store/embedded/embedded-store.js";
import { instrumented } from "./store/instrumented.js";
import { redisTarget } from "./store/redis/client.js";
import { RedisStore } from "./store/redis/redis-store.js";
import type { Store } from "./store/store.js";
import { VERSION } from "./version.js";

/** Calls that are under way when a broker stops have this long, after its workers have left. */
const LAST_CALLS_MS = 1_000;

export async function startBroker(config: Config): Promise<RunningBroker> {
  const log = pino({ level: config.logLevel, base: { broker: config.name } }, logDestination(config.logFormat));
  const metrics = new Metrics();
  const store = openableStore(config, log);
  await store.open();
  const undo: (() => Promise<void>)[] = [() => store.close()];
  try {
    const broker = new Broker({
      store: instrumented(store, metrics),
      log,
      options: engineOptions(config),
      onScrubProblem: ({ kind, repaired }) => metrics.scrubProblems.inc({ problem: kind, repaired: String(repaired) }),
    });
    await broker.start();
    undo.push(() => broker.stop());
    const grpc = await listen(config.listen, () =>
      startGrpcServer({ broker, clock: systemClock, log, address: config.listen.text }),
    );
    undo.push(() => grpc.stop(0));
    const http =
      config.http === "off" || config.http.kind !== "tcp" ? undefined : await httpPort(config.http, broker, metrics);
    const address = withPort(config.listen, grpc.port);
    const httpAddress = http && config.http !== "off" ? withPort(config.http, http.port) : undefined;
    log.info({ address, http: httpAddress, store: store.description, version: VERSION }, "the broker serves");
    let stopping: Promise<void> | undefined;
    const stop = async () => {
      log.info({}, "the broker drains");
      broker.drain(config.drainTimeoutMs);
      await untilWorkersLeft(broker, config.drainTimeoutMs);
      await grpc.stop(LAST_CALLS_MS);
      await broker.stop();
      await http?.stop();
      await store.close();
      log.info({}, "the broker stopped");
    };
    return {
      address,
      httpAddress,
      failed: new Promise<never>(() => {}),
      stop: () => (stopping ??= stop()),
    };
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => {});
    throw error;
  }
}

function openableStore(config: Config, log: Logger): Store {
  const { namespace } = config;
  if (config.redis !== undefined) {
    return new RedisStore({ ...redisTarget(config.redis), namespace, allowEviction: config.allowEviction, log });
  }
  return new EmbeddedStore({ dir: config.data, namespace, sync: config.sync, log });
}

function engineOptions(config: Config) {
  const { name: broker, graceMs, sessionTimeoutMs, heartbeatMs, sweepMs } = config;
  const { endedWindowMs, taskBytesMax, cancelGraceMs, events, eventsPerSecond, tasksMax, bytesMax, scrubMs } = config;
  const times = { graceMs, sessionTimeoutMs, heartbeatMs, sweepMs, endedWindowMs, cancelGraceMs };
  return { broker, version: VERSION, taskBytesMax, tasksMax, bytesMax, scrubMs, events, eventsPerSecond, ...times };
}

async function httpPort(endpoint: Endpoint & { kind: "tcp" }, broker: Broker, metrics: Metrics) {
  const { registry } = metrics;
  const text = () => {
    let held = 0;
    for (const session of broker.workers.sessions) held += session.heldCount;
    metrics.workersAttached.set(broker.workers.sessions.size);
    metrics.leasesHeld.set(held);
    metrics.eventsDropped.set(broker.eventsDropped);
    return registry.metrics();
  };
  const { host, port } = endpoint;
  return listen(endpoint, () =>
    startHttpServer({ broker, host, port, metrics: { contentType: registry.contentType, text } }),
  );
}

/** Resolves when no worker that is attached holds anything, so that none is cut off, or when the time is over. */
function untilWorkersLeft(broker: Broker, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const deadline = systemClock.monotonic() + timeoutMs;
    const look = () => {
      const idle = [...broker.workers.sessions].every((session) => session.heldCount === 0);
      if (idle || systemClock.monotonic() >= deadline) resolve();
      else systemClock.after(20, look);
    };
    look();
  });
}

/** Listens, and says clearly why it cannot. */
async function listen<Server>(endpoint: Endpoint, start: () => Promise<Server>): Promise<Server> {
  if (endpoint.kind === "unix") await removeStaleSocket(endpoint.path);
  try {
    return await start();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const why = /EADDRINUSE|address in use/i.test(reason) ? "the address is in use" : reason;
    throw new TaskqueueError("INVALID_ARGUMENT", `cannot listen on ${endpoint.text}: ${why}`, { cause: error });
  }
}

/** A socket file that nobody answers on was left by a process that was killed. */
async function removeStaleSocket(path: string): Promise<void> {
  const alive = await new Promise<boolean>((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
  if (!alive) await rm(path, { force: true });
}

function withPort(endpoint: Endpoint, port: number): string {
  if (endpoint.kind === "unix") return endpoint.text;
  return endpoint.host.includes(":") ? `[${endpoint.host}]:${port}` : `${endpoint.host}:${port}`;
}
