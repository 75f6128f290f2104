/**
 * The leases of a topic. In memory: all of them, by id and by session. On disk:
 * their bodies, in the groups in which they were handed out, one row each.
 *
 * A row holds the name of its session, then the bodies. A lease that ends leaves
 * its group in memory at once, and the row is put right at the end of the verb:
 * where the whole group ended meanwhile, that is one removal for all.
 */
import assert from "node:assert";
import type { LeaseToken, SessionId, TaskId } from "../../domain/ids.js";
import { hashOfText, Table } from "../../lib/table.js";
import { decodeRecord } from "../record.js";
import { BODY, type Body, decodeBody, encodeBody, idOfBody, sessionIn, tokenText } from "./body-codec.js";
import type { Tables } from "./database.js";
import { entriesOf, entry, LENGTH_BYTES } from "./entries.js";
import { numberKey, topicBounds, writeAscii } from "./keys.js";

/** Leases that were handed out together. */
export interface Group {
  readonly number: number;
  readonly session: SessionId;
  /** How many of them are held. */
  live: number;
  /** Leases have left it in the verb in progress: its row is to be put right. */
  touched: boolean;
}

export interface Lease {
  readonly session: SessionId;
  readonly token: LeaseToken;
  readonly tokenNumber: number;
  readonly group: Group;
  readonly bytes: number;
  /** The task goes without a trace but its id: no external id, no retention, no blobs. */
  readonly plain: boolean;
  readonly cancelRequested: boolean;
}

/** So many sessions without leases may be remembered. */
const IDLE_SESSIONS_MAX = 64;

interface Entry {
  readonly id: TaskId;
  readonly lease: Lease;
  /** Where it is among those of its session. */
  at: number;
}

/** What is in memory. */
export class Leases {
  readonly #byId = new Table<Entry>(hashOfText);
  /** In no order. A session whose last lease ended stays, as it likely gets others. */
  readonly #bySession = new Map<SessionId, Entry[]>();

  get(id: TaskId): Lease | undefined {
    return this.#byId.get(id)?.lease;
  }

  set(id: TaskId, lease: Lease): void {
    this.delete(id);
    const own = this.#ofSession(lease.session);
    const entry = { id, lease, at: own.length };
    own.push(entry);
    this.#byId.set(id, entry);
    lease.group.live += 1;
  }

  delete(id: TaskId): void {
    const entry = this.#byId.delete(id);
    if (entry === undefined) return;
    entry.lease.group.live -= 1;
    const own = this.#ofSession(entry.lease.session);
    const last = own.pop();
    if (last === undefined || last === entry) return;
    own[entry.at] = last;
    last.at = entry.at;
  }

  #ofSession(session: SessionId): Entry[] {
    const known = this.#bySession.get(session);
    if (known !== undefined) return known;
    if (this.#bySession.size >= IDLE_SESSIONS_MAX) {
      for (const [other, entries] of this.#bySession) if (entries.length === 0) this.#bySession.delete(other);
    }
    const entries: Entry[] = [];
    this.#bySession.set(session, entries);
    return entries;
  }

  /** Sessions that hold leases, in order. */
  sessions(): SessionId[] {
    return [...this.#bySession].flatMap(([session, entries]) => (entries.length > 0 ? [session] : [])).sort();
  }

  /** How many a session holds. */
  countOf(session: SessionId): number {
    return this.#bySession.get(session)?.length ?? 0;
  }

  /** Of all leases, in no order. */
  ids(): TaskId[] {
    return this.#byId.values().map(({ id }) => id);
  }

  /** Ids that a session holds, in no order. */
  idsOf(session: SessionId): readonly TaskId[] {
    return this.#bySession.get(session)?.map(({ id }) => id) ?? [];
  }
}

/** Reads the leases of a topic from the disk. */
export function loadLeases(tables: Tables, topic: number): Leases {
  const leases = new Leases();
  const { start, end } = topicBounds(topic);
  for (const { key, value } of tables.leased.rows(start, end, Number.POSITIVE_INFINITY)) {
    const session = sessionIn(value);
    const group: Group = { number: key.readUIntBE(4, 6), session, live: 0, touched: false };
    for (const { at, end: entryEnd } of entriesOf(value, 1 + session.length)) {
      const body = decodeBody(value.subarray(at, entryEnd));
      const { token: tokenNumber, bytes, mark } = body;
      const token = tokenText(tokenNumber);
      const lease = { session, token, tokenNumber, group, bytes, plain: isPlain(body), cancelRequested: mark === 1 };
      leases.set(body.id, lease);
    }
  }
  return leases;
}

function isPlain({ record, error, progress }: Body): boolean {
  if (![record, error, progress].every((content) => content === undefined || Buffer.isBuffer(content))) return false;
  if (!Buffer.isBuffer(record)) return false;
  const { head } = decodeRecord(record);
  return head.externalId === "" && head.retentionMs === 0;
}

/** Writes the name of the session to the beginning of a row; returns where the first entry goes. */
export function writeSession(row: Buffer, session: SessionId): number {
  row[0] = session.length;
  return writeAscii(row, session, 1);
}

/** The row of a group with one body. */
export function singleRow(session: SessionId, body: Body): Buffer {
  const start = Buffer.alloc(1 + session.length);
  writeSession(start, session);
  return Buffer.concat([start, entry(encodeBody(body))]);
}

/** The body of a lease in the row of its group. */
export function bodyInRow(row: Buffer, { session, tokenNumber }: Lease): Body {
  for (const { at, end } of entriesOf(row, 1 + session.length)) {
    if (row.readUIntBE(at + BODY.token, 6) === tokenNumber) return decodeBody(row.subarray(at, end));
  }
  assert.fail("a lease is not in the row of its group");
}

export function groupRow(tables: Tables, topic: number, { number }: Group): Buffer {
  const row = tables.leased.get(numberKey(topic, number));
  assert(row !== undefined, "a group of leases has no row");
  return row;
}

/** Puts the row of a group right after leases have left it. */
export function settleGroup(tables: Tables, topic: number, leases: Leases, group: Group): void {
  const key = () => numberKey(topic, group.number);
  if (group.live === 0) {
    tables.leased.remove(key());
    return;
  }
  const row = groupRow(tables, topic, group);
  const parts = [row.subarray(0, 1 + group.session.length)];
  for (const { at, end } of entriesOf(row, 1 + group.session.length)) {
    const id = idOfBody(row, at);
    if (leases.get(id)?.group === group) parts.push(row.subarray(at - LENGTH_BYTES, end));
  }
  tables.leased.put(key(), Buffer.concat(parts));
}
