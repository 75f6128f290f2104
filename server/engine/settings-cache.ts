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

export class SettingsCache {
  readonly #store: Store;
  readonly #settings = new Map<TopicName, TopicSettings>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** The topic's settings; undefined when they have not been read. */
  known(topic: TopicName): TopicSettings | undefined {
    return this.#settings.get(topic);
  }

  /** The topic's settings as far as they are known here. */
  get(topic: TopicName): TopicSettings {
    return this.#settings.get(topic) ?? UNCONFIGURED;
  }

  /** Reads the topic's settings from the store. */
  async refresh(topic: TopicName): Promise<TopicSettings> {
    const [row] = await this.#store.describe([topic]);
    const settings = row?.settings ?? UNCONFIGURED;
    this.#settings.set(topic, settings);
    return settings;
  }

  /** Reads again every topic that is known here. */
  async refreshAll(): Promise<void> {
    const topics = [...this.#settings.keys()];
    for (let from = 0; from < topics.length; from += 100) {
      for (const row of await this.#store.describe(topics.slice(from, from + 100))) {
        this.#settings.set(row.topic, row.settings);
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

  /** Milliseconds one attempt may take; 0 for no limit. */
  timeoutMs(topic: TopicName, head: TaskHead): number {
    return head.timeoutMs ?? this.get(topic).timeoutMs ?? 0;
  }

  lostLeasesMax(topic: TopicName): number {
    return this.get(topic).lostLeasesMax ?? DEFAULTS.lostLeasesMax;
  }
}
