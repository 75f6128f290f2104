/** Runs one script at a time against the shared Redis, with nothing of the store between. */
import { Redis } from "ioredis";
import { Keys, SCOPE_KEYS, TOPIC_KEYS } from "../../server/store/redis/keys.js";
import type { Argument, Reply, Script } from "../../server/store/redis/script.js";
import { get } from "../../server/store/redis/scripts/get.js";
import { redisNamespace, sharedRedis } from "../support/redis.js";
import { topicName } from "../support/task-factory.js";

export const TOPIC = topicName("clicks");

const KEY_NAMES = [...TOPIC_KEYS, ...SCOPE_KEYS];

export class ScriptFixture {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly namespace: string;

  private constructor(redis: Redis, namespace: string) {
    this.redis = redis;
    this.namespace = namespace;
    this.keys = new Keys(namespace);
  }

  static async open(): Promise<ScriptFixture> {
    return new ScriptFixture(new Redis((await sharedRedis()).url), redisNamespace("script"));
  }

  /** One of the topic's keys, or of its scope's. */
  key(name: (typeof KEY_NAMES)[number]): string {
    return this.keys.topic(TOPIC)[KEY_NAMES.indexOf(name)] ?? "";
  }

  /** Runs a script with a call, as the store would. */
  async run<Call, Answer>(script: Script<Call, Answer>, call: Call): Promise<Answer> {
    const [word, ...rest] = await this.raw(script, script.keys(this.keys, call), script.args(call, this.keys));
    return script.reply(String(word), rest, call);
  }

  /** Runs a script with KEYS and ARGV as they are given. */
  async raw(
    script: { readonly source: string },
    keys: readonly string[],
    args: readonly Argument[],
  ): Promise<readonly Reply[]> {
    const reply: unknown = await this.redis.callBuffer("eval", script.source, keys.length, ...keys, ...args);
    return reply as readonly Reply[];
  }

  /** Puts the tasks of a folded topic where all others are. */
  async unfold(): Promise<void> {
    await this.run(get, { topic: TOPIC, ids: [] });
  }

  /** Everything in the namespace, comparable; the counters of hot paths included. */
  async picture(): Promise<Record<string, unknown>> {
    const picture: Record<string, unknown> = {};
    for (const key of (await this.redis.keys(`{${this.namespace}*`)).sort()) picture[key] = await this.#content(key);
    return picture;
  }

  async #content(key: string): Promise<unknown> {
    const type = await this.redis.type(key);
    const name = key.slice(key.indexOf("}") + 2);
    if (type === "hash") return { [name]: hex(await this.redis.hgetallBuffer(key)) };
    if (type === "zset")
      return (await this.redis.zrangeBuffer(key, "0", "-1", "WITHSCORES")).map((item) => item.toString("hex"));
    if (type === "list") return (await this.redis.lrangeBuffer(key, 0, -1)).map((item) => item.toString("hex"));
    return this.redis.get(key);
  }

  [Symbol.dispose](): void {
    this.redis.disconnect();
  }
}

function hex(hash: Record<string, Buffer>): Record<string, string> {
  return Object.fromEntries(Object.entries(hash).map(([field, value]) => [field, value.toString("hex")]));
}
