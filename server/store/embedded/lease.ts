/**
 * lease: hands out ready tasks, also on behalf of enqueue and complete. Written
 * for speed: a body moves from the ready rows to the leased ones with a few of
 * its bytes changed.
 */
import type { SessionId } from "../../domain/ids.js";
import type { Millis, TaskHead } from "../../domain/task.js";
import { decodeRecord } from "../record.js";
import type { Demand, LeaseAnswer, Leased, SessionRef } from "../store.js";
import { loadContent } from "./blobs.js";
import { BODY, type Body, decodeBody, FLAGS, idOfBody, scratch, scratchUpTo, tokenText } from "./body-codec.js";
import type { Change } from "./change.js";
import type { Row } from "./database.js";
import { leasedBounds, leasedKey, nameKey, topicBounds, writeUint48 } from "./keys.js";
import type { Lease } from "./topic-state.js";

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
  const rows = open.length === 0 ? [] : headOfQueue(change, open);
  let next = 0;
  for (const { session, limit, bytesMax } of open) {
    let bytes = 0;
    for (let given = 0; given < limit; given++) {
      const row = rows[next];
      if (row === undefined) break;
      bytes += row.value.readUInt32BE(BODY.bytes);
      if (given > 0 && bytes > bytesMax) break;
      next += 1;
      leased.push(handOut(change, row, session.id, now));
    }
  }
  return { leased, ready: topic.figures.ready, lostSessions };
}

function isOpen({ tables, topic }: Change, { id, epoch }: SessionRef): boolean {
  return tables.hold.peek(nameKey(topic.number, id))?.readUInt32BE() === epoch;
}

function headOfQueue({ tables, topic }: Change, demands: readonly Demand[]): Row[] {
  const wanted = demands.reduce((sum, { limit }) => sum + limit, 0);
  const { start, end } = topicBounds(topic.number);
  return tables.ready.rows(start, end, Math.min(wanted, topic.figures.ready));
}

function handOut(change: Change, { key, value }: Row, session: SessionId, now: Millis): Leased {
  const { tables, topic } = change;
  const { figures } = topic;
  const id = idOfBody(value);
  figures.tokens += 1;
  figures.started += 1;
  figures.ready -= 1;
  figures.leased += 1;
  const tokenNumber = figures.tokens;
  const token = tokenText(tokenNumber);

  tables.ready.remove(key);
  scratch.set(value);
  writeUint48(scratch, tokenNumber, BODY.token);
  writeUint48(scratch, now, BODY.moment);
  writeUint48(scratch, 0, BODY.failedToken);
  scratch[BODY.mark] = 0;
  tables.leased.put(leasedKey(topic.number, session, id), scratchUpTo(value.length));

  const bytes = value.readUInt32BE(BODY.bytes);
  const { head, spec, isBlob } = readRecord(change, value, bytes);
  const plain = !isBlob && head.externalId === "" && head.retentionMs === 0;
  change.setLease(id, { session, token, tokenNumber, bytes, plain, cancelRequested: false });
  return {
    id,
    session,
    token,
    leasedAtMs: now,
    head,
    spec,
    bytes,
    failures: value.readUInt32BE(BODY.failures),
    lostLeases: value.readUInt32BE(BODY.lostLeases),
  };
}

/** `isBlob`: something of the task stands outside its body. */
function readRecord(
  change: Change,
  value: Buffer,
  bytes: number,
): { head: TaskHead; spec: Uint8Array; isBlob: boolean } {
  const flags = value[BODY.flags] ?? 0;
  if (flags === 0) {
    const at = BODY.id + (value[BODY.idLength] ?? 0);
    const { head, spec } = decodeRecord(value.subarray(at, at + bytes));
    return { head, spec, isBlob: false };
  }
  const { record, error } = decodeBody(value);
  const { head, spec } = decodeRecord(loadContent(change.tables, change.topic, record));
  return { head, spec, isBlob: (flags & FLAGS.recordBlob) !== 0 || !(error === undefined || Buffer.isBuffer(error)) };
}

/** held: the leases of a session, in order of id. */
export function held(change: Pick<Change, "tables" | "topic">, session: SessionId): Leased[] {
  const { tables, topic } = change;
  const { start, end } = leasedBounds(topic.number, session);
  return tables.leased.rows(start, end, topic.figures.leased).flatMap(({ value }) => {
    const body = decodeBody(value);
    const lease = topic.leases.get(body.id);
    return lease === undefined ? [] : [leasedOf(change, body, lease)];
  });
}

function leasedOf({ tables, topic }: Pick<Change, "tables" | "topic">, body: Body, lease: Lease): Leased {
  const { id, momentMs, bytes, failures, lostLeases } = body;
  const { head, spec } = decodeRecord(loadContent(tables, topic, body.record));
  return {
    id,
    session: lease.session,
    token: lease.token,
    leasedAtMs: momentMs,
    head,
    spec,
    bytes,
    failures,
    lostLeases,
  };
}
