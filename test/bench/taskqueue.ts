/** Our own system: one broker or several, on Redis or on the embedded store. */
import { Client, defineTopic, type Stats } from "@taskqueue/sdk";
import { removeFolder, temporaryFolder } from "../support/guardian.js";
import { RedisServer } from "../support/redis.js";
import { startCluster } from "../support/redis-cluster.js";
import { BrokerProcess } from "./broker.js";
import { Role } from "./role.js";
import type { ProducerConfig } from "./roles/producing.js";
import type { WorkerConfig } from "./roles/working.js";
import type { Counted, System, SystemOptions } from "./system.js";

export type StoreName = "redis" | "redis-cluster" | "embedded";

export interface TaskqueueOptions extends SystemOptions {
  store: StoreName;
  /** With Redis. */
  brokers?: number;
  /** Further arguments of `taskqueue serve`. */
  args?: readonly string[];
}

export class Taskqueue implements System {
  readonly brokers: readonly BrokerProcess[];
  readonly redis: RedisServer | undefined;
  readonly #nodes: readonly RedisServer[];
  /** The embedded store's, or undefined. */
  readonly folder: string | undefined;
  readonly client: Client;
  /** Tasks that wait beyond those of the stage, such as in topics nobody serves. */
  alsoWaiting = 0;
  readonly #profile: string | undefined;

  private constructor(
    options: TaskqueueOptions,
    nodes: readonly RedisServer[],
    folder: string | undefined,
    brokers: readonly BrokerProcess[],
  ) {
    this.redis = nodes.length === 1 ? nodes[0] : undefined;
    this.#nodes = nodes;
    this.folder = folder;
    this.brokers = brokers;
    this.client = new Client({ address: this.addresses });
    this.#profile = options.profile;
  }

  static async start(options: TaskqueueOptions): Promise<Taskqueue> {
    const { store, sync, appendonly, profile, brokers: count = 1, args = [] } = options;
    const nodes = await startRedis(store, appendonly);
    const folder = nodes.length === 0 ? temporaryFolder() : undefined;
    const redis = nodes.map(({ url }) => url).join(",");
    const where = redis === "" ? ["--data", `${folder}/data`, "--sync", sync] : ["--redis", redis];
    const brokers: BrokerProcess[] = [];
    for (let index = 0; index < count; index += 1)
      brokers.push(await BrokerProcess.start([...where, ...args], profile));
    return new Taskqueue(options, nodes, folder, brokers);
  }

  get addresses(): string[] {
    return this.brokers.map(({ address }) => address);
  }

  get servers(): Counted[] {
    return [
      ...this.brokers.map(({ pid }) => ({ name: "broker", pid })),
      ...this.#nodes.map(({ pid }) => ({ name: "redis", pid })),
    ];
  }

  startProducer(config: Omit<ProducerConfig, "target">): Promise<Role> {
    return this.startRole("producer", "roles/producer.ts", { ...config, target: this.addresses.join(",") });
  }

  startWorker(config: Omit<WorkerConfig, "target">): Promise<Role> {
    return this.startRole("worker", "roles/worker.ts", { ...config, target: this.addresses });
  }

  /** Starts any role of ours, with `target` being what the role's config says. */
  startRole(name: string, file: string, config: object): Promise<Role> {
    return Role.node(name, file, config, { profile: this.#profile });
  }

  /** One task in a topic that nobody serves. */
  async enqueueOne(topic: string): Promise<void> {
    await this.client.enqueue(defineTopic(topic), []);
  }

  async audit(sent: number, waiting = false): Promise<string[]> {
    const { stats } = await this.client.stats();
    const done = waiting ? 0 : sent;
    const expected: Partial<Stats> = {
      enqueued: sent + this.alsoWaiting,
      started: done,
      completed: done,
      retried: 0,
      failed: 0,
      released: 0,
      expired: 0,
      inputQueueSize: sent - done + this.alsoWaiting,
      workQueueSize: 0,
      deadQueueSize: 0,
      scheduledSize: 0,
    };
    return Object.entries(expected).flatMap(([name, value]) => {
      const counted = stats[name as keyof Stats];
      return counted === value ? [] : [`stats say ${name} ${counted} instead of ${value}`];
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    for (const broker of this.brokers) await broker[Symbol.asyncDispose]();
    for (const node of this.#nodes) await node[Symbol.asyncDispose]();
    if (this.folder !== undefined) removeFolder(this.folder);
  }
}

async function startRedis(store: StoreName, appendonly: SystemOptions["appendonly"]): Promise<readonly RedisServer[]> {
  if (store === "redis") return [await RedisServer.start({ appendonly })];
  return store === "embedded" ? [] : (await startCluster({ appendonly })).servers;
}
