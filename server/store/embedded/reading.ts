/** get, list, topics, describe: what is there, changing nothing. */
import { createHash } from "node:crypto";
import { invalid } from "../../domain/errors.js";
import type { TaskId, TopicName } from "../../domain/ids.js";
import type { TaskState } from "../../domain/states.js";
import type { TaskRecord } from "../../domain/task.js";
import type { TopicStats } from "../../domain/topic.js";
import { decodeRecord } from "../record.js";
import type { ListQuery, Page, TopicRow } from "../store.js";
import { loadBeginning, loadContent } from "./blobs.js";
import { deadReasonOf, decodeBody, decodeProgress, idAfter, STATE, topicNameOf } from "./body-codec.js";
import { firstDue } from "./change.js";
import type { Table, Tables } from "./database.js";
import { bound, externalKey, parkedBounds, successor, textKey, topicBounds } from "./keys.js";
import { type Found, findTask } from "./moves.js";
import type { TopicState, Topics } from "./topic-state.js";

interface Place {
  readonly tables: Tables;
  readonly topic: TopicState;
}

export function get(place: Place, ids: readonly TaskId[]): (TaskRecord | undefined)[] {
  return ids.map((id) => {
    const found = findTask(place, id);
    return found === undefined ? undefined : recordOf(place, found);
  });
}

function recordOf({ tables, topic }: Place, found: Found): TaskRecord {
  const { state, body } = found;
  const { id, failures, lostLeases, error, momentMs } = body;
  const { head, spec } = decodeRecord(loadContent(tables, topic, body.record));
  const text = error === undefined ? "" : loadContent(tables, topic, error).toString();
  const common = { id, head, spec, state, failures, lostLeases, error: text };
  switch (state) {
    case "ready":
      return common;
    case "scheduled":
      return { ...common, dueAtMs: momentMs };
    case "leased": {
      const { session, token, cancelRequested } = found.lease;
      return {
        ...common,
        lease: { session, token, leasedAtMs: momentMs },
        ...(cancelRequested ? { cancelRequested } : {}),
        ...(body.progress === undefined ? {} : { progress: decodeProgress(loadContent(tables, topic, body.progress)) }),
      };
    }
    case "dead":
      return { ...common, endedAtMs: momentMs, deadReason: deadReasonOf(body.mark) };
    case "completed":
    case "cancelled": {
      const result = body.result === undefined ? {} : { result: loadContent(tables, topic, body.result) };
      return { ...common, endedAtMs: momentMs, ...result };
    }
  }
}

/** Rows of another state that one call passes over in search of those of an external id that it wants. */
const SCANNED_MAX = 1000;

export function list(place: Place, query: ListQuery): Page<TaskRecord> {
  return query.externalId === undefined
    ? listState(place, query, query.state)
    : listExternal(place, query, query.externalId);
}

function listState(place: Place, query: ListQuery, state: TaskState | undefined): Page<TaskRecord> {
  if (state === undefined) throw invalid("state", state, "must be given, or an external id");
  const { tables, topic } = place;
  const { table, start, end } = tableOf(tables, topic, state);
  const from = startOf(place, query, start);
  const rows = table.rows(from, end, query.limit + 1);
  const page = rows.slice(0, query.limit);
  const records = page.flatMap(({ value }) => {
    const body = decodeBody(value);
    if (state !== "leased") return [recordOf(place, { state, body })];
    const lease = topic.leases.get(body.id);
    return lease === undefined ? [] : [recordOf(place, { state, body, lease })];
  });
  const last = page.at(-1);
  if (last === undefined || rows.length <= query.limit) return { rows: records };
  return { rows: records, next: cursorOf(place, query, last.key.subarray(start.length)) };
}

function tableOf(
  tables: Tables,
  { number }: TopicState,
  state: TaskState,
): { table: Table; start: Buffer; end: Buffer } {
  if (state === "ready") return { table: tables.ready, ...topicBounds(number) };
  if (state === "leased") return { table: tables.leased, ...topicBounds(number) };
  return { table: tables.parked, ...parkedBounds(number, STATE[state]) };
}

function listExternal(place: Place, query: ListQuery, externalId: string): Page<TaskRecord> {
  const { tables, topic } = place;
  const start = bound(externalKey(topic.number, externalId, ""));
  const end = bound(externalKey(topic.number, externalId, "\x7f"));
  const rows: TaskRecord[] = [];
  let last: Buffer | undefined;
  for (const key of tables.external.keys(startOf(place, query, start), end, query.limit + SCANNED_MAX)) {
    const found = findTask(place, idAfter(key, start.length));
    const wanted = found !== undefined && (query.state === undefined || found.state === query.state);
    if (wanted && rows.length === query.limit) break;
    if (wanted) rows.push(recordOf(place, found));
    last = key;
  }
  const more = last !== undefined && tables.external.firstKey(successor(last), end) !== undefined;
  return last !== undefined && more ? { rows, next: cursorOf(place, query, last.subarray(start.length)) } : { rows };
}

/** Where a list goes on: what it was asked for, and the rest of the last row's key. */
function cursorOf(place: Place, query: ListQuery, rest: Buffer): string {
  return `${queryMark(place, query)}.${rest.toString("base64url")}`;
}

function startOf(place: Place, query: ListQuery, start: Buffer): Buffer {
  const { after } = query;
  if (after === undefined) return start;
  const [mark, rest, ...others] = after.split(".");
  if (mark !== queryMark(place, query) || rest === undefined || others.length > 0 || rest.length > 512) {
    throw invalid("after", after, "must be the cursor of the page before");
  }
  return successor(Buffer.concat([start, Buffer.from(rest, "base64url")]));
}

function queryMark({ topic }: Place, { state, externalId }: ListQuery): string {
  const text = JSON.stringify([topic.name, state ?? null, externalId ?? null]);
  return createHash("sha1").update(text).digest("base64url").slice(0, 8);
}

export function listTopics(
  tables: Tables,
  topics: Topics,
  { after, limit }: { readonly after?: string; readonly limit: number },
): Page<TopicName> {
  const start = after === undefined ? Buffer.of(0) : successor(bound(textKey(after)));
  const rows: TopicName[] = [];
  for (let from: Buffer = start; ; ) {
    const keys = tables.topic.keys(from, Buffer.of(0xff), limit + 1);
    for (const key of keys) {
      const name = topicNameOf(key);
      if (topics.exists(name)) rows.push(name);
      if (rows.length > limit) return { rows: rows.slice(0, limit), next: rows[limit - 1] ?? "" };
    }
    const last = keys.at(-1);
    if (last === undefined || keys.length <= limit) return { rows };
    from = successor(last);
  }
}

export function describe(tables: Tables, topics: Topics, names: readonly TopicName[]): TopicRow[] {
  return names.map((name) => {
    const topic = topics.find(name);
    return { topic: name, stats: statsOf({ tables, topic }), settings: topic.settings };
  });
}

function statsOf({ tables, topic }: Place): TopicStats {
  const { exists, places, tokens, blobs, chunks, ...stats } = topic.figures;
  const { start, end } = topicBounds(topic.number);
  const [first] = topic.figures.ready === 0 ? [] : tables.ready.rows(start, end, 1);
  const nextDueMs = firstDue(tables, topic);
  return {
    ...stats,
    ...(first === undefined ? {} : { oldestReadyMs: enqueuedAt({ tables, topic }, first.value) }),
    ...(nextDueMs === undefined ? {} : { nextDueMs }),
  };
}

function enqueuedAt({ tables, topic }: Place, value: Buffer): number {
  return decodeRecord(loadBeginning(tables, topic, decodeBody(value).record)).head.enqueuedAtMs;
}
