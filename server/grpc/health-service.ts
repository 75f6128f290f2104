/** grpc.health.v1: SERVING while the broker takes work, NOT_SERVING while its store is away or it drains. */
import {
  type HealthServiceImplementation,
  HealthCheckResponse_ServingStatus as Serving,
} from "@taskqueue/sdk/gen/grpc/health/v1/health.js";
import { type CallContext, ServerError, Status } from "nice-grpc-common";
import type { Broker } from "../engine/broker.js";

const SERVICES = ["", "taskqueue.v1.BrokerService", "taskqueue.v1.WorkerService", "taskqueue.v1.AdminService"];

export function healthService(broker: Broker): HealthServiceImplementation {
  const status = (service: string) => {
    if (!SERVICES.includes(service)) return Serving.SERVICE_UNKNOWN;
    return broker.health === "serving" ? Serving.SERVING : Serving.NOT_SERVING;
  };
  return {
    async check({ service }) {
      const now = status(service);
      if (now === Serving.SERVICE_UNKNOWN) throw new ServerError(Status.NOT_FOUND, `unknown service ${service}`);
      return { status: now };
    },

    async list() {
      return { statuses: Object.fromEntries(SERVICES.map((service) => [service, { status: status(service) }])) };
    },

    async *watch({ service }, context) {
      let told: Serving | undefined;
      while (!context.signal.aborted) {
        const now = status(service);
        if (now !== told) {
          told = now;
          yield { status: now };
        }
        if (broker.health === "stopped") return;
        await change(broker, context, () => status(service) !== told);
      }
    },
  };
}

function change(broker: Broker, context: CallContext, already: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      unlisten();
      context.signal.removeEventListener("abort", finish);
      resolve();
    };
    const unlisten = broker.onHealth(finish);
    context.signal.addEventListener("abort", finish);
    if (already() || context.signal.aborted) finish();
  });
}
