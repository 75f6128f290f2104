/**
 * Replies and stored values as domain types. The counterpart in Lua is in
 * scripts/fragments: record.lua, meta.lua, rows.lua and session.lua.
 *
 * What comes from Redis was written by a broker, whose edge had checked it: the
 * casts here trust that.
 */
import assert from "node:assert";
import { TaskqueueError } from "../../domain/errors.js";
import { type LeaseToken, leaseToken, type SessionId, type TaskId, type TopicName } from "../../domain/ids.js";
import type { DeadReason, TaskState } from "../../domain/states.js";
import type { Progress, TaskRecord } from "../../domain/task.js";
import { COUNTERS, type Counter, type TopicSettings } from "../../domain/topic.js";
import { decodeRecord } from "../record.js";
import type {
  Demand,
  EventPage,
  Expired,
  LeaseAnswer,
  Leased,
  MoveOutcome,
  NewSession,
  NewTask,
  Page,
  SessionRecord,
  TopicRow,
  Undelivered,
} from "../store.js";
import type { Reply } from "./script.js";

/** A task's value is its place in the queue, then its record. */
const PLACE_BYTES = 10;
/** A lease's value: see record.lua. */
const LEASED_AT_OFFSET = 16;

// What a reply is made of.

/** What ioredis gives for a reply that is asked for as bytes. */
export function reply(value: unknown): Reply {
  return value as Reply;
}

export function text(reply: Reply | undefined): string {
  if (typeof reply === "string") return reply;
  if (typeof reply === "number") return String(reply);
  assert(Buffer.isBuffer(reply), "a script replied something else than a string");
  return reply.toString();
}

export function number(reply: Reply | undefined): number {
  if (typeof reply === "number") return reply;
  const value = Number(text(reply));
  assert(!Number.isNaN(value), "a script replied something else than a number");
  return value;
}

export function list(reply: Reply | undefined): readonly Reply[] {
  assert(Array.isArray(reply), "a script replied something else than a list");
  return reply as readonly Reply[];
}

/** Undefined where a script said "" or nothing. */
export function optionalNumber(reply: Reply | undefined): number | undefined {
  return typeof reply === "number" || present(reply) ? number(reply) : undefined;
}

export function present(reply: Reply | undefined): reply is Buffer | string {
  return (typeof reply === "string" || Buffer.isBuffer(reply)) && reply.length > 0;
}

function buffer(reply: Reply | undefined): Buffer {
  if (typeof reply === "string") return Buffer.from(reply, "latin1");
  assert(Buffer.isBuffer(reply), "a script replied something else than bytes");
  return reply;
}

/** Letters as the outcomes that a wrapper names. */
export function outcomes<Outcome extends string>(
  reply: Reply | undefined,
  names: Readonly<Record<string, Outcome>>,
): Outcome[] {
  return text(reply)
    .split("")
    .map((letter) => {
      const outcome = names[letter];
      assert(outcome, `a script replied the outcome ${letter}`);
      return outcome;
    });
}

// Tasks.

interface Meta {
  readonly failures: number;
  readonly lostLeases: number;
  readonly reason: string;
  readonly error: string;
}

const NO_META: Meta = { failures: 0, lostLeases: 0, reason: "", error: "" };

function decodeMeta(reply: Reply | undefined): Meta {
  if (!present(reply)) return NO_META;
  const match = /^(\d+)\t(\d+)\t[^\t]*\t([^\t]*)\t(.*)$/s.exec(reply.toString());
  assert(match, "what is kept of a task's failures is not readable");
  const [, failures, lostLeases, reason = "", error = ""] = match;
  return { failures: Number(failures), lostLeases: Number(lostLeases), reason, error };
}

/** The end of the reply of each script that hands out tasks, from `at` on; see scripts/fragments/lease.lua. */
export function decodeLeaseAnswer(
  reply: readonly Reply[],
  at: number,
  call: { readonly now?: number; readonly demands?: readonly Demand[] | undefined },
  fresh?: readonly FreshTask[],
): LeaseAnswer {
  const { demands = [] } = call;
  const ready = number(reply[at]);
  const lost = numbers(reply[at + 2]);
  const lostSessions = lost.map((i) => demands[i]?.session.id as SessionId);
  const counts = numbers(reply[at + 3]);
  if (counts.length === 0) return { leased: [], ready, lostSessions };
  const open = lost.length === 0 ? demands : demands.filter((_, i) => !lost.includes(i));
  const sessions = open.flatMap(({ session }, i) => Array<SessionId>(counts[i] ?? 0).fill(session.id));
  const base = { leasedAtMs: call.now ?? 0, firstToken: number(reply[at + 1]) + 1, sessions };
  const leased = fresh === undefined ? decodeQueued(base, reply, at + 4) : leaseFresh(base, fresh);
  return { leased, ready, lostSessions };
}

const NO_NUMBERS: readonly number[] = [];

function numbers(reply: Reply | undefined): readonly number[] {
  return present(reply) ? text(reply).split(" ").map(Number) : NO_NUMBERS;
}

interface Handout {
  readonly leasedAtMs: number;
  readonly firstToken: number;
  /** Whose each task is. */
  readonly sessions: readonly SessionId[];
}

function decodeQueued({ leasedAtMs, firstToken, sessions }: Handout, reply: readonly Reply[], idsAt: number): Leased[] {
  const taskIds = buffer(reply[idsAt]).toString("latin1").split(" ");
  const valuesAt = idsAt + 1;
  const metasAt = valuesAt + sessions.length;
  return sessions.map((session, i) => {
    const record = buffer(reply[valuesAt + i]).subarray(PLACE_BYTES);
    const { head, spec } = decodeRecord(record);
    const { failures, lostLeases } = decodeMeta(reply[metasAt + i]);
    const id = taskIds[i] as TaskId;
    const token = leaseToken(firstToken + i);
    return { id, session, token, leasedAtMs, head, spec, bytes: record.length, failures, lostLeases };
  });
}

/** A task of the call itself, with the size of its record. */
export interface FreshTask {
  readonly task: NewTask;
  readonly bytes: number;
}

/** Tasks that went straight from the call that brought them to a worker. */
function leaseFresh({ leasedAtMs, firstToken, sessions }: Handout, fresh: readonly FreshTask[]): Leased[] {
  return sessions.map((session, i) => {
    const own = fresh[i];
    assert(own, "more tasks were handed out than were enqueued");
    const { id, head, spec } = own.task;
    const token = leaseToken(firstToken + i);
    return { id, session, token, leasedAtMs, head, spec, bytes: own.bytes, failures: 0, lostLeases: 0 };
  });
}

export function decodeHeld(session: SessionId, reply: readonly Reply[]): Leased[] {
  const [ids, leases, values, metas] = reply.map(list);
  assert(ids && leases && values && metas);
  return ids.flatMap((id, i) => {
    const lease = leases[i];
    if (!present(lease)) return [];
    const record = buffer(values[i]).subarray(PLACE_BYTES);
    const { failures, lostLeases } = decodeMeta(metas[i]);
    const { token, leasedAtMs } = decodeLease(buffer(lease));
    const bytes = record.length;
    return [
      { id: text(id) as TaskId, session, token, leasedAtMs, ...decodeRecord(record), bytes, failures, lostLeases },
    ];
  });
}

function decodeLease(lease: Buffer): { readonly token: LeaseToken; readonly leasedAtMs: number } {
  return {
    token: leaseToken(lease.readUIntBE(0, 6)),
    leasedAtMs: lease.readUIntBE(LEASED_AT_OFFSET, 6),
  };
}

/** A row of `get` or `list`; undefined where there is no such task. */
export function decodeRow(reply: Reply): TaskRecord | undefined {
  const row = list(reply);
  if (row.length === 0) return undefined;
  const [id, value, stateWord, score, session, lease, meta, cancel, progress, result] = row;
  const state = text(stateWord) as TaskState;
  const { failures, lostLeases, reason, error } = decodeMeta(meta);
  const base = { id: text(id) as TaskId, ...decodeRecord(buffer(value).subarray(PLACE_BYTES)), state };
  const task = { ...base, failures, lostLeases, error };
  switch (state) {
    case "ready":
      return task;
    case "scheduled":
      return { ...task, dueAtMs: number(score) };
    case "leased":
      return {
        ...task,
        ...(present(lease) ? { lease: { session: text(session) as SessionId, ...decodeLease(buffer(lease)) } } : {}),
        ...(present(cancel) ? { cancelRequested: true } : {}),
        ...(Buffer.isBuffer(progress) ? { progress: decodeProgress(progress) } : {}),
      };
    case "dead":
      return { ...task, endedAtMs: number(score), deadReason: reason as DeadReason };
    case "completed":
      return { ...task, endedAtMs: number(score), ...(Buffer.isBuffer(result) ? { result } : {}) };
    case "cancelled":
      return { ...task, endedAtMs: number(score) };
  }
}

export function decodeMove(reply: Reply): MoveOutcome {
  const [word, detail, token] = list(reply);
  const kind = text(word);
  switch (kind) {
    case "done":
      return { kind, externalId: text(detail) };
    case "not_found":
      return { kind };
    case "wrong_state":
      return { kind, state: text(detail) as TaskState };
    case "cancel_requested":
      return { kind, session: text(detail) as SessionId, token: text(token) as LeaseToken };
    default:
      assert.fail(`a script replied the outcome ${kind}`);
  }
}

/** A row of `expire`. */
export function decodeExpired(reply: Reply): Expired {
  const [id, externalId, outcome, failures, lostLeases] = list(reply);
  return {
    id: text(id) as TaskId,
    externalId: text(externalId),
    outcome: text(outcome) as Expired["outcome"],
    failures: number(failures),
    lostLeases: number(lostLeases),
  };
}

export function taskIds(reply: Reply | undefined): TaskId[] {
  return list(reply).map((id) => text(id) as TaskId);
}

/** Fraction, tab, message. */
export function encodeProgress({ fraction, message }: Progress): string {
  return `${fraction}\t${message}`;
}

function decodeProgress(progress: Buffer): Progress {
  const [fraction = "0", ...message] = progress.toString().split("\t");
  return { fraction: Number(fraction), message: message.join("\t") };
}

// Topics.

export function topicNames(reply: readonly Reply[]): TopicName[] {
  return reply.map((name) => text(name) as TopicName);
}

/** The reply of describe.lua. `enqueued` is also what places are numbered by. */
export function decodeTopic(topic: TopicName, reply: readonly Reply[]): TopicRow {
  const [counters, sizes, line, nextDue, settings] = reply;
  const numbers = new Map<string, number>();
  const flat = list(counters);
  for (let i = 0; i < flat.length; i += 2) numbers.set(text(flat[i]), number(flat[i + 1]));
  const [tasks = 0, scheduled = 0, ready = 0, dead = 0, completedKept = 0, cancelledKept = 0] = list(sizes).map(number);
  const counts = Object.fromEntries(COUNTERS.map((name) => [name, numbers.get(name) ?? 0])) as Record<Counter, number>;
  const nextDueMs = optionalNumber(nextDue);
  return {
    topic,
    stats: {
      ...counts,
      scheduled,
      ready,
      leased: tasks - scheduled - ready - dead - completedKept - cancelledKept,
      dead,
      completedKept,
      cancelledKept,
      bytes: numbers.get("bytes") ?? 0,
      ...(present(line) ? { oldestReadyMs: decodeRecord(buffer(line)).head.enqueuedAtMs } : {}),
      ...(nextDueMs === undefined ? {} : { nextDueMs }),
    },
    settings: present(settings) ? (JSON.parse(settings.toString()) as TopicSettings) : { paused: false },
  };
}

// Sessions.

/** What a session was opened with; the rest changes, and is kept apart. */
export function encodeSession(session: NewSession): string {
  return JSON.stringify(session);
}

export function encodeUndelivered(undelivered: readonly Undelivered[]): string {
  return JSON.stringify(undelivered);
}

export function decodeNewSession(reply: Reply | undefined): NewSession {
  return JSON.parse(text(reply)) as NewSession;
}

/** A session as opened, and its state as scripts/fragments/session.lua writes it. */
export function decodeSession(
  session: Reply | undefined,
  state: Reply | undefined,
  expiresAtMs: number,
): SessionRecord {
  const match = /^(\d+)\t([01])\t[01]\t([^\t]*)\t([^\t]*)\t(.*)$/.exec(text(state));
  assert(match, "a session's state is not readable");
  const [, epoch, attached, broker = "", address = "", undelivered = "[]"] = match;
  return {
    ...decodeNewSession(session),
    broker,
    address,
    expiresAtMs,
    epoch: Number(epoch),
    attached: attached === "1",
    undelivered: JSON.parse(undelivered) as Undelivered[],
  };
}

/** A row of `sessions` or `expiredSessions`: session, state, moment of expiry. */
export function decodeSessionRow(reply: Reply): SessionRecord {
  const [session, state, expiresAtMs] = list(reply);
  return decodeSession(session, state, number(expiresAtMs));
}

// Events.

/** Entries after a number (unset: none, only where the log ends), as XRANGE gives them. */
export function decodeEvents(after: number | undefined, last: number, reply: Reply | undefined): EventPage {
  const entries = list(reply).map((entry) => {
    const [id, fields] = list(entry);
    const [, batch] = list(fields);
    return { cursor: text(id).split("-")[0] ?? "", batch: buffer(batch) };
  });
  const first = entries[0];
  // A log that ends before the cursor is another one than the cursor is of: the store lost it.
  const lost = after !== undefined && (after > last || (after < last && Number(first?.cursor ?? 0) !== after + 1));
  const cursor = entries.at(-1)?.cursor ?? String(after === undefined || after > last ? last : after);
  return { entries, cursor: first === undefined && lost ? String(last) : cursor, gap: lost };
}

// Cursors.

/** The rows of a page, and where it ended: no parts on the last page. */
export function decodePage(kind: string, rows: Reply | undefined, next: Reply | undefined): Page<TaskRecord> {
  const parts = list(next);
  return {
    rows: list(rows).flatMap((row) => decodeRow(row) ?? []),
    ...(parts.length === 0 ? {} : { next: encodeCursor(kind, parts) }),
  };
}

/** Where a page ended, as opaque text. The parts are bytes. */
export function encodeCursor(kind: string, parts: readonly Reply[]): string {
  const fields = [kind, ...parts.map((part) => buffer(part).toString("latin1"))];
  return Buffer.from(JSON.stringify(fields)).toString("base64url");
}

/** The parts of a cursor of that kind. Throws INVALID_ARGUMENT on a cursor that this store did not make. */
export function decodeCursor(kind: string, parts: number, cursor: string): Buffer[] {
  const fields = parseJson(Buffer.from(cursor, "base64url").toString());
  const valid =
    Array.isArray(fields) &&
    fields.length === parts + 1 &&
    fields[0] === kind &&
    fields.every((field) => typeof field === "string");
  if (!valid) {
    throw new TaskqueueError("INVALID_ARGUMENT", "page_token: must come from the page before of the same listing", {
      field: "page_token",
    });
  }
  return fields.slice(1).map((field: string) => Buffer.from(field, "latin1"));
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    // Not a cursor of this store; the caller says so.
    return undefined;
  }
}
