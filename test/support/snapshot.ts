/**
 * A full picture of a store, taken through its public verbs only: every task of
 * every state, stats and settings per topic, leases as `held` tells them, and
 * sessions. Two stores that were told the same must give equal pictures, and a
 * refused call must not change one.
 *
 * `plain` makes answers comparable: bytes become text, and what is absent,
 * undefined or false by default is left out.
 */
import assert from "node:assert";
import { createHash } from "node:crypto";
import type { SessionId, TopicName } from "../../server/domain/ids.js";
import { TASK_STATES, type TaskState } from "../../server/domain/states.js";
import type { TaskRecord } from "../../server/domain/task.js";
import type { TopicStats } from "../../server/domain/topic.js";
import { encodeRecord } from "../../server/store/record.js";
import type { Leased, Page, SessionRecord, Store, TopicRow } from "../../server/store/store.js";

const BYTES_SHOWN_MAX = 64;

export interface TopicSnapshot extends TopicRow {
  readonly tasks: Readonly<Record<TaskState, readonly TaskRecord[]>>;
  /** By session, then id. */
  readonly held: readonly Leased[];
}

export interface Snapshot {
  readonly topics: readonly TopicSnapshot[];
  readonly sessions: readonly SessionRecord[];
}

/** The rows of all pages. Fails when a page is larger than asked, or pages do not come to an end. */
export async function allPages<Row>(
  read: (query: { readonly after?: string; readonly limit: number }) => Promise<Page<Row>>,
  limit = 1000,
): Promise<Row[]> {
  const rows: Row[] = [];
  const seen = new Set<string>();
  for (let after: string | undefined; ; ) {
    const page = await read(after === undefined ? { limit } : { after, limit });
    assert(page.rows.length <= limit, `a page of ${page.rows.length} rows instead of ${limit}`);
    rows.push(...page.rows);
    if (page.next === undefined) return rows;
    assert(!seen.has(page.next), "the same cursor came twice");
    seen.add(page.next);
    after = page.next;
  }
}

/** `watched`: topics to look at besides those the store names. */
export async function takeSnapshot(store: Store, watched: readonly TopicName[] = [], limit = 1000): Promise<Snapshot> {
  const named = await allPages((query) => store.topics(query));
  const sessions = await allPages((query) => store.sessions(query));
  const names = [...new Set([...named, ...watched])].sort();
  const rows = names.length === 0 ? [] : await store.describe(names);
  const topics: TopicSnapshot[] = [];
  for (const row of rows) {
    const list = (state: TaskState) => allPages((query) => store.list(row.topic, { ...query, state }), limit);
    const tasks = {
      scheduled: await list("scheduled"),
      ready: await list("ready"),
      leased: await list("leased"),
      dead: await list("dead"),
      completed: await list("completed"),
      cancelled: await list("cancelled"),
    };
    const holders = new Set<SessionId>(sessions.map((session) => session.id));
    for (const { lease } of tasks.leased) if (lease !== undefined) holders.add(lease.session);
    const held: Leased[] = [];
    for (const session of [...holders].sort()) held.push(...byId(await store.held(row.topic, session)));
    topics.push({ ...row, tasks, held });
  }
  return { topics, sessions };
}

export function byId<Row extends { readonly id: string }>(rows: readonly Row[]): Row[] {
  return [...rows].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Throws when a topic's figures are not those of its tasks. */
export function assertConsistent(snapshot: Snapshot): void {
  for (const { topic, stats, tasks, held } of snapshot.topics) {
    const all = TASK_STATES.flatMap((state) => tasks[state]);
    for (const state of TASK_STATES) {
      for (const task of tasks[state]) assert.equal(task.state, state, `${topic}: listed as ${state}`);
    }
    assert.equal(new Set(all.map((task) => task.id)).size, all.length, `${topic}: a task is listed twice`);
    const bytes = all.reduce((sum, { head, spec }) => sum + encodeRecord(head, spec).length, 0);
    const { ready, leased, scheduled, dead, completed, cancelled } = tasks;
    const counted: Omit<TopicStats, keyof TopicStats & `${"enqueued" | "started" | "deleted"}`> | object = {
      scheduled: scheduled.length,
      ready: ready.length,
      leased: leased.length,
      dead: dead.length,
      completedKept: completed.length,
      cancelledKept: cancelled.length,
      bytes,
      oldestReadyMs: ready[0]?.head.enqueuedAtMs,
      nextDueMs: scheduled[0]?.dueAtMs,
    };
    const told = Object.fromEntries(Object.entries(stats).filter(([name]) => name in counted));
    assert.deepEqual(plain(told), plain(counted), `${topic}: sizes are not what the lists hold`);
    const settled = stats.completed + stats.retried + stats.failed + stats.released + stats.expired + stats.aborted;
    assert.equal(stats.started, settled + stats.leased, `${topic}: started leases are not accounted for`);
    const leases = held.map(({ id, session, token, leasedAtMs }) => ({ id, lease: { session, token, leasedAtMs } }));
    assert.deepEqual(
      leases,
      leased.map(({ id, lease }) => ({ id, lease })),
      `${topic}: held differs from the list`,
    );
  }
}

/** A copy that compares by what it means. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return bytesText(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(
    ([key, field]) => field !== undefined && !(key === "cancelRequested" && field === false),
  );
  return Object.fromEntries(entries.map(([key, field]) => [key, plain(field)]));
}

function bytesText(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length <= BYTES_SHOWN_MAX) return `bytes ${buffer.toString("latin1")}`;
  return `${bytes.length} bytes, sha1 ${createHash("sha1").update(bytes).digest("hex")}`;
}
