/**
 * A queue of real processes: a store, brokers, workers and producers, with a
 * proxy on every way between them. What fate may do to them is in faults.ts.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Client } from "@taskqueue/sdk";
import { freePort } from "../support/ports.js";
import type { Subprocess } from "../support/process.js";
import { TcpProxy } from "../support/proxy.js";
import { RedisServer } from "../support/redis.js";
import { until } from "../support/until.js";
import { AT_WORK, type ChildOrders, type ProducerOrders, type WorkerOrders } from "./child.js";
import { Recorder } from "./history.js";
import { Member } from "./member.js";
import type { StoreKind } from "./plan.js";
import { fromSource, type Programs } from "./programs.js";
import { LOST_LEASES_MAX, TOPICS } from "./workload.js";

/**
 * `rough`: patience so short that every fault costs leases. `gentle`: patience
 * longer than any fault that spares leases, so that none may be lost.
 * `default`: as brokers are when nobody tells them anything.
 */
export type Timing = "rough" | "gentle" | "default";

const COMMON = ["--sweep", "500ms", "--cancel-grace", "300ms", "--drain-timeout", "1s", "--ended-window", "10m"];
const TIMINGS: Record<Timing, readonly string[]> = {
  rough: [...COMMON, "--grace", "300ms", "--session-timeout", "1500ms", "--heartbeat", "300ms"],
  gentle: [...COMMON, "--grace", "5s", "--session-timeout", "20s", "--heartbeat", "1s"],
  default: [],
};

export interface ClusterOptions {
  /** Of the record and the logs. */
  readonly folder: string;
  readonly seed: number;
  readonly store: StoreKind;
  readonly timing: Timing;
  readonly brokers: number;
  readonly workers: number;
  readonly producers: number;
  /** Of each producer. */
  readonly callsPerSecond: number;
  /** Default: from source. */
  readonly programs?: Programs;
}

export class Cluster implements AsyncDisposable {
  readonly options: ClusterOptions;
  readonly fate: Recorder;
  readonly redis: RedisServer | undefined;
  readonly brokers: readonly Member[];
  readonly workers: readonly Member[];
  readonly producers: readonly Member[];
  /** From each broker to Redis, and from each worker and producer to each broker: by `from>to`. */
  readonly ways = new Map<string, TcpProxy>();
  readonly #ports = new Map<string, number>();
  #client: Client | undefined;

  private constructor(options: ClusterOptions, redis: RedisServer | undefined) {
    this.options = options;
    this.redis = redis;
    this.fate = new Recorder(options.folder, "fate");
    const members = (role: string, count: number, launch: (name: string, life: string) => Promise<Subprocess>) =>
      Array.from({ length: count }, (_, index) => {
        const name = `${role}-${index + 1}`;
        return new Member({ name, folder: options.folder, fate: this.fate, launch: (life) => launch(name, life) });
      });
    this.brokers = members("broker", options.brokers, (name) => this.#launchBroker(name));
    this.workers = members("worker", options.workers, (name, life) => this.#launchWorker(name, life));
    this.producers = members("producer", options.producers, (name, life) => this.#launchProducer(name, life));
  }

  /** Resolves when everything is at work. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const redis = options.store === "redis" ? await RedisServer.start({ appendonly: "everysec" }) : undefined;
    const cluster = new Cluster(options, redis);
    try {
      await cluster.#start();
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const { redis } = this;
    if (redis) {
      for (const { name } of this.brokers) this.ways.set(`${name}>store`, await TcpProxy.start(redis.port));
    }
    await Promise.all(this.brokers.map((broker) => broker.start()));
    for (const { name } of [...this.workers, ...this.producers]) {
      for (const [broker, port] of this.#ports) this.ways.set(`${name}>${broker}`, await TcpProxy.start(port));
    }
    for (const [topic, lostLeasesMax] of Object.entries(LOST_LEASES_MAX)) {
      await this.client.admin.configure(topic, { lostLeasesMax });
    }
    await Promise.all([...this.workers, ...this.producers].map((member) => member.start()));
  }

  get members(): readonly Member[] {
    return [...this.brokers, ...this.workers, ...this.producers];
  }

  member(name: string): Member {
    const member = this.members.find((each) => each.name === name);
    if (!member) throw new Error(`there is no ${name}`);
    return member;
  }

  /** All ways that begin at a process. */
  waysOf(name: string): TcpProxy[] {
    return [...this.ways].filter(([way]) => way.startsWith(`${name}>`)).map(([, proxy]) => proxy);
  }

  /** Resolves when a broker holds the worker's stream. */
  async attached({ life }: Member): Promise<void> {
    await until(`${life} is attached`, async () => {
      const { items } = await this.client.admin.listWorkers({ pageSize: 1_000 }).page();
      return items.some(({ worker, attached }) => worker === life && attached);
    });
  }

  /** Straight to the brokers, past all proxies. */
  get client(): Client {
    this.#client ??= new Client({ address: [...this.#ports.values()].map((port) => `127.0.0.1:${port}`) });
    return this.#client;
  }

  async #launchBroker(name: string): Promise<Subprocess> {
    const port = this.#ports.get(name) ?? (await freePort());
    const store = this.ways.get(`${name}>store`);
    const keeps = store ? ["--redis", `redis://127.0.0.1:${store.port}`] : ["--data", this.#dataFolder()];
    const listens = ["--listen", `127.0.0.1:${port}`, "--http", "off", "--name", name, "--log-format", "json"];
    const args = [...keeps, ...listens, ...TIMINGS[this.options.timing]];
    const hasOwnClock = this.#hasOwnClock(name);
    const clock = { TASKQUEUE_TEST_CLOCK: join(this.options.folder, `${name}.clock`) };
    const broker = hasOwnClock
      ? await this.#programs.child("child-broker", args, { env: clock })
      : await this.#programs.broker(args);
    const [, address] = await atWork(broker, /"address":"127\.0\.0\.1:(\d+)"/);
    this.#ports.set(name, Number(address));
    return broker;
  }

  get #programs(): Programs {
    return this.options.programs ?? fromSource;
  }

  #hasOwnClock(name: string): boolean {
    return this.clocks.includes(name);
  }

  /** The brokers whose clock can be set. */
  get clocks(): readonly string[] {
    return this.options.store === "redis" ? [`broker-${this.options.brokers}`] : [];
  }

  #dataFolder(): string {
    const folder = join(this.options.folder, "data");
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  /** The last one speaks for itself, the others through the SDK. */
  async #launchWorker(name: string, life: string): Promise<Subprocess> {
    const isStubborn = name === `worker-${this.options.workers}`;
    const orders: WorkerOrders = { ...this.#orders(name, life), concurrency: isStubborn ? 4 : 10 };
    return this.#launchChild(isStubborn ? "child-stubborn-worker" : "child-worker", orders);
  }

  async #launchProducer(name: string, life: string): Promise<Subprocess> {
    const { callsPerSecond } = this.options;
    const orders: ProducerOrders = { ...this.#orders(name, life), callsPerSecond, repeated: 0.1, callsMax: 0 };
    return this.#launchChild("child-producer", orders);
  }

  #orders(name: string, life: string): ChildOrders {
    const addresses = this.waysOf(name).map(({ port }) => `127.0.0.1:${port}`);
    const { folder, seed } = this.options;
    return { folder, seed, name: life, queues: [{ queue: "main", addresses }], topics: TOPICS.map(({ name }) => name) };
  }

  async #launchChild(program: string, orders: ChildOrders): Promise<Subprocess> {
    const child = await this.#programs.child(program, [JSON.stringify(orders)]);
    await atWork(child, new RegExp(`^${AT_WORK}$`));
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client?.close();
    await Promise.all(this.members.map((member) => member.kill()));
    await Promise.all([...this.ways.values()].map((way) => way[Symbol.asyncDispose]()));
    await this.redis?.[Symbol.asyncDispose]();
    this.fate.close();
  }
}

/** A process that does not get to work is ended, so that another one can take its place. */
async function atWork(child: Subprocess, line: RegExp): Promise<RegExpExecArray> {
  try {
    return await child.waitForLine(line, { timeoutMs: 30_000 });
  } catch (error) {
    await child.kill();
    throw error;
  }
}
