/** get, list, topics, describe: what is there, changing nothing. */
import { createHash } from "node:crypto";
import { invalid } from "../../domain/errors.js";
import type { TaskId, TopicName } from "../../domain/ids.js";
import type { TaskState } from "../../domain/states.js";
import type { TaskRecord } from "../../domain/task.js";
import type { TopicStats } from "../../domain/topic.js";
import { decodeRecord } from "../record.js";
import type { ListQuery, Page, TopicRow } from "../store.js";
import { loadContent } from "./blobs.js";
import { deadReasonOf, decodeBody, decodeProgress, idAfter, STATE, topicNameOf } from "./body-codec.js";
import { firstDue, type Place } from "./change.js";
import type { Tables } from "./database.js";
import { bound, externalKey, PLACE_BYTES, parkedBounds, successor, textKey } from "./keys.js";
import { type Found, findTask, headOf, leasedBody } from "./moves.js";
import { readyAfter } from "./ready-queue.js";
import type { Topics } from "./topic-state.js";

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
/** A session, an id and what is between them, in base64. */
const CURSOR_CHARS_MAX = 300;

export function list(place: Place, query: ListQuery): Page<TaskRecord> {
  return query.externalId === undefined
    ? listState(place, query, query.state)
    : listExternal(place, query, query.externalId);
}

function listState(place: Place, query: ListQuery, state: TaskState | undefined): Page<TaskRecord> {
  if (state === undefined) throw invalid("state", state, "must be given, or an external id");
  const after = afterOf(place, query);
  const wanted = query.limit + 1;
  const found = state === "leased" ? leasedAfter(place, after, wanted) : waitingAfter(place, state, after, wanted);
  const page = found.slice(0, query.limit);
  const rows = page.map((row) => recordOf(place, row.found));
  const last = page.at(-1);
  if (last === undefined || found.length <= query.limit) return { rows };
  return { rows, next: cursorOf(place, query, last.rest) };
}

/** `rest` tells tasks of a list apart, and in order: what its cursors hold. */
interface Listed {
  readonly found: Found;
  readonly rest: Buffer;
}

function waitingAfter(
  place: Place,
  state: Exclude<TaskState, "leased">,
  after: Buffer | undefined,
  limit: number,
): Listed[] {
  const { tables, topic } = place;
  if (state === "ready") {
    if (after !== undefined && after.length !== PLACE_BYTES) throw invalid("after", after, "must be a cursor");
    return readyAfter(place, after, limit).map((body) => ({ found: { state, body }, rest: body.place }));
  }
  const { start, end } = parkedBounds(topic.number, STATE[state]);
  const from = after === undefined ? start : successor(Buffer.concat([start, after]));
  return tables.parked.rows(from, end, limit).map(({ key, value }) => {
    return { found: { state, body: decodeBody(value) }, rest: key.subarray(start.length) };
  });
}

/** Leases are few enough to be sorted: those of one session are no more than its slots. */
function leasedAfter(place: Place, after: Buffer | undefined, limit: number): Listed[] {
  const { leases } = place.topic;
  const [afterSession = "", afterId = ""] = after?.toString("latin1").split("\0") ?? [];
  const listed: Listed[] = [];
  for (const session of leases.sessions()) {
    if (session < afterSession) continue;
    for (const id of [...leases.idsOf(session)].sort()) {
      const lease = leases.get(id);
      if (lease === undefined || (session === afterSession && id <= afterId)) continue;
      const found: Found = { state: "leased", body: leasedBody(place, lease), lease };
      listed.push({ found, rest: Buffer.from(`${session}\0${id}`, "latin1") });
      if (listed.length === limit) return listed;
    }
  }
  return listed;
}

function listExternal(place: Place, query: ListQuery, externalId: string): Page<TaskRecord> {
  const { tables, topic } = place;
  const start = bound(externalKey(topic.number, externalId, ""));
  const end = bound(externalKey(topic.number, externalId, "\x7f"));
  const rows: TaskRecord[] = [];
  let last: Buffer | undefined;
  const after = afterOf(place, query);
  const from = after === undefined ? start : successor(Buffer.concat([start, after]));
  for (const key of tables.external.keys(from, end, query.limit + SCANNED_MAX)) {
    const found = findTask(place, idAfter(key, start.length));
    const wanted = found !== undefined && (query.state === undefined || found.state === query.state);
    if (wanted && rows.length === query.limit) break;
    if (wanted) rows.push(recordOf(place, found));
    last = key;
  }
  const more = last !== undefined && tables.external.firstKey(successor(last), end) !== undefined;
  return last !== undefined && more ? { rows, next: cursorOf(place, query, last.subarray(start.length)) } : { rows };
}

/** Where a list goes on: a mark of what it was asked for, and what tells the last task from the others. */
function cursorOf(place: Place, query: ListQuery, rest: Buffer): string {
  return `${queryMark(place, query)}.${rest.toString("base64url")}`;
}

function afterOf(place: Place, query: ListQuery): Buffer | undefined {
  const { after } = query;
  if (after === undefined) return undefined;
  const [mark, rest, ...others] = after.split(".");
  if (mark !== queryMark(place, query) || rest === undefined || others.length > 0 || rest.length > CURSOR_CHARS_MAX) {
    throw invalid("after", after, "must be the cursor of the page before");
  }
  return Buffer.from(rest, "base64url");
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
  const { exists, places, tokens, blobs, chunks, groups, ...stats } = topic.figures;
  const [first] = topic.figures.ready === 0 ? [] : readyAfter({ tables, topic }, undefined, 1);
  const nextDueMs = firstDue(tables, topic);
  return {
    ...stats,
    ...(first === undefined ? {} : { oldestReadyMs: headOf({ tables, topic }, first).enqueuedAtMs }),
    ...(nextDueMs === undefined ? {} : { nextDueMs }),
  };
}
