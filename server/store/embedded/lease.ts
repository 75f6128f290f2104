/**
 * lease: hands out ready tasks, also on behalf of enqueue and complete. Written
 * for speed: bodies are copied from the rows of
 * the queue to those of the leases with a few of their bytes changed.
 */
import { fenceAt, type SessionId } from "../../domain/ids.js";
import type { Millis } from "../../domain/task.js";
import { decodeRecord } from "../record.js";
import type { Demand, LeaseAnswer, Leased, NewTask, SessionRef } from "../store.js";
import { loadContent } from "./blobs.js";
import { BODY, type Body, decodeBody, FLAGS, idOfBody, tokenText, writeNew } from "./body-codec.js";
import type { Change, Place } from "./change.js";
import { VALUE_BYTES_MAX } from "./database.js";
import { LENGTH_BYTES } from "./entries.js";
import { epochOf } from "./holds.js";
import { numberKey, PLACE_BYTES, writePlace, writeUint16, writeUint48 } from "./keys.js";
import { type Group, type Lease, writeSession } from "./leases.js";
import { leasedBody } from "./moves.js";
import { type Entry, Front } from "./ready-queue.js";

/** The row of a group of leases is put together here. */
const rowBytes = Buffer.allocUnsafeSlow(VALUE_BYTES_MAX);
const place = Buffer.alloc(PLACE_BYTES);

/** Serves the demands in their order, each up to its limits. */
export function serve(change: Change, demands: readonly Demand[], now: Millis): LeaseAnswer {
  const { topic } = change;
  const leased: Leased[] = [];
  const lostSessions: SessionId[] = [];
  const open: Demand[] = [];
  for (const demand of demands) {
    if (isOpen(change, demand.session)) open.push(demand);
    else lostSessions.push(demand.session.id);
  }
  if (topic.settings.paused) return { leased, ready: 0, lostSessions };
  if (open.length > 0 && topic.figures.ready > 0) {
    const front = new Front(change);
    for (const demand of open) serveOne(change, front, demand, now, leased);
    front.finish();
  }
  return { leased, ready: topic.figures.ready, lostSessions };
}

export function isOpen(change: Change, { id, epoch }: SessionRef): boolean {
  return epochOf(change, id) === epoch;
}

function serveOne(change: Change, front: Front, demand: Demand, now: Millis, leased: Leased[]): void {
  const { session, limit, bytesMax } = demand;
  const handing = new Handing(change, session.id, now);
  let bytes = 0;
  for (let given = 0; given < limit && change.topic.figures.ready > 0; given++) {
    const entry = front.peek(limit - given);
    if (entry === undefined) break;
    bytes += entry.row.readUInt32BE(entry.at + BODY.bytes);
    if (given > 0 && bytes > bytesMax) break;
    front.take(entry);
    leased.push(handing.handOut(entry));
  }
  handing.finish();
}

/** Hands tasks to one session, and gathers their bodies in rows. */
export class Handing {
  readonly #change: Change;
  readonly #session: SessionId;
  readonly #now: Millis;
  #group: Group | undefined;
  #at = 0;

  constructor(change: Change, session: SessionId, now: Millis) {
    this.#change = change;
    this.#session = session;
    this.#now = now;
  }

  handOut({ row, at, end }: Entry): Leased {
    const change = this.#change;
    const session = this.#session;
    const tokenNumber = this.#start();
    const token = tokenText(tokenNumber);
    change.topic.figures.ready -= 1;
    const group = this.#write(row, at, end, tokenNumber);
    const id = idOfBody(row, at);
    const bytes = row.readUInt32BE(at + BODY.bytes);
    const { head, spec, isBlob } = readRecord(change, row, at, end, bytes);
    const plain = !isBlob && head.externalId === "" && head.retentionMs === 0;
    change.setLease(id, { session, token, tokenNumber, group, bytes, plain, cancelRequested: false });
    const failures = row.readUInt32BE(at + BODY.failures);
    const lostLeases = row.readUInt32BE(at + BODY.lostLeases);
    return { id, session, token, leasedAtMs: this.#now, head, spec, bytes, failures, lostLeases };
  }

  /** Hands out a plain task that has just arrived, and waited nowhere. */
  handNew({ id, head, spec }: NewTask, record: Buffer): Leased {
    const { topic } = this.#change;
    const session = this.#session;
    const bytes = record.length;
    const tokenNumber = this.#start();
    const token = tokenText(tokenNumber);
    const length = BODY.id + id.length + bytes;
    const group = this.#groupFor(length);
    writeUint16(rowBytes, length, this.#at);
    const body = this.#at + LENGTH_BYTES;
    writePlace(place, 0, topic.figures.places, 0);
    writeNew(rowBytes, body, id, place, bytes, record, 0);
    this.#mark(body, tokenNumber);
    this.#at = body + length;
    topic.leases.set(id, { session, token, tokenNumber, group, bytes, plain: true, cancelRequested: false });
    return { id, session, token, leasedAtMs: this.#now, head, spec, bytes, failures: 0, lostLeases: 0 };
  }

  /** The number of the token. */
  #start(): number {
    const { figures } = this.#change.topic;
    figures.tokens = fenceAt(figures.tokens, this.#now) + 1;
    figures.started += 1;
    figures.leased += 1;
    return figures.tokens;
  }

  /** Writes down the last row. */
  finish(): void {
    const { tables, topic } = this.#change;
    if (this.#group !== undefined) {
      tables.leased.put(numberKey(topic.number, this.#group.number), rowBytes.subarray(0, this.#at));
    }
    this.#group = undefined;
  }

  #write(row: Buffer, at: number, end: number, tokenNumber: number): Group {
    const group = this.#groupFor(end - at);
    // The entry is copied with the length before it.
    row.copy(rowBytes, this.#at, at - LENGTH_BYTES, end);
    const body = this.#at + LENGTH_BYTES;
    this.#mark(body, tokenNumber);
    this.#at = body + end - at;
    return group;
  }

  /** The group whose row has room for a body of that length. */
  #groupFor(length: number): Group {
    if (this.#at + LENGTH_BYTES + length > VALUE_BYTES_MAX) this.finish();
    if (this.#group === undefined) {
      const { figures } = this.#change.topic;
      figures.groups += 1;
      this.#group = { number: figures.groups, session: this.#session, live: 0, touched: false };
      this.#at = writeSession(rowBytes, this.#session);
    }
    return this.#group;
  }

  /** Marks a body as that of a new lease. */
  #mark(body: number, tokenNumber: number): void {
    writeUint48(rowBytes, tokenNumber, body + BODY.token);
    writeUint48(rowBytes, this.#now, body + BODY.moment);
    writeUint48(rowBytes, 0, body + BODY.failedToken);
    rowBytes[body + BODY.mark] = 0;
  }
}

/** `isBlob`: something of the task stands outside its body. */
function readRecord(change: Change, row: Buffer, at: number, end: number, bytes: number) {
  const flags = row[at + BODY.flags] ?? 0;
  if (flags === 0) {
    const from = at + BODY.id + (row[at + BODY.idLength] ?? 0);
    const { head, spec } = decodeRecord(row.subarray(from, from + bytes));
    return { head, spec, isBlob: false };
  }
  const { record, error } = decodeBody(row.subarray(at, end));
  const { head, spec } = decodeRecord(loadContent(change.tables, change.topic, record));
  return { head, spec, isBlob: (flags & FLAGS.recordBlob) !== 0 || !(error === undefined || Buffer.isBuffer(error)) };
}

/** held: the leases of a session, in order of id. */
export function held(place: Place, session: SessionId): Leased[] {
  const { leases } = place.topic;
  return [...leases.idsOf(session)].sort().flatMap((id) => {
    const lease = leases.get(id);
    return lease === undefined ? [] : [leasedOf(place, leasedBody(place, lease), lease)];
  });
}

function leasedOf({ tables, topic }: Place, body: Body, { session, token }: Lease): Leased {
  const { id, momentMs, bytes, failures, lostLeases } = body;
  const { head, spec } = decodeRecord(loadContent(tables, topic, body.record));
  return { id, session, token, leasedAtMs: momentMs, head, spec, bytes, failures, lostLeases };
}
