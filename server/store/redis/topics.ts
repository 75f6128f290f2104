/** The names of the topics there are. They live in another slot than the topics' tasks. */
import type { TopicName } from "../../domain/ids.js";
import type { Page } from "../store.js";
import { list, topicNames } from "./codec.js";
import type { Connection } from "./connection.js";
import type { Keys } from "./keys.js";

/** How long a name once written is taken to be there: a failover may lose it. */
const REFRESH_MS = 60_000;
/** More topics than that in use are written again and again. */
const KNOWN_MAX = 100_000;

export class Topics {
  readonly #connection: Connection;
  readonly #keys: Keys;
  /** When each name was last written. */
  readonly #known = new Map<TopicName, number>();

  constructor(connection: Connection, keys: Keys) {
    this.#connection = connection;
    this.#keys = keys;
  }

  /** Whether the topic's name is taken to be written. */
  knows(topic: TopicName, now: number): boolean {
    const writtenAtMs = this.#known.get(topic);
    return writtenAtMs !== undefined && Math.abs(now - writtenAtMs) < REFRESH_MS;
  }

  /**
   * Writes a topic's name before anything is stored in the topic, so that no
   * task can be where nobody looks. With `now` it is known from then on.
   */
  async register(topic: TopicName, now?: number): Promise<void> {
    await this.#connection.command("zadd", [this.#keys.topics, 0, topic]);
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    if (now !== undefined) this.#known.set(topic, now);
  }

  /** The same for several, with which it goes on. */
  async registerAll(topics: readonly TopicName[], now: number): Promise<void> {
    await this.#connection.command("zadd", [this.#keys.topics, ...topics.flatMap((topic) => [0, topic])]);
    if (this.#known.size + topics.length >= KNOWN_MAX) this.#known.clear();
    for (const topic of topics) this.#known.set(topic, now);
  }

  /** After a loss of the connection: the store may be another one. */
  forget(): void {
    this.#known.clear();
  }

  async page({ after, limit }: { readonly after?: string; readonly limit: number }): Promise<Page<TopicName>> {
    const from = after === undefined ? "-" : `(${after}`;
    const reply = await this.#connection.command("zrangebylex", [this.#keys.topics, from, "+", "LIMIT", 0, limit + 1]);
    const names = topicNames(list(reply));
    const rows = names.slice(0, limit);
    const last = rows.at(-1);
    return { rows, ...(names.length > limit && last !== undefined ? { next: last } : {}) };
  }
}
