/**
 * Calls about tasks of any topics as bytes: what stands together in them is of one
 * topic, whose name is told once. See packing.ts; enqueue-straight.lua and
 * complete-straight.lua take it apart.
 */
import assert from "node:assert";
import type { SessionId, TopicName } from "../../domain/ids.js";
import { encodeHead } from "../record.js";
import type { LeaseRef, NewTask, SessionRef } from "../store.js";
import { writeText } from "./packing.js";

/** A topic of a call, and where its items are in that call. */
export interface Group {
  readonly topic: TopicName;
  readonly at: number[];
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
    for (const i of at) size += 3 + item(items, i).id.length + topic.length;
  }
  const packed = Buffer.allocUnsafe(size);
  let end = 0;
  for (const { topic, at } of groups) {
    for (const i of at) {
      const { id } = item(items, i);
      end = writeText(packed, id, packed.writeUInt16BE(id.length + 1 + topic.length, end));
      packed[end] = 10;
      end = writeText(packed, topic, end + 1);
    }
  }
  return packed;
}

/** Sessions of a call: each is told once, and named by its number, from 1. */
export class Numbers {
  readonly sessions: SessionRef[] = [];
  readonly #of = new Map<SessionId, number>();

  /** Undefined for a session that is there with another epoch. */
  of(session: SessionRef): number | undefined {
    const known = this.#of.get(session.id);
    if (known !== undefined) return this.sessions[known - 1]?.epoch === session.epoch ? known : undefined;
    const number = this.sessions.push(session);
    this.#of.set(session.id, number);
    return number;
  }
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
  numbers: Numbers,
): PackedTasks {
  const lines = new Array<string>(tasks.length);
  const sizes = new Array<number>(tasks.length).fill(0);
  let size = 0;
  for (const { at } of groups) {
    for (const i of at) {
      const { head, spec } = item(tasks, i);
      const line = encodeHead(head);
      const bytes = Buffer.byteLength(line) + spec.length;
      lines[i] = line;
      sizes[i] = bytes;
      size += HEAD_BYTES + item(takers, i).id.length + bytes;
    }
  }
  const packed = Buffer.allocUnsafe(size);
  let end = 0;
  for (const { at } of groups) {
    for (const i of at) {
      const taker = item(takers, i);
      const bytes = sizes[i] ?? 0;
      end = packed.writeUInt16BE(numbers.of(taker) ?? 0, end);
      end = packed.writeUInt32BE(5 + taker.id.length + bytes, end);
      end = packed.writeUInt32BE(bytes, end);
      packed[end] = taker.id.length;
      end = writeText(packed, taker.id, end + 1);
      end = writeText(packed, lines[i] ?? "", end);
      const { spec } = item(tasks, i);
      packed.set(spec, end);
      end += spec.length;
    }
  }
  return { packed, sizes };
}

const LEASE_BYTES = 8;

/** Of each 2 bytes of its session's number, and its token. */
export function packLeases(groups: readonly Group[], leases: readonly LeaseRef[], numbers: Numbers): Buffer {
  const packed = Buffer.allocUnsafe(LEASE_BYTES * itemsOf(groups));
  let end = 0;
  for (const { at } of groups) {
    for (const i of at) {
      const { session, token } = item(leases, i);
      end = packed.writeUInt16BE(numbers.of({ id: session, epoch: 0 }) ?? 0, end);
      // Twelve digits: the number they write, in six bytes.
      end += packed.write(token, end, "hex");
    }
  }
  return packed;
}

function item<Item>(items: readonly Item[], i: number): Item {
  const found = items[i];
  assert(found !== undefined);
  return found;
}
