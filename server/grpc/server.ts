/**
 * The gRPC server: all services on one listener, with the limits and the order
 * of shutdown that keep it from hanging.
 */
import { ServerCredentials } from "@grpc/grpc-js";
import { HealthDefinition } from "@taskqueue/sdk/gen/grpc/health/v1/health.js";
import { ServerReflectionDefinition } from "@taskqueue/sdk/gen/grpc/reflection/v1/reflection.js";
import { ServerReflectionDefinition as ServerReflectionAlphaDefinition } from "@taskqueue/sdk/gen/grpc/reflection/v1alpha/reflection.js";
import { AdminServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/admin.js";
import { BrokerServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { LeaseRequest, RenewSessionRequest, RenewSessionResponse } from "@taskqueue/sdk/gen/taskqueue/v1/worker.js";
import { createServer, type Server } from "nice-grpc";
import type { CallContext } from "nice-grpc-common";
import { LIMITS } from "../domain/limits.js";
import type { Broker } from "../engine/broker.js";
import { type Clock, pause } from "../lib/clock.js";
import type { Log } from "../lib/log.js";
import { adminService } from "./admin-service.js";
import { brokerService } from "./broker-service.js";
import { healthService } from "./health-service.js";
import { encodeLeaseMessage, type LeaseMessage } from "./lease-codec.js";
import { reflectionService } from "./reflection-service.js";
import { statusMiddleware } from "./status.js";
import { toDuration } from "./time.js";
import { lease, sessionId } from "./worker-service.js";
import { errorDetailsServerMiddleware } from "nice-grpc-error-details";

const KEEPALIVE_MS = 30_000;
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

/** The service as generated, but for the one message whose parts are stored encoded. */
const workerServiceDefinition = {
  lease: {
    path: "/taskqueue.v1.WorkerService/Lease",
    requestStream: true,
    responseStream: true,
    requestDeserialize: (bytes: Uint8Array) => LeaseRequest.decode(bytes),
    requestSerialize: (value: LeaseRequest) => LeaseRequest.encode(value).finish(),
    responseDeserialize: (): LeaseMessage => {
      throw new Error("a broker does not read its own responses");
    },
    responseSerialize: encodeLeaseMessage,
    options: {},
  },
  renewSession: {
    path: "/taskqueue.v1.WorkerService/RenewSession",
    requestStream: false,
    responseStream: false,
    requestDeserialize: (bytes: Uint8Array) => RenewSessionRequest.decode(bytes),
    requestSerialize: (value: RenewSessionRequest) => RenewSessionRequest.encode(value).finish(),
    responseDeserialize: (bytes: Uint8Array) => RenewSessionResponse.decode(bytes),
    responseSerialize: (value: RenewSessionResponse) => RenewSessionResponse.encode(value).finish(),
    options: {},
  },
} as const;

function buildServer({ broker, clock, log }: GrpcServerOptions): Server {
  const server = createServer({
    "grpc.max_receive_message_length": LIMITS.requestBytesMax + 64 * 1024,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    "grpc.max_concurrent_streams": STREAMS_PER_CONNECTION,
    "grpc.enable_channelz": 0,
  })
    .use(errorDetailsServerMiddleware)
    .use(statusMiddleware(log));
  server.add(BrokerServiceDefinition, brokerService(broker, clock, log));
  server.add(AdminServiceDefinition, adminService(broker));
  server.add(workerServiceDefinition, {
    lease: (requests: AsyncIterable<LeaseRequest>, context: CallContext) => lease(broker, requests, context),
    async renewSession(request: RenewSessionRequest) {
      const id = sessionId("session_id", request.sessionId);
      const { expiresInMs } = await broker.renewSession(id, request.sessionSecret);
      return { expiresIn: toDuration(expiresInMs) };
    },
  });
  server.add(HealthDefinition, healthService(broker));
  const reflection = reflectionService();
  server.add(ServerReflectionDefinition, reflection);
  server.add(ServerReflectionAlphaDefinition, reflection);
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
