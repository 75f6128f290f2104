/** asynq, through a small Go program that plays both roles (peers/asynq). */
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { RedisServer } from "../../support/redis.js";
import { Role } from "../role.js";
import type { ProducerConfig } from "../roles/producing.js";
import type { WorkerConfig } from "../roles/working.js";
import type { Counted, System, SystemOptions } from "../system.js";

const PROGRAM = fileURLToPath(new URL("asynq/asynq", import.meta.url));

export class Asynq implements System {
  readonly redis: RedisServer;
  readonly #client: Redis;

  private constructor(redis: RedisServer) {
    this.redis = redis;
    this.#client = new Redis(redis.url);
  }

  static async start({ appendonly }: SystemOptions): Promise<Asynq> {
    return new Asynq(await RedisServer.start({ appendonly }));
  }

  get servers(): Counted[] {
    return [{ name: "redis", pid: this.redis.pid }];
  }

  startProducer(config: Omit<ProducerConfig, "target">): Promise<Role> {
    return this.#start("producer", config);
  }

  startWorker(config: Omit<WorkerConfig, "target">): Promise<Role> {
    return this.#start("worker", config);
  }

  async audit(sent: number, waiting = false): Promise<string[]> {
    const key = (name: string) => `asynq:{default}:${name}`;
    const left = {
      pending: await this.#client.llen(key("pending")),
      active: await this.#client.llen(key("active")),
      scheduled: await this.#client.zcard(key("scheduled")),
      retry: await this.#client.zcard(key("retry")),
      archived: await this.#client.zcard(key("archived")),
      completed: await this.#client.zcard(key("completed")),
    };
    const total = Object.values(left).reduce((sum, count) => sum + count, 0);
    const processed = Number(await this.#client.get(key("processed")));
    const done = waiting ? 0 : sent;
    return [
      ...(processed === done ? [] : [`asynq processed ${processed} tasks instead of ${done}`]),
      ...(total === sent - done ? [] : [`asynq has left ${JSON.stringify(left)}`]),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.disconnect();
    await this.redis[Symbol.asyncDispose]();
  }

  #start(role: "producer" | "worker", config: object): Promise<Role> {
    const address = `127.0.0.1:${this.redis.port}`;
    return Role.start(role, PROGRAM, [role, JSON.stringify({ ...config, target: address })]);
  }
}
