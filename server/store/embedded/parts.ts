/**
 * Values larger than a row should be, cut into rows. Their keys are a prefix and
 * the number of the part; an empty value has one empty part, which is not the
 * same as no value.
 */
import { type Table, VALUE_BYTES_MAX } from "./database.js";
import { bound, partOf } from "./keys.js";

const PARTS_MAX = 0xffffffff;
const EMPTY = Buffer.alloc(0);

/** Replaces what there was. */
export function putParts(table: Table, prefix: Buffer, bytes: Buffer): void {
  removeParts(table, prefix, Math.max(1, Math.ceil(bytes.length / VALUE_BYTES_MAX)));
  let part = 0;
  for (let at = 0; at === 0 || at < bytes.length; at += VALUE_BYTES_MAX) {
    table.put(partOf(prefix, part++), bytes.subarray(at, at + VALUE_BYTES_MAX));
  }
}

/** A copy; empty when there is no value. */
export function readParts(table: Table, prefix: Buffer): Buffer {
  const first = table.get(partOf(prefix, 0));
  if (first === undefined) return EMPTY;
  if (first.length < VALUE_BYTES_MAX) return first;
  const rest = table.rows(bound(partOf(prefix, 1)), bound(partOf(prefix, PARTS_MAX)), PARTS_MAX);
  return Buffer.concat([first, ...rest.map(({ value }) => value)]);
}

/** Removes the parts from number `from` on. */
export function removeParts(table: Table, prefix: Buffer, from = 0): void {
  for (const key of table.keys(bound(partOf(prefix, from)), bound(partOf(prefix, PARTS_MAX)), PARTS_MAX)) {
    table.remove(key);
  }
}
