/**
 * Bodies packed into a row, one after the other, each after its length. Ready
 * and leased tasks are kept so: they come and go in batches, and a row for ten
 * tasks costs little more than a row for one.
 */
/** Of the length before an entry. */
export const LENGTH_BYTES = 2;

/** Where each entry of a row begins and ends. `from`: where the first one's length stands. */
export function* entriesOf(row: Buffer, from: number): Generator<{ readonly at: number; readonly end: number }> {
  for (let next = from; next < row.length; ) {
    const at = next + LENGTH_BYTES;
    next = endOf(row, next);
    yield { at, end: next };
  }
}

/** Where the entry ends whose length stands at `from`. */
export function endOf(row: Buffer, from: number): number {
  return from + LENGTH_BYTES + row.readUInt16BE(from);
}

/** An entry with its length. */
export function entry(body: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(LENGTH_BYTES + body.length);
  bytes.writeUInt16BE(body.length);
  bytes.set(body, LENGTH_BYTES);
  return bytes;
}
