/**
 * The settings of the topics this broker works with, as the store last told
 * them. Refreshed when a wake-up says that they changed; a few calls may still
 * go by the old ones. Pausing is not read from here: the store itself enforces
 * it.
 */

import type { TopicName } from "../domain/ids.js";
import { DEFAULTS } from "../domain/limits.js";
import type { Backoff } from "../domain/retry.js";
import type { TaskHead } from "../domain/task.js";
import type { TopicSettings } from "../domain/topic.js";
import type { Store } from "../store/store.js";

const UNCONFIGURED: TopicSettings = { paused: false };

/** What is known of a topic's settings; for those who ask for each task. */
export interface KnownSettings {
  /** Undefined until they were read. */
  readonly latest: TopicSettings | undefined;
}

export class SettingsCache {
  readonly #store: Store;
  readonly #known = new Map<TopicName, { latest: TopicSettings | undefined }>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** The topic's settings, as they will be known from now on. */
  of(topic: TopicName): KnownSettings {
    return this.#of(topic);
  }

  #of(topic: TopicName): { latest: TopicSettings | undefined } {
    let known = this.#known.get(topic);
    if (known === undefined) {
      known = { latest: undefined };
      this.#known.set(topic, known);
    }
    return known;
  }

  /** The topic's settings; undefined when they have not been read. */
  known(topic: TopicName): TopicSettings | undefined {
    return this.#known.get(topic)?.latest;
  }

  /** The topic's settings as far as they are known here. */
  get(topic: TopicName): TopicSettings {
    return this.known(topic) ?? UNCONFIGURED;
  }

  /** Reads the topic's settings from the store. */
  async refresh(topic: TopicName): Promise<TopicSettings> {
    const [row] = await this.#store.describe([topic]);
    const settings = row?.settings ?? UNCONFIGURED;
    this.#of(topic).latest = settings;
    return settings;
  }

  /** Reads again the settings of every topic that were read. */
  async refreshAll(): Promise<void> {
    const topics = [...this.#known].filter(([, { latest }]) => latest !== undefined).map(([topic]) => topic);
    for (let from = 0; from < topics.length; from += 100) {
      for (const row of await this.#store.describe(topics.slice(from, from + 100))) {
        this.#of(row.topic).latest = row.settings;
      }
    }
  }

  retryPolicy(topic: TopicName, head: TaskHead): { numRetries: number; backoff: Backoff } {
    const settings = this.get(topic);
    return {
      numRetries: head.numRetries ?? settings.numRetries ?? DEFAULTS.numRetries,
      backoff: head.backoff ?? settings.backoff ?? DEFAULTS.backoff,
    };
  }

  lostLeasesMax(topic: TopicName): number {
    return this.get(topic).lostLeasesMax ?? DEFAULTS.lostLeasesMax;
  }
}
