/**
 * How a task and its status are written.
 *
 * A *body* is everything about a task. It has one form in every state, so that
 * moving a task means copying its body to another table with a few bytes
 * changed; lease.ts and enqueue.ts do so without decoding it. A *status* is
 * found by id; it tells where the body is, or how and when the id ended.
 *
 * Contents that would make a value too large stand in the body as a reference
 * to a blob.
 */
import assert from "node:assert";
import { type LeaseToken, leaseToken, type SessionId, type TaskId, type TopicName } from "../../domain/ids.js";
import { DEAD_REASONS, type DeadReason } from "../../domain/states.js";
import type { Progress } from "../../domain/task.js";
import { copyPlace, PLACE_BYTES, writeAscii, writeUint16, writeUint32, writeUint48 } from "./keys.js";

/** Something large that is kept apart. */
export interface Blob {
  readonly blob: number;
  readonly length: number;
}

export type Content = Buffer | Blob;

/** Of the reference to a record that is a blob. */
export const BLOB_BYTES = 6;

export interface Body {
  readonly id: TaskId;
  /** PLACE_BYTES of them. */
  readonly place: Buffer;
  readonly failures: number;
  readonly lostLeases: number;
  /** Leased: the token's number. */
  readonly token: number;
  /** Leased: since when. Scheduled: when due. Ended: when. */
  readonly momentMs: number;
  /** Leased: 1 when cancelling was asked for. Dead: the number of the reason. */
  readonly mark: number;
  /** Of the record. */
  readonly bytes: number;
  /** Token of the latest failure while it can be repeated; 0 for none. */
  readonly failedToken: number;
  readonly record: Content;
  readonly error?: Content | undefined;
  readonly result?: Content | undefined;
  readonly progress?: Content | undefined;
}

/** Where the parts of a body stand. The id follows, then the record, then what FLAGS names. */
export const BODY = {
  idLength: 0,
  flags: 1,
  place: 2,
  failures: 12,
  lostLeases: 16,
  token: 20,
  moment: 26,
  mark: 32,
  bytes: 33,
  failedToken: 37,
  id: 43,
} as const;

export const FLAGS = { recordBlob: 1, error: 2, result: 4, progress: 8 } as const;

/** Of an error, a result or a progress within a body. */
export const NOTE_INLINE_MAX = 160;

const NOTE_IS_BLOB = 0xffff;
const VALUE_BYTES_MAX = 1900;
const ID_BYTES_MAX = 128;
/** Of a record within a body, what the longest id and three notes leave of a value; larger ones are blobs, which cost twice the time. */
export const RECORD_INLINE_MAX = VALUE_BYTES_MAX - BODY.id - ID_BYTES_MAX - 3 * (2 + NOTE_INLINE_MAX);

/** Values to put are put together here; lmdb copies them at once. */
export const scratch = Buffer.allocUnsafeSlow(VALUE_BYTES_MAX);
const views = Array.from({ length: VALUE_BYTES_MAX + 1 }, (_, length) => scratch.subarray(0, length));

/** The beginning of the scratch memory, as a value. */
export function scratchUpTo(length: number): Buffer {
  const view = views[length];
  assert(view !== undefined, `a value of ${length} bytes`);
  return view;
}

export function encodeBody(body: Body): Buffer {
  const { id, place, record, error, result, progress } = body;
  scratch[BODY.idLength] = id.length;
  scratch[BODY.flags] =
    (Buffer.isBuffer(record) ? 0 : FLAGS.recordBlob) |
    (error === undefined ? 0 : FLAGS.error) |
    (result === undefined ? 0 : FLAGS.result) |
    (progress === undefined ? 0 : FLAGS.progress);
  copyPlace(scratch, BODY.place, place, 0);
  writeUint32(scratch, body.failures, BODY.failures);
  writeUint32(scratch, body.lostLeases, BODY.lostLeases);
  writeUint48(scratch, body.token, BODY.token);
  writeUint48(scratch, body.momentMs, BODY.moment);
  scratch[BODY.mark] = body.mark;
  writeUint32(scratch, body.bytes, BODY.bytes);
  writeUint48(scratch, body.failedToken, BODY.failedToken);
  let at = writeAscii(scratch, id, BODY.id);
  if (Buffer.isBuffer(record)) {
    scratch.set(record, at);
    at += record.length;
  } else {
    at = writeUint48(scratch, record.blob, at);
  }
  for (const note of [error, result, progress]) {
    if (note !== undefined) at = encodeNote(note, at);
  }
  return scratchUpTo(at);
}

/** Writes the body of a task to which nothing has happened yet. `record` has `bytes` bytes. */
export function writeNew(
  target: Buffer,
  at: number,
  id: TaskId,
  place: Buffer,
  bytes: number,
  record: Content,
  dueAtMs: number,
): void {
  target.fill(0, at, at + BODY.id);
  target[at + BODY.idLength] = id.length;
  copyPlace(target, at + BODY.place, place, 0);
  if (dueAtMs > 0) writeUint48(target, dueAtMs, at + BODY.moment);
  writeUint32(target, bytes, at + BODY.bytes);
  const end = writeAscii(target, id, at + BODY.id);
  if (Buffer.isBuffer(record)) {
    target.set(record, end);
    return;
  }
  target[at + BODY.flags] = FLAGS.recordBlob;
  writeUint48(target, record.blob, end);
}

function encodeNote(note: Content, start: number): number {
  if (Buffer.isBuffer(note)) {
    scratch.writeUInt16BE(note.length, start);
    scratch.set(note, start + 2);
    return start + 2 + note.length;
  }
  scratch.writeUInt16BE(NOTE_IS_BLOB, start);
  return writeUint32(scratch, note.length, writeUint48(scratch, note.blob, start + 2));
}

/** `body` must not be overwritten while the answer is used. */
export function decodeBody(body: Buffer): Body {
  const flags = body.readUInt8(BODY.flags);
  const bytes = body.readUInt32BE(BODY.bytes);
  let at = BODY.id + body.readUInt8(BODY.idLength);
  const id = body.toString("latin1", BODY.id, at) as TaskId;
  let record: Content;
  if (flags & FLAGS.recordBlob) {
    record = { blob: body.readUIntBE(at, 6), length: bytes };
    at += BLOB_BYTES;
  } else {
    record = body.subarray(at, at + bytes);
    at += bytes;
  }
  const note = (flag: number): Content | undefined => {
    if ((flags & flag) === 0) return undefined;
    const length = body.readUInt16BE(at);
    at += 2;
    if (length === NOTE_IS_BLOB) {
      at += 10;
      return { blob: body.readUIntBE(at - 10, 6), length: body.readUInt32BE(at - 4) };
    }
    at += length;
    return body.subarray(at - length, at);
  };
  return {
    id,
    place: body.subarray(BODY.place, BODY.place + PLACE_BYTES),
    failures: body.readUInt32BE(BODY.failures),
    lostLeases: body.readUInt32BE(BODY.lostLeases),
    token: body.readUIntBE(BODY.token, 6),
    momentMs: body.readUIntBE(BODY.moment, 6),
    mark: body.readUInt8(BODY.mark),
    bytes,
    failedToken: body.readUIntBE(BODY.failedToken, 6),
    record,
    error: note(FLAGS.error),
    result: note(FLAGS.result),
    progress: note(FLAGS.progress),
  };
}

/** The id within an encoded body that stands at `at`. */
export function idOfBody(row: Buffer, at: number): TaskId {
  return row.toString("latin1", at + BODY.id, at + BODY.id + (row[at + BODY.idLength] ?? 0)) as TaskId;
}

export function deadReasonOf(mark: number): DeadReason {
  const reason = DEAD_REASONS[mark];
  assert(reason !== undefined, `dead reason number ${mark}`);
  return reason;
}

export function encodeProgress({ fraction, message }: Progress): Buffer {
  const bytes = Buffer.alloc(8 + Buffer.byteLength(message));
  bytes.writeDoubleBE(fraction);
  bytes.write(message, 8);
  return bytes;
}

export function decodeProgress(bytes: Buffer): Progress {
  return { fraction: bytes.readDoubleBE(), message: bytes.toString("utf8", 8) };
}

/** Numbers of the states in keys and statuses. They are on disk: never give one another meaning. */
export const STATE = { queued: 1, scheduled: 2, dead: 3, completed: 4, cancelled: 5, gone: 6 } as const;

export type ParkedState = "scheduled" | "dead" | "completed" | "cancelled";

const PARKED: Readonly<Record<number, ParkedState>> = { 2: "scheduled", 3: "dead", 4: "completed", 5: "cancelled" };

export function parkedState(number: number): ParkedState {
  const state = PARKED[number];
  assert(state !== undefined, `state number ${number}`);
  return state;
}

/** Where the body of an id is, or when it went. `queued`: ready, or else leased. */
export type Status =
  | { readonly kind: "queued"; readonly place: Buffer }
  | { readonly kind: ParkedState; readonly place: Buffer; readonly momentMs: number; readonly token: number }
  | { readonly kind: "gone"; readonly momentMs: number; readonly token: number };

const STATUS = { state: 0, moment: 1, token: 7, place: 13 } as const;
/** A queued status holds nothing but the place, and is as long as a gone one: that one is written over it in place. */
const QUEUED_PLACE = 1;
const SHORT_BYTES = STATUS.place;
const LONG_BYTES = STATUS.place + PLACE_BYTES;

/** `place` is found in `source` at `from`. */
export function encodeQueued(source: Buffer, from: number): Buffer {
  scratch[STATUS.state] = STATE.queued;
  writeUint16(scratch, 0, copyPlace(scratch, QUEUED_PLACE, source, from));
  return scratchUpTo(SHORT_BYTES);
}

/** `token`: of the completion, 0 for none. */
export function encodeParked(state: ParkedState, momentMs: number, token: number, place: Buffer): Buffer {
  encodeGone(momentMs, token);
  scratch[STATUS.state] = STATE[state];
  copyPlace(scratch, STATUS.place, place, 0);
  return scratchUpTo(LONG_BYTES);
}

export function encodeGone(momentMs: number, token: number): Buffer {
  scratch[STATUS.state] = STATE.gone;
  writeUint48(scratch, momentMs, STATUS.moment);
  writeUint48(scratch, token, STATUS.token);
  return scratchUpTo(SHORT_BYTES);
}

/** Copies out of `status`, which may be overwritten afterwards. */
export function decodeStatus(status: Buffer): Status {
  const state = status[STATUS.state] ?? 0;
  const place = Buffer.allocUnsafe(PLACE_BYTES);
  if (state === STATE.queued) {
    copyPlace(place, 0, status, QUEUED_PLACE);
    return { kind: "queued", place };
  }
  const momentMs = status.readUIntBE(STATUS.moment, 6);
  const token = status.readUIntBE(STATUS.token, 6);
  if (state === STATE.gone) return { kind: "gone", momentMs, token };
  copyPlace(place, 0, status, STATUS.place);
  return { kind: parkedState(state), place, momentMs, token };
}

/** When an id went that is only remembered; undefined when it is not. */
export function goneMoment(status: Buffer): number | undefined {
  return status[STATUS.state] === STATE.gone ? status.readUIntBE(STATUS.moment, 6) : undefined;
}

/** The token of the completion, 0 for none. */
export function completionToken(status: Buffer): number {
  return status.readUIntBE(STATUS.token, 6);
}

/** The session whose name a row begins with, after its length. */
export function sessionIn(row: Buffer): SessionId {
  return row.toString("latin1", 1, 1 + (row[0] ?? 0)) as SessionId;
}

export function tokenNumber(token: LeaseToken): number {
  return Number.parseInt(token, 16);
}

export function tokenText(number: number): LeaseToken {
  return leaseToken(number);
}

export function topicNameOf(key: Buffer): TopicName {
  return key.toString("latin1") as TopicName;
}

/** What a table of ids holds after `from`. */
export function idAfter(key: Buffer, from: number): TaskId {
  return key.toString("latin1", from) as TaskId;
}

/** Ids in a chunk of ended ones, each after its length. */
export function* idsInChunk(chunk: Buffer, from: number): Generator<TaskId> {
  for (let at = from; at < chunk.length; ) {
    const end = at + 1 + (chunk[at] ?? 0);
    yield chunk.toString("latin1", at + 1, end) as TaskId;
    at = end;
  }
}
