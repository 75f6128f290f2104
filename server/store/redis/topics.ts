/** The names of the topics there are. They live in another slot than the topics' tasks. */
import type { TopicName } from "../../domain/ids.js";
import type { Page } from "../store.js";
import { list, topicNames } from "./codec.js";
import type { Connection } from "./connection.js";
import type { Keys } from "./keys.js";

/** How long a name once written is taken to be there. */
const REFRESH_MS = 60_000;
/** More topics than that in use are written again and again. */
const KNOWN_MAX = 100_000;

/** What is known of a topic. */
export interface TopicNote {
  /** When its name was last written; undefined if that is not known. */
  writtenAtMs: number | undefined;
  /** The latest call of the straight way that it had part in, and which of the call's groups is its. */
  call: number;
  rank: number;
}

export class Topics {
  readonly #connection: Connection;
  readonly #keys: Keys;
  readonly #notes = new Map<TopicName, TopicNote>();

  constructor(connection: Connection, keys: Keys) {
    this.#connection = connection;
    this.#keys = keys;
  }

  /** Whether the topic's name is taken to be written. */
  knows(topic: TopicName, now: number): boolean {
    const note = this.#notes.get(topic);
    return note !== undefined && isFresh(note, now);
  }

  note(topic: TopicName): TopicNote {
    const known = this.#notes.get(topic);
    if (known !== undefined) return known;
    if (this.#notes.size >= KNOWN_MAX) this.#notes.clear();
    const note = { writtenAtMs: undefined, call: 0, rank: 0 };
    this.#notes.set(topic, note);
    return note;
  }

  /**
   * Writes a topic's name before anything is stored in the topic, so that no
   * task can be where nobody looks.
   */
  async register(topic: TopicName, now = 0): Promise<void> {
    await this.#connection.command("zadd", [this.#keys.topics, 0, topic]);
    this.note(topic).writtenAtMs = now;
  }

  /** Writes names that were written before again. */
  async refresh(topics: readonly TopicName[], now: number): Promise<void> {
    await this.#connection.command("zadd", [this.#keys.topics, ...topics.flatMap((topic) => [0, topic])]);
    for (const topic of topics) this.note(topic).writtenAtMs = now;
  }

  /** After a loss of the connection: the store may be another one. */
  forget(): void {
    this.#notes.clear();
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

/** Whether the name was written lately: a failover may have lost it since. */
export function isFresh({ writtenAtMs }: TopicNote, now: number): boolean {
  return writtenAtMs !== undefined && Math.abs(now - writtenAtMs) < REFRESH_MS;
}
