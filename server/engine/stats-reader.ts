/** Adds up stats: over topics, and over the workers that serve them. Bounded pieces, one after the other. */
import type { TopicName } from "../domain/ids.js";
import { LIMITS } from "../domain/limits.js";
import type { Millis } from "../domain/task.js";
import { COUNTERS, type TopicStats } from "../domain/topic.js";
import type { SessionRecord, TopicRow } from "../store/store.js";
import type { EngineContext } from "./context.js";

const TOPICS_PER_CALL = 100;
const SIZES = ["scheduled", "ready", "leased", "dead", "completedKept", "cancelledKept", "bytes"] as const;

export interface StatsRow extends TopicRow {
  readonly workers: number;
  readonly slots: number;
}

export interface StatsReport {
  readonly atMs: Millis;
  readonly total: TopicStats;
  readonly workers: number;
  readonly slots: number;
  /** The first topics by name, at most `LIMITS.pageSizeMax`. */
  readonly rows: readonly StatsRow[];
}

export class StatsReader {
  readonly #context: EngineContext;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** Of one topic, or of all. */
  async read(topic?: TopicName): Promise<StatsReport> {
    const { now } = this.#context;
    const sessions = await this.#sessions();
    if (topic !== undefined) {
      const [row] = withWorkers(await this.#context.store.describe([topic]), sessions);
      const { stats = emptyStats(), workers = 0, slots = 0 } = row ?? {};
      return { atMs: now(), total: stats, workers, slots, rows: row ? [row] : [] };
    }
    const rows: StatsRow[] = [];
    let total = emptyStats();
    for await (const page of this.#pages()) {
      for (const row of page) total = add(total, row.stats);
      if (rows.length < LIMITS.pageSizeMax) rows.push(...withWorkers(page, sessions));
    }
    const slots = sessions.reduce((sum, session) => sum + session.slots, 0);
    return { atMs: now(), total, workers: sessions.length, slots, rows: rows.slice(0, LIMITS.pageSizeMax) };
  }

  /** Of all topics, in sum. */
  async total(): Promise<TopicStats> {
    let total = emptyStats();
    for await (const page of this.#pages()) for (const row of page) total = add(total, row.stats);
    return total;
  }

  /** Of these topics. */
  async rows(topics: readonly TopicName[]): Promise<readonly StatsRow[]> {
    const sessions = await this.#sessions();
    const rows: StatsRow[] = [];
    for (let from = 0; from < topics.length; from += TOPICS_PER_CALL) {
      const page = await this.#context.store.describe(topics.slice(from, from + TOPICS_PER_CALL));
      rows.push(...withWorkers(page, sessions));
    }
    return rows;
  }

  async *#pages(): AsyncGenerator<readonly TopicRow[]> {
    const { store } = this.#context;
    for (let after: string | undefined; ; ) {
      const page = await store.topics({ limit: TOPICS_PER_CALL, ...(after === undefined ? {} : { after }) });
      if (page.rows.length > 0) yield await store.describe(page.rows);
      if (page.next === undefined) return;
      after = page.next;
    }
  }

  async #sessions(): Promise<readonly SessionRecord[]> {
    const { store } = this.#context;
    const sessions: SessionRecord[] = [];
    for (let after: string | undefined; ; ) {
      const page = await store.sessions({ limit: LIMITS.pageSizeMax, ...(after === undefined ? {} : { after }) });
      sessions.push(...page.rows);
      if (page.next === undefined) return sessions;
      after = page.next;
    }
  }
}

function withWorkers(rows: readonly TopicRow[], sessions: readonly SessionRecord[]): StatsRow[] {
  const serving = new Map<TopicName, { workers: number; slots: number }>();
  for (const session of sessions) {
    for (const { topic, concurrency } of session.subscriptions) {
      const entry = serving.get(topic) ?? { workers: 0, slots: 0 };
      entry.workers++;
      entry.slots += concurrency === 0 ? session.slots : Math.min(concurrency, session.slots);
      serving.set(topic, entry);
    }
  }
  return rows.map((row) => ({ ...row, workers: 0, slots: 0, ...serving.get(row.topic) }));
}

export function emptyStats(): TopicStats {
  return {
    enqueued: 0,
    started: 0,
    retried: 0,
    failed: 0,
    completed: 0,
    released: 0,
    expired: 0,
    cancelled: 0,
    aborted: 0,
    requeued: 0,
    deleted: 0,
    scheduled: 0,
    ready: 0,
    leased: 0,
    dead: 0,
    completedKept: 0,
    cancelledKept: 0,
    bytes: 0,
  };
}

function add(a: TopicStats, b: TopicStats): TopicStats {
  const sum: Record<(typeof COUNTERS)[number] | (typeof SIZES)[number], number> = { ...a };
  for (const key of [...COUNTERS, ...SIZES]) sum[key] = a[key] + b[key];
  return { ...sum, ...earliest("oldestReadyMs", a, b), ...earliest("nextDueMs", a, b) };
}

function earliest<Key extends "oldestReadyMs" | "nextDueMs">(
  key: Key,
  a: TopicStats,
  b: TopicStats,
): { [K in Key]?: number } {
  const least = Math.min(a[key] ?? Number.POSITIVE_INFINITY, b[key] ?? Number.POSITIVE_INFINITY);
  const found: { [K in Key]?: number } = {};
  if (Number.isFinite(least)) found[key] = least;
  return found;
}
