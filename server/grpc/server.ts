/**
 * The gRPC server: all services on one listener, with the limits and the order
 * of shutdown that keep it from hanging.
 */
import { ServerCredentials } from "@grpc/grpc-js";
import { HealthDefinition } from "@taskqueue/sdk/gen/grpc/health/v1/health.js";
import { ServerReflectionDefinition } from "@taskqueue/sdk/gen/grpc/reflection/v1/reflection.js";
import { ServerReflectionDefinition as ServerReflectionAlphaDefinition } from "@taskqueue/sdk/gen/grpc/reflection/v1alpha/reflection.js";
import { createServer, type Server } from "nice-grpc";
import { LIMITS } from "../domain/limits.js";
import type { Broker } from "../engine/broker.js";
import { type Clock, pause } from "../lib/clock.js";
import type { Log } from "../lib/log.js";
import { adminService } from "./admin-service.js";
import { brokerService } from "./broker-service.js";
import { AdminDefinition, BrokerDefinition, guarded, refuseMalformed, WorkerDefinition } from "./definitions.js";
import { healthService } from "./health-service.js";
import { reflectionService } from "./reflection-service.js";
import { statusMiddleware } from "./status.js";
import { workerService } from "./worker-service.js";

/**
 * Only what half-open connections of producers and watchers hold waits for
 * this; workers are found by the heartbeats.
 */
const KEEPALIVE_MS = 120_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;
const STREAMS_PER_CONNECTION = 1_000;

export interface GrpcServerOptions {
  readonly broker: Broker;
  readonly clock: Clock;
  readonly log: Log;
  /** `host:port` or `unix:/path`. */
  readonly address: string;
}

export interface GrpcServer {
  /** The port it listens on; 0 with a unix socket. */
  readonly port: number;
  /** Lets calls end for at most `timeoutMs`, then ends them. */
  stop(timeoutMs: number): Promise<void>;
}

function buildServer({ broker, clock, log }: GrpcServerOptions): Server {
  const server = createServer({
    "grpc.max_receive_message_length": LIMITS.requestBytesMax + 64 * 1024,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    "grpc.max_concurrent_streams": STREAMS_PER_CONNECTION,
    "grpc.enable_channelz": 0,
  })
    .use(statusMiddleware(log))
    .use(refuseMalformed);
  server.add(BrokerDefinition, brokerService(broker, clock, log));
  server.add(AdminDefinition, adminService(broker));
  server.add(WorkerDefinition, workerService(broker));
  server.add(guarded(HealthDefinition), healthService(broker));
  const reflection = reflectionService();
  server.add(guarded(ServerReflectionDefinition), reflection);
  server.add(guarded(ServerReflectionAlphaDefinition), reflection);
  return server;
}

/** Listens; throws when the address is in use or not to be had. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const server = buildServer(options);
  const port = await server.listen(options.address, ServerCredentials.createInsecure());
  return {
    port,
    async stop(timeoutMs) {
      const timer = new AbortController();
      const forced = pause(options.clock, timeoutMs, timer.signal).then(() => {
        if (!timer.signal.aborted) server.forceShutdown();
      });
      await Promise.race([server.shutdown(), forced]);
      timer.abort();
    },
  };
}
