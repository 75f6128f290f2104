/**
 * The only place where Redis keys are spelled. docs/redis.md has a row for each.
 *
 * All keys of a topic carry the hash tag `{namespace:topic}`, those of the whole
 * namespace `{namespace}`. What topics have in common is in keys of their *scope*:
 * with Redis Cluster each topic is a scope of its own, and its keys carry the
 * topic's tag, so that every script stays within one slot; otherwise the namespace
 * is one. A namespace has no colon; were it otherwise, a topic of one namespace
 * could be mistaken for a topic of another.
 */
import { invalid } from "../../domain/errors.js";
import type { TopicName } from "../../domain/ids.js";

const NAMESPACE = /^[A-Za-z0-9_.-]{1,64}$/;

/** A topic's keys, in the order in which scripts/fragments/topic.lua names them. */
export const TOPIC_KEYS = [
  "tasks", // hash id -> place and record, unless the topic holds many
  "ready", // zset 0 place and id: the part of the input queue that is sorted
  "segments", // zset number, number: the segments that hold something
  "scheduled", // zset due moment, place and id
  "dead", // zset moment of death, place and id
  "completed", // zset moment of completion, place and id: those that are kept
  "cancelled", // zset moment of cancellation, place and id: those that are kept
  "retention", // zset moment the retention ends, place and id
  "holders", // hash session -> epoch at which it is open, or "-" once it is over
  "meta", // hash id -> failures, lost leases, error
  "cancels", // hash id -> "1": leased tasks that are to be cancelled
  "progress", // hash id -> fraction and message
  "results", // hash id -> result of a completed task that is kept
  "xids", // zset 0 external id, newline, id
  "stats", // hash counter -> number
  "settings", // hash paused, settings
  "leases:", // prefix; hash per session: id -> lease
  "segment:", // prefix; list per segment, place and id: the part of the input queue that is in order of arrival
  "shard:", // prefix; hash per shard: id -> place and record of what is not in `tasks`
] as const;

/** A scope's keys, in the order in which scripts/fragments/topic.lua and scope.lua name them, behind those of a topic. */
export const SCOPE_KEYS = [
  "straight", // hash id, newline, topic -> lease, session, record: what went straight to a worker, of folded topics
  "folded", // hash topic -> its counters, of folded topics; nothing -> the highest token of what went straight
  "takers", // hash session -> epoch at which it takes what goes straight, or "-" once it is over
  "windows", // zset moment a window of ended ids is over, its number
  "ended:", // prefix; hash per window: id, newline, topic -> token; of a large one per shard, named window:shard
] as const;

/** Topics whose keys are kept spelled out, which is 2 KB each. Calls that travel together have no need of them. */
const CACHED_TOPICS_MAX = 1_000;

export class Keys {
  /** The layout's version: what opens a namespace checks it. */
  readonly layout: string;
  /** Names of the topics. */
  readonly topics: string;
  readonly sessions: string;
  readonly sessionStates: string;
  readonly sessionExpiry: string;
  readonly sessionIds: string;
  readonly events: string;
  readonly eventSeq: string;
  readonly watch: string;
  /** Never exists: the pulse deletes it. */
  readonly pulse: string;
  /** The channel of wake-ups. */
  readonly wake: string;
  readonly #namespace: string;
  #topicsAreScopes = false;
  readonly #topics = new Map<TopicName, readonly string[]>();

  constructor(namespace: string) {
    if (!NAMESPACE.test(namespace)) {
      throw invalid("namespace", namespace, "must be 1 to 64 letters, digits and _ . -");
    }
    this.#namespace = namespace;
    const tag = `{${namespace}}`;
    this.layout = `${tag}:layout`;
    this.topics = `${tag}:topics`;
    this.sessions = `${tag}:sessions`;
    this.sessionStates = `${tag}:session-states`;
    this.sessionExpiry = `${tag}:session-expiry`;
    this.sessionIds = `${tag}:session-ids`;
    this.events = `${tag}:events`;
    this.eventSeq = `${tag}:event-seq`;
    this.watch = `${tag}:watch`;
    this.pulse = `${tag}:pulse`;
    this.wake = `${namespace}:wake`;
  }

  /** Told once, before anything else is asked: topics may be on different nodes. */
  separateTopics(): void {
    this.#topicsAreScopes = true;
  }

  /** Whether each topic is a scope of its own, so that no script serves two of them. */
  get topicsAreScopes(): boolean {
    return this.#topicsAreScopes;
  }

  /** Keys that are never there, some of which a cluster has on different nodes. */
  ofManySlots(): readonly string[] {
    return ["a", "b", "c", "d"].map((topic) => `{${this.#namespace}:${topic}}:slot`);
  }

  /** All keys of a topic, and those of its scope, as its scripts take them. */
  topic(topic: TopicName): readonly string[] {
    const cached = this.#topics.get(topic);
    if (cached !== undefined) return cached;
    const keys = [
      ...TOPIC_KEYS.map((name) => this.#topicKey(topic, name)),
      ...SCOPE_KEYS.map((name) => this.#scopeKey(topic, name)),
    ];
    this.#topics.set(topic, keys);
    if (this.#topics.size > CACHED_TOPICS_MAX) {
      const [oldest] = this.#topics.keys();
      if (oldest !== undefined) this.#topics.delete(oldest);
    }
    return keys;
  }

  /** The one of a topic's keys that stands for all of them. */
  tasks(topic: TopicName): string {
    return this.#topicKey(topic, "tasks");
  }

  /**
   * The keys of the scope that a topic belongs to, and what the names of its
   * topics' keys begin with, `%s` standing for the topic where there are several.
   */
  scope(topic: TopicName): readonly string[] {
    const tag = this.#topicsAreScopes ? topic : "%s";
    return [...SCOPE_KEYS.map((name) => this.#scopeKey(topic, name)), `{${this.#namespace}:${tag}}:`];
  }

  /** The one of a scope's keys that stands for all of them. */
  straight(topic: TopicName): string {
    return this.#scopeKey(topic, "straight");
  }

  /** The sessions that serve a topic. */
  holders(topic: TopicName): string {
    return this.#topicKey(topic, "holders");
  }

  /** What a session leased in a topic. */
  leases(topic: TopicName, session: string): string {
    return `${this.#topicKey(topic, "leases:")}${session}`;
  }

  #topicKey(topic: TopicName, name: (typeof TOPIC_KEYS)[number]): string {
    return `{${this.#namespace}:${topic}}:${name}`;
  }

  #scopeKey(topic: TopicName, name: (typeof SCOPE_KEYS)[number]): string {
    return `{${this.#namespace}${this.#topicsAreScopes ? `:${topic}` : ""}}:${name}`;
  }
}
