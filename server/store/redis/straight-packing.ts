/**
 * Calls about tasks of any topics as bytes: what stands together in them is of one
 * topic, whose name is told once. See packing.ts; enqueue-straight.lua and
 * complete-straight.lua take it apart.
 */
import type { SessionId, TopicName } from "../../domain/ids.js";
import { encodeHead } from "../record.js";
import type { LeaseRef, NewTask, SessionRef } from "../store.js";
import { at as itemAt, writeText } from "./packing.js";

/** What a call has of one topic. */
export interface Group {
  readonly topic: TopicName;
  /** Where its items are in the call. */
  readonly at: number[];
}

/** What both calls are told. */
export interface StraightCall {
  /** One of those of the call: they are of one scope. */
  readonly topic: TopicName;
  readonly now: number;
  readonly endedWindowMs: number;
  readonly groups: readonly Group[];
}

export function itemsOf(groups: readonly Group[]): number {
  let count = 0;
  for (const { at } of groups) count += at.length;
  return count;
}

/** A byte of length and the name; 2 bytes of how many items are its. */
export function packTopics(groups: readonly Group[]): Buffer {
  let size = 0;
  for (const { topic } of groups) size += 3 + topic.length;
  const packed = Buffer.allocUnsafe(size);
  let end = 0;
  for (const { topic, at } of groups) {
    packed[end] = topic.length;
    end = packed.writeUInt16BE(at.length, writeText(packed, topic, end + 1));
  }
  return packed;
}

/** 2 bytes of length; id, newline, topic. */
export function packFields(groups: readonly Group[], items: readonly { readonly id: string }[]): Buffer {
  let size = 0;
  for (const { topic, at } of groups) {
    for (const i of at) size += 3 + itemAt(items, i).id.length + topic.length;
  }
  const packed = Buffer.allocUnsafe(size);
  let end = 0;
  for (const { topic, at } of groups) {
    for (const i of at) {
      const { id } = itemAt(items, i);
      end = writeText(packed, id, packed.writeUInt16BE(id.length + 1 + topic.length, end));
      packed[end] = 10;
      end = writeText(packed, topic, end + 1);
    }
  }
  return packed;
}

export interface PackedTasks {
  readonly packed: Buffer;
  /** Bytes of each record, by where it is in the call. */
  readonly sizes: readonly number[];
}

/** What a task has before its record: 2 bytes of the taker's number, 4 of length; 4 of the record's size, and a byte of the session's length. */
const HEAD_BYTES = 11;

/** Of each its taker's number, and what is kept of it behind its moment: see scripts/fragments/folded.lua. */
export function packStraight(
  groups: readonly Group[],
  tasks: readonly NewTask[],
  takers: readonly SessionRef[],
  numbers: readonly number[],
): PackedTasks {
  const sizes = new Array<number>(tasks.length).fill(0);
  let size = 0;
  for (const { at } of groups) {
    for (const i of at) {
      const { head, spec } = itemAt(tasks, i);
      const bytes = Buffer.byteLength(encodeHead(head)) + spec.length;
      sizes[i] = bytes;
      size += HEAD_BYTES + itemAt(takers, i).id.length + bytes;
    }
  }
  const packed = Buffer.allocUnsafe(size);
  let end = 0;
  for (const { at } of groups) {
    for (const i of at) {
      const { id } = itemAt(takers, i);
      const { head, spec } = itemAt(tasks, i);
      const bytes = sizes[i] ?? 0;
      end = packed.writeUInt16BE(numbers[i] ?? 0, end);
      end = packed.writeUInt32BE(5 + id.length + bytes, end);
      end = packed.writeUInt32BE(bytes, end);
      packed[end] = id.length;
      end = writeText(packed, id, end + 1);
      end = writeText(packed, encodeHead(head), end);
      packed.set(spec, end);
      end += spec.length;
    }
  }
  return { packed, sizes };
}

const LEASE_BYTES = 8;

/** Of each 2 bytes of its session's number, and its token. */
export function packLeases(
  groups: readonly Group[],
  leases: readonly LeaseRef[],
  numberOf: (session: SessionId) => number,
): Buffer {
  const packed = Buffer.allocUnsafe(LEASE_BYTES * itemsOf(groups));
  let end = 0;
  for (const { at } of groups) {
    for (const i of at) {
      const { session, token } = itemAt(leases, i);
      end = packed.writeUInt16BE(numberOf(session), end);
      // Twelve digits: the number they write, in six bytes.
      end += packed.write(token, end, "hex");
    }
  }
  return packed;
}
