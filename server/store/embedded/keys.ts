/**
 * How keys are written. Numbers are big-endian and of fixed width, so that the
 * order of the bytes is the order of what they mean. Ids, session ids and topic
 * names are ASCII without control characters, and 0 ends them where something
 * follows.
 *
 * Functions that return `Scratch` write into one shared piece of memory: the key
 * is good until the next one is made, which saves an allocation for each of the
 * half dozen keys a task needs. lmdb copies a key when it is given one, except
 * the bounds of a range; those are made by `bound` and stay.
 */

import assert from "node:assert";
import { charCodeAt } from "../../lib/char-code.js";

export type Scratch = Buffer;

/** A place: the priority with its sign bit flipped, then the number of the enqueue. */
export const PLACE_BYTES = 10;
const MOMENT_BYTES = 6;
const TOPIC_BYTES = 4;
const KEY_BYTES_MAX = 600;

const bytes = Buffer.allocUnsafeSlow(KEY_BYTES_MAX);
const views = Array.from({ length: KEY_BYTES_MAX + 1 }, (_, length) => bytes.subarray(0, length));

function upTo(length: number): Scratch {
  const view = views[length];
  assert(view !== undefined, `a key of ${length} bytes`);
  return view;
}

/** A key that stays: the bound of a range. */
export function bound(key: Scratch): Buffer {
  return Buffer.from(key);
}

/** The least key greater than `key`. */
export function successor(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.of(0)]);
}

export function writeUint16(target: Buffer, value: number, at: number): number {
  target[at] = value >>> 8;
  target[at + 1] = value;
  return at + 2;
}

export function writeUint32(target: Buffer, value: number, at: number): number {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
  return at + 4;
}

const TWO_TO_32 = 2 ** 32;

/** 48 bits: moments, and numbers that only rise. */
export function writeUint48(target: Buffer, value: number, at: number): number {
  const high = Math.floor(value / TWO_TO_32);
  target[at] = high >>> 8;
  target[at + 1] = high;
  return writeUint32(target, value % TWO_TO_32, at + 2);
}

export function writeAscii(target: Buffer, text: string, at: number): number {
  // For texts this short a loop is three times as fast as a call into Node.
  const { length } = text;
  for (let index = 0; index < length; index++) target[at + index] = charCodeAt(text, index);
  return at + length;
}

export function copyPlace(target: Buffer, at: number, source: Buffer, from: number): number {
  for (let index = 0; index < PLACE_BYTES; index++) target[at + index] = source[from + index] ?? 0;
  return at + PLACE_BYTES;
}

export function comparePlaces(a: Buffer, aFrom: number, b: Buffer, bFrom: number): number {
  return a.compare(b, bFrom, bFrom + PLACE_BYTES, aFrom, aFrom + PLACE_BYTES);
}

export function writePlace(target: Buffer, priority: number, number: number, at: number): number {
  return writeUint48(target, number, writeUint32(target, priority ^ 0x80000000, at));
}

export function topicKey(topic: number): Scratch {
  return upTo(writeUint32(bytes, topic, 0));
}

/** status, and hold with a session instead of the id. */
export function nameKey(topic: number, name: string): Scratch {
  return upTo(writeAscii(bytes, name, writeUint32(bytes, topic, 0)));
}

/** ready. The place is found in `source` at `from`. */
export function placeKey(topic: number, source: Buffer, from: number): Scratch {
  return upTo(copyPlace(bytes, writeUint32(bytes, topic, 0), source, from));
}

/** The bounds of all of a topic's rows in a table. */
export function topicBounds(topic: number): { start: Buffer; end: Buffer } {
  return { start: bound(topicKey(topic)), end: bound(topicKey(topic + 1)) };
}

/** parked. */
export function parkedKey(topic: number, state: number, momentMs: number, source: Buffer, from: number): Scratch {
  const at = writeUint32(bytes, topic, 0);
  bytes[at] = state;
  return upTo(copyPlace(bytes, writeUint48(bytes, momentMs, at + 1), source, from));
}

export function parkedBounds(topic: number, state: number): { start: Buffer; end: Buffer } {
  const at = writeUint32(bytes, topic, 0);
  bytes[at] = state;
  const start = bound(upTo(at + 1));
  bytes[at] = state + 1;
  return { start, end: bound(upTo(at + 1)) };
}

/** The due or ended moment of a parked row. */
export function parkedMoment(key: Buffer): number {
  return key.readUIntBE(TOPIC_BYTES + 1, MOMENT_BYTES);
}

/** retention. */
export function retentionKey(topic: number, untilMs: number, source: Buffer, from: number): Scratch {
  return upTo(copyPlace(bytes, writeUint48(bytes, untilMs, writeUint32(bytes, topic, 0)), source, from));
}

export const RETENTION_PLACE_AT = TOPIC_BYTES + MOMENT_BYTES;

export function retentionMoment(key: Buffer): number {
  return key.readUIntBE(TOPIC_BYTES, MOMENT_BYTES);
}

/** ended, leased, and the beginning of a blob's keys. */
export function numberKey(topic: number, number: number): Scratch {
  return upTo(writeUint48(bytes, number, writeUint32(bytes, topic, 0)));
}

/** external. The id follows a length, because an external id may hold any character. */
export function externalKey(topic: number, externalId: string, id: string): Scratch {
  const at = writeUint32(bytes, topic, 0);
  const length = bytes.write(externalId, at + 2);
  assert(length < KEY_BYTES_MAX - 160, `an external id of ${length} bytes or more`);
  bytes.writeUInt16BE(length, at);
  return upTo(writeAscii(bytes, id, at + 2 + length));
}

/** expiry. */
export function expiryKey(momentMs: number, session: string): Scratch {
  return upTo(writeAscii(bytes, session, writeUint48(bytes, momentMs, 0)));
}

export function expiryMoment(key: Buffer): number {
  return key.readUIntBE(0, MOMENT_BYTES);
}

export function expirySession(key: Buffer): string {
  return key.toString("latin1", MOMENT_BYTES);
}

/** What the keys of the parts of a session begin with. */
export function sessionPartKey(session: string, kind: number): Buffer {
  const at = writeAscii(bytes, session, 0);
  bytes[at] = 0;
  bytes[at + 1] = kind;
  return bound(upTo(at + 2));
}

/** What the keys of the parts of a blob begin with. */
export function blobKey(topic: number, number: number): Buffer {
  return bound(numberKey(topic, number));
}

/** What the keys of the parts of a batch of events begin with. */
export function eventKey(number: number): Buffer {
  return bound(upTo(writeUint48(bytes, number, 0)));
}

export function eventNumber(key: Buffer): number {
  return key.readUIntBE(0, MOMENT_BYTES);
}

/** The key of one part of something that is cut up. */
export function partOf(prefix: Buffer, part: number): Scratch {
  bytes.set(prefix);
  return upTo(writeUint32(bytes, part, prefix.length));
}

/** book, topic, settings, session: a name is the whole key. */
export function textKey(name: string): Scratch {
  return upTo(writeAscii(bytes, name, 0));
}
