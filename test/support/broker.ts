/**
 * A whole broker in this process, on a port of its own: engine and gRPC server
 * over a store, and generated clients that are connected to it. Goes by the
 * system's clock.
 */

import { HealthDefinition } from "@taskqueue/sdk/gen/grpc/health/v1/health.js";
import { AdminServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/admin.js";
import { BrokerServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { WorkerServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/worker.js";
import { type Channel, createChannel, createClient, type Client as NiceClient } from "nice-grpc";
import { Broker } from "../../server/engine/broker.js";
import type { EngineOptions } from "../../server/engine/options.js";
import { type GrpcServer, startGrpcServer } from "../../server/grpc/server.js";
import { systemClock } from "../../server/lib/clock.js";
import type { Log } from "../../server/lib/log.js";
import { EmbeddedStore } from "../../server/store/embedded/embedded-store.js";
import { RiggedStore } from "./rigged-store.js";

const CHANNEL_OPTIONS = { "grpc.max_receive_message_length": -1, "grpc.use_local_subchannel_pool": 1 };

export class TestBroker {
  readonly broker: Broker;
  readonly rig: RiggedStore;
  readonly port: number;
  /** `127.0.0.1:50312`. */
  readonly address: string;
  readonly producer: NiceClient<typeof BrokerServiceDefinition>;
  readonly workers: NiceClient<typeof WorkerServiceDefinition>;
  readonly admin: NiceClient<typeof AdminServiceDefinition>;
  readonly health: NiceClient<typeof HealthDefinition>;
  readonly channel: Channel;
  /** What was logged as an error: bugs, as no test here breaks anything else. */
  readonly errors: readonly string[];
  readonly #store: EmbeddedStore;
  readonly #server: GrpcServer;

  private constructor(broker: Broker, rig: RiggedStore, store: EmbeddedStore, server: GrpcServer, errors: string[]) {
    this.broker = broker;
    this.rig = rig;
    this.#store = store;
    this.#server = server;
    this.errors = errors;
    this.port = server.port;
    this.address = `127.0.0.1:${server.port}`;
    this.channel = createChannel(this.address, undefined, CHANNEL_OPTIONS);
    this.producer = createClient(BrokerServiceDefinition, this.channel);
    this.workers = createClient(WorkerServiceDefinition, this.channel);
    this.admin = createClient(AdminServiceDefinition, this.channel);
    this.health = createClient(HealthDefinition, this.channel);
  }

  static async start(options: Partial<EngineOptions> = {}): Promise<TestBroker> {
    const store = new EmbeddedStore({ dir: ":memory:" });
    await store.open();
    const rig = new RiggedStore(store);
    const errors: string[] = [];
    const log: Log = {
      debug() {},
      info() {},
      warn() {},
      error: (fields, message) => {
        const [cause] = Object.values(fields).filter((field) => field instanceof Error);
        errors.push(`${message}: ${cause?.stack ?? JSON.stringify(fields)}`);
      },
    };
    const broker = new Broker({ store: rig.store, log, options: { broker: "test-broker", ...options } });
    await broker.start();
    const server = await startGrpcServer({ broker, clock: systemClock, log, address: "127.0.0.1:0" });
    return new TestBroker(broker, rig, store, server, errors);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.rig.comeBack();
    this.channel.close();
    await this.#server.stop(0);
    await this.broker.stop();
    await this.#store.close();
  }
}
