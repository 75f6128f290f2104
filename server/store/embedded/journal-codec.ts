/**
 * How verbs are written down in the journal: the number of the verb, then its
 * arguments. Most are JSON; those of the hot path, and whatever holds bytes, have
 * a form of their own.
 *
 * The numbers and forms are on disk. A version that changes one, or changes what
 * a verb does, must raise LAYOUT in folder.ts: replaying an old journal has to
 * end where the process that wrote it did.
 */

import assert from "node:assert";
import type { LeaseToken, SessionId, TaskId, TopicName } from "../../domain/ids.js";
import { charCodeAt } from "../../lib/char-code.js";
import { decodeRecord } from "../record.js";
import type { Completion, Demand, SessionRef, TopicLeaseRef, TopicTask } from "../store.js";
import type { Ending } from "./change.js";
import type { EnqueueOptions, NewRecord } from "./enqueue.js";
import { ENTRY_HEAD_BYTES } from "./journal.js";

/** In the order of their numbers, from 1. */
export const JOURNALED = [
  "enqueue",
  "lease",
  "complete",
  "fail",
  "release",
  "progress",
  "promote",
  "expire",
  "prune",
  "requeue",
  "cancel",
  "remove",
  "purge",
  "configure",
  "openSession",
  "resumeSession",
  "renewSessions",
  "detachSession",
  "expiredSessions",
  "extendSessions",
  "closeSession",
  "appendEvents",
  "announceWatch",
  "scrub",
  "enqueueStraight",
  "completeStraight",
] as const;

export type Journaled = (typeof JOURNALED)[number];

const NUMBERS = Object.fromEntries(JOURNALED.map((verb, index) => [verb, index + 1]));
const INITIAL_BYTES = 64 * 1024;
/** A buffer that grew larger is not kept. */
const KEPT_BYTES_MAX = 4 * 1024 * 1024;

/** Writes entries one after the other, into memory that is used again once it is cleared. */
export class EntryWriter {
  #buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #at = 0;
  #starts: number[] = [];

  /** Begins an entry, after room for its head. */
  begin(verb: Journaled): this {
    this.#starts.push(this.#at);
    this.#room(ENTRY_HEAD_BYTES);
    this.#at += ENTRY_HEAD_BYTES;
    this.#byte(NUMBERS[verb] ?? 0);
    return this;
  }

  /** The entries, each after room for its head. */
  get written(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  /** Where each entry begins. */
  get starts(): readonly number[] {
    return this.#starts;
  }

  get length(): number {
    return this.#at;
  }

  /** Drops the entries that begin there or later. */
  cut(length: number): void {
    this.#at = length;
    while ((this.#starts.at(-1) ?? -1) >= length) this.#starts.pop();
  }

  clear(): void {
    if (this.#buffer.length > KEPT_BYTES_MAX) this.#buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
    this.#at = 0;
    this.#starts = [];
  }

  json(args: readonly unknown[]): this {
    const text = JSON.stringify(args);
    this.#room(text.length * 3);
    this.#at += this.#buffer.write(text, this.#at);
    return this;
  }

  bytes(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }

  enqueue(topic: TopicName, tasks: readonly NewRecord[], options: EnqueueOptions): this {
    this.#text(topic);
    this.#ending(options);
    this.#number(options.tasksMax);
    this.#number(options.bytesMax);
    this.#demands(options.demands ?? []);
    this.#uint32(tasks.length);
    for (const { id, record, dueAtMs } of tasks) {
      this.#text(id);
      this.#number(dueAtMs);
      this.#uint32(record.length);
      this.bytes(record);
    }
    return this;
  }

  lease(topic: TopicName, demands: readonly Demand[], { now }: Pick<Ending, "now">): this {
    this.#text(topic);
    this.#number(now);
    this.#demands(demands);
    return this;
  }

  complete(
    topic: TopicName,
    completions: readonly Completion[],
    options: Ending & { readonly demands?: readonly Demand[] },
  ): this {
    this.#text(topic);
    this.#ending(options);
    this.#demands(options.demands ?? []);
    this.#uint32(completions.length);
    let before = "";
    for (const { id, session, token, result } of completions) {
      this.#text(id);
      // Completions of one session mostly come together: an empty name says that it is the same as before.
      this.#text(session === before ? "" : session);
      before = session;
      this.#text(token);
      this.#byte(result === undefined ? 0 : 1);
      if (result === undefined) continue;
      this.#uint32(result.length);
      this.bytes(result);
    }
    return this;
  }

  enqueueStraight(
    tasks: readonly TopicTask[],
    records: readonly Buffer[],
    takers: readonly SessionRef[],
    ending: Ending,
  ): this {
    this.#ending(ending);
    this.#uint32(tasks.length);
    let topicBefore = "";
    let takerBefore = "";
    for (const [index, { topic, id, dueAtMs }] of tasks.entries()) {
      const [record, taker] = [records[index], takers[index]];
      assert(record !== undefined && taker !== undefined, "each task has its record and its taker");
      this.#text(topic === topicBefore ? "" : topic);
      topicBefore = topic;
      this.#text(taker.id === takerBefore ? "" : taker.id);
      takerBefore = taker.id;
      this.#uint32(taker.epoch);
      this.#text(id);
      this.#number(dueAtMs);
      this.#uint32(record.length);
      this.bytes(record);
    }
    return this;
  }

  completeStraight(leases: readonly TopicLeaseRef[], ending: Ending): this {
    this.#ending(ending);
    this.#uint32(leases.length);
    let topicBefore = "";
    let sessionBefore = "";
    for (const { topic, id, session, token } of leases) {
      this.#text(topic === topicBefore ? "" : topic);
      topicBefore = topic;
      this.#text(id);
      this.#text(session === sessionBefore ? "" : session);
      sessionBefore = session;
      this.#text(token);
    }
    return this;
  }

  #ending({ now, endedWindowMs }: Ending): void {
    this.#number(now);
    this.#number(endedWindowMs);
  }

  #demands(demands: readonly Demand[]): void {
    this.#uint32(demands.length);
    for (const { session, limit, bytesMax } of demands) {
      this.#text(session.id);
      this.#uint32(session.epoch);
      this.#uint32(limit);
      this.#number(bytesMax);
    }
  }

  #byte(value: number): void {
    this.#room(1);
    this.#buffer[this.#at++] = value;
  }

  #uint32(value: number): void {
    this.#room(4);
    this.#at = this.#buffer.writeUInt32BE(value, this.#at);
  }

  #number(value: number): void {
    this.#room(8);
    this.#at = this.#buffer.writeDoubleBE(value, this.#at);
  }

  /** Ids and names: ASCII, up to 255 characters. */
  #text(text: string): void {
    const { length } = text;
    this.#room(1 + length);
    const buffer = this.#buffer;
    let at = this.#at;
    buffer[at++] = length;
    for (let index = 0; index < length; index++) buffer[at++] = charCodeAt(text, index);
    this.#at = at;
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#buffer.length, this.#at + bytes));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}

/** The verb of an entry and its arguments. */
export function decodeEntry(entry: Buffer): { readonly verb: Journaled; readonly args: readonly unknown[] } {
  const verb = JOURNALED[entry.readUInt8() - 1];
  assert(verb !== undefined, "the journal names a verb that this version does not know");
  const reader = new EntryReader(entry);
  switch (verb) {
    case "enqueue":
      return { verb, args: reader.enqueue() };
    case "lease":
      return { verb, args: reader.lease() };
    case "complete":
      return { verb, args: reader.complete() };
    case "enqueueStraight":
      return { verb, args: reader.enqueueStraight() };
    case "completeStraight":
      return { verb, args: reader.completeStraight() };
    case "appendEvents":
      return { verb, args: [reader.rest()] };
    default:
      return { verb, args: JSON.parse(reader.rest().toString()) };
  }
}

class EntryReader {
  readonly #entry: Buffer;
  #at = 1;

  constructor(entry: Buffer) {
    this.#entry = entry;
  }

  enqueue(): [TopicName, NewRecord[], EnqueueOptions] {
    const topic = this.#text() as TopicName;
    const ending = this.#ending();
    const options = { ...ending, tasksMax: this.#number(), bytesMax: this.#number(), demands: this.#demands() };
    const tasks = this.#list((): NewRecord => {
      const id = this.#text() as TaskId;
      const dueAtMs = this.#number();
      const record = this.#bytes(this.#uint32());
      return { id, ...decodeRecord(record), record, dueAtMs };
    });
    return [topic, tasks, options];
  }

  lease(): [TopicName, Demand[], Pick<Ending, "now">] {
    const topic = this.#text() as TopicName;
    const now = this.#number();
    return [topic, this.#demands(), { now }];
  }

  complete(): [TopicName, Completion[], Ending & { readonly demands: Demand[] }] {
    const topic = this.#text() as TopicName;
    const ending = this.#ending();
    const demands = this.#demands();
    let session = "" as SessionId;
    const completions = this.#list((): Completion => {
      const id = this.#text() as TaskId;
      session = (this.#text() || session) as SessionId;
      const token = this.#text() as LeaseToken;
      const lease = { id, session, token };
      return this.#bytes(1)[0] === 1 ? { ...lease, result: this.#bytes(this.#uint32()) } : lease;
    });
    return [topic, completions, { ...ending, demands }];
  }

  enqueueStraight(): [TopicTask[], Buffer[], SessionRef[], Ending] {
    const ending = this.#ending();
    const records: Buffer[] = [];
    const takers: SessionRef[] = [];
    let topic = "" as TopicName;
    let taker = "" as SessionId;
    const tasks = this.#list((): TopicTask => {
      topic = (this.#text() || topic) as TopicName;
      taker = (this.#text() || taker) as SessionId;
      takers.push({ id: taker, epoch: this.#uint32() });
      const id = this.#text() as TaskId;
      const dueAtMs = this.#number();
      const record = this.#bytes(this.#uint32());
      records.push(record);
      return { topic, id, ...decodeRecord(record), dueAtMs };
    });
    return [tasks, records, takers, ending];
  }

  completeStraight(): [TopicLeaseRef[], Ending] {
    const ending = this.#ending();
    let topic = "" as TopicName;
    let session = "" as SessionId;
    const leases = this.#list((): TopicLeaseRef => {
      topic = (this.#text() || topic) as TopicName;
      const id = this.#text() as TaskId;
      session = (this.#text() || session) as SessionId;
      return { topic, id, session, token: this.#text() as LeaseToken };
    });
    return [leases, ending];
  }

  rest(): Buffer {
    return this.#bytes(this.#entry.length - this.#at);
  }

  #ending(): Ending {
    return { now: this.#number(), endedWindowMs: this.#number() };
  }

  #demands(): Demand[] {
    return this.#list((): Demand => {
      const id = this.#text() as SessionId;
      return { session: { id, epoch: this.#uint32() }, limit: this.#uint32(), bytesMax: this.#number() };
    });
  }

  #list<Item>(read: () => Item): Item[] {
    return Array.from({ length: this.#uint32() }, read);
  }

  #uint32(): number {
    this.#at += 4;
    return this.#entry.readUInt32BE(this.#at - 4);
  }

  #number(): number {
    this.#at += 8;
    return this.#entry.readDoubleBE(this.#at - 8);
  }

  #text(): string {
    return this.#bytes(this.#bytes(1)[0] ?? 0).toString("latin1");
  }

  #bytes(length: number): Buffer {
    this.#at += length;
    return this.#entry.subarray(this.#at - length, this.#at);
  }
}
