/** BullMQ on a private Redis with the same settings as ours. */
import { Redis } from "ioredis";
import { RedisServer } from "../../support/redis.js";
import { Role } from "../role.js";
import { topicName } from "../roles/body.js";
import type { ProducerConfig } from "../roles/producing.js";
import type { WorkerConfig } from "../roles/working.js";
import type { Counted, System, SystemOptions } from "../system.js";

/**
 * Workers in the process, when many jobs are in flight; they share the
 * concurrency. Of 1, 4 and 20 workers 4 did best.
 */
const WORKERS = 4;
const MANY = 100;

export class BullMq implements System {
  readonly redis: RedisServer;
  readonly #client: Redis;

  private constructor(redis: RedisServer) {
    this.redis = redis;
    this.#client = new Redis(redis.url);
  }

  static async start({ appendonly }: SystemOptions): Promise<BullMq> {
    return new BullMq(await RedisServer.start({ appendonly }));
  }

  get servers(): Counted[] {
    return [{ name: "redis", pid: this.redis.pid }];
  }

  startProducer(config: Omit<ProducerConfig, "target">): Promise<Role> {
    return Role.node("producer", "peers/bullmq/producer.ts", { ...config, target: this.redis.url });
  }

  startWorker(config: Omit<WorkerConfig, "target">): Promise<Role> {
    const workers = config.concurrency >= MANY ? WORKERS : config.workers;
    return Role.node("worker", "peers/bullmq/worker.ts", { ...config, workers, target: this.redis.url });
  }

  async audit(sent: number, waiting = false): Promise<string[]> {
    const key = (name: string) => `bull:${topicName(0)}:${name}`;
    const added = Number(await this.#client.get(key("id")));
    const left = {
      wait: await this.#client.llen(key("wait")),
      active: await this.#client.llen(key("active")),
      delayed: await this.#client.zcard(key("delayed")),
      failed: await this.#client.zcard(key("failed")),
      completed: await this.#client.zcard(key("completed")),
    };
    const total = Object.values(left).reduce((sum, count) => sum + count, 0);
    return [
      ...(added === sent ? [] : [`BullMQ added ${added} jobs instead of ${sent}`]),
      ...(total === (waiting ? sent : 0) ? [] : [`BullMQ has left ${JSON.stringify(left)}`]),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.disconnect();
    await this.redis[Symbol.asyncDispose]();
  }
}
