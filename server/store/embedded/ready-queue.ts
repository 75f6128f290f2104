/**
 * The input queue of a topic: bodies in order of place, packed into rows.
 *
 * The key of a row is a place not after its first task's, and the places of its
 * tasks are all before the next row's key. So the row that holds a place, or
 * where it belongs, is the last one whose key is not after it. A row keeps its
 * key while tasks are taken from its front.
 */
import assert from "node:assert";
import { BODY, type Body, decodeBody, encodeBody } from "./body-codec.js";
import type { Place } from "./change.js";
import { type Row, VALUE_BYTES_MAX } from "./database.js";
import { endOf, entriesOf, entry, LENGTH_BYTES } from "./entries.js";
import { bound, comparePlaces, PLACE_BYTES, placeKey, topicBounds, writeUint16 } from "./keys.js";

const rowBytes = Buffer.allocUnsafeSlow(VALUE_BYTES_MAX);

/** Appends tasks that come after all others of their priority, as new ones do. One at a time may be in use. */
export class Appender {
  readonly #place: Place;
  readonly #first = Buffer.alloc(PLACE_BYTES);
  #at = 0;

  constructor(place: Place) {
    this.#place = place;
  }

  /** Room for a body of that length; the caller writes it there. */
  reserve(place: Buffer, length: number): { readonly target: Buffer; readonly at: number } {
    const fits = this.#at + LENGTH_BYTES + length <= VALUE_BYTES_MAX;
    // A row must not reach over tasks of another priority.
    if (this.#at > 0 && !(fits && samePriority(place, this.#first))) this.flush();
    if (this.#at === 0) this.#first.set(place);
    const at = this.#at + LENGTH_BYTES;
    writeUint16(rowBytes, length, this.#at);
    this.#at = at + length;
    return { target: rowBytes, at };
  }

  flush(): void {
    const { tables, topic } = this.#place;
    if (this.#at > 0) tables.ready.put(placeKey(topic.number, this.#first, 0), rowBytes.subarray(0, this.#at));
    this.#at = 0;
  }
}

function samePriority(a: Buffer, b: Buffer): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2] && a[3] === b[3];
}

/** A ready task within its row. */
export interface Entry {
  readonly row: Buffer;
  readonly at: number;
  readonly end: number;
}

/** The front of the queue, from which tasks are taken one by one. */
export class Front {
  readonly #place: Place;
  readonly #end: Buffer;
  #start: Buffer;
  #rows: Row[] = [];
  /** The row in use, and how far it is used. */
  #index = 0;
  #from = 0;

  constructor(place: Place) {
    this.#place = place;
    const { start, end } = topicBounds(place.topic.number);
    this.#start = start;
    this.#end = end;
  }

  /** The first task. `wanted`: about how many the caller is going to ask for. */
  peek(wanted: number): Entry | undefined {
    let row = this.#rows[this.#index];
    if (row === undefined) {
      this.finish();
      this.#rows = this.#place.tables.ready.rows(this.#start, this.#end, Math.ceil(wanted / ROW_TASKS));
      row = this.#rows[0];
      if (row === undefined) return undefined;
    }
    return { row: row.value, at: this.#from + LENGTH_BYTES, end: endOf(row.value, this.#from) };
  }

  /** Takes the task that `peek` showed. */
  take({ row, end }: Entry): void {
    this.#from = end;
    if (end < row.length) return;
    this.#index += 1;
    this.#from = 0;
  }

  /** Writes down what was taken. */
  finish(): void {
    const { ready } = this.#place.tables;
    for (const { key } of this.#rows.slice(0, this.#index)) ready.remove(key);
    const rest = this.#rows[this.#index];
    if (rest !== undefined && this.#from > 0) ready.put(rest.key, rest.value.subarray(this.#from));
    this.#rows = [];
    this.#index = 0;
    this.#from = 0;
  }
}

/** Tasks in a row, about, when they are small. */
const ROW_TASKS = 8;

export function readyBody(place: Place, of: Buffer): Body {
  const { row } = rowOf(place, of);
  return decodeBody(row.subarray(...spanOf(row, of)));
}

/** Takes a task out of the queue, wherever it stands. */
export function removeReady(place: Place, of: Buffer): void {
  const { key, row } = rowOf(place, of);
  const [at, end] = spanOf(row, of);
  putRow(place, key, [row.subarray(0, at - LENGTH_BYTES), row.subarray(end)]);
}

/** Puts a task at its place, from which it was taken before. */
export function insertReady(place: Place, body: Body): void {
  const { tables, topic } = place;
  const bytes = entry(encodeBody(body));
  const before = tables.ready.floor(bound(placeKey(topic.number, body.place, 0)), topicBounds(topic.number).start);
  const split = before === undefined ? undefined : splitAt(before.value, body.place);
  if (before === undefined || split === undefined) {
    tables.ready.put(placeKey(topic.number, body.place, 0), bytes);
    return;
  }
  const head = before.value.subarray(0, split);
  const tail = before.value.subarray(split);
  if (before.value.length + bytes.length <= VALUE_BYTES_MAX) {
    putRow(place, before.key, [head, bytes, tail]);
    return;
  }
  putRow(place, before.key, [head]);
  tables.ready.put(placeKey(topic.number, body.place, 0), bytes);
  putRow(place, bound(placeKey(topic.number, tail, LENGTH_BYTES + BODY.place)), [tail]);
}

/** Where in a row a place belongs; undefined when that is after its last task. */
function splitAt(row: Buffer, place: Buffer): number | undefined {
  for (const { at } of entriesOf(row, 0)) {
    if (comparePlaces(row, at + BODY.place, place, 0) > 0) return at - LENGTH_BYTES;
  }
  return undefined;
}

function putRow({ tables }: Place, key: Buffer, parts: readonly Buffer[]): void {
  const row = Buffer.concat(parts);
  if (row.length === 0) tables.ready.remove(key);
  else tables.ready.put(key, row);
}

function rowOf({ tables, topic }: Place, place: Buffer): { key: Buffer; row: Buffer } {
  const found = tables.ready.floor(bound(placeKey(topic.number, place, 0)), topicBounds(topic.number).start);
  assert(found !== undefined, "a ready task is not in the queue");
  return { key: found.key, row: found.value };
}

function spanOf(row: Buffer, place: Buffer): [at: number, end: number] {
  for (const { at, end } of entriesOf(row, 0)) {
    if (comparePlaces(row, at + BODY.place, place, 0) === 0) return [at, end];
  }
  assert.fail("a ready task is not in its row");
}

/** Up to `limit` tasks after a place, or from the front. */
export function readyAfter({ tables, topic }: Place, after: Buffer | undefined, limit: number): Body[] {
  const bounds = topicBounds(topic.number);
  const first = after && tables.ready.floor(bound(placeKey(topic.number, after, 0)), bounds.start);
  const bodies: Body[] = [];
  for (let start = first?.key ?? bounds.start; bodies.length < limit; ) {
    const rows = tables.ready.rows(start, bounds.end, limit);
    for (const { value } of rows) {
      for (const { at, end } of entriesOf(value, 0)) {
        const isAfter = after === undefined || comparePlaces(value, at + BODY.place, after, 0) > 0;
        if (isAfter && bodies.length < limit) bodies.push(decodeBody(value.subarray(at, end)));
      }
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < limit) break;
    start = Buffer.concat([last.key, Buffer.of(0)]);
  }
  return bodies;
}
