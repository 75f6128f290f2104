/**
 * The wire format of protobuf, by hand: a writer and a reader for the few
 * messages that pass by the ten thousands. Generated code is several times
 * dearer for these (see test/bench); everything else uses it.
 *
 * Knows fields and bytes, and nothing of tasks. What is written here must read
 * back through the generated code, which the unit tests check.
 */
import { charCodeAt } from "./char-code.js";

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** Short strings are written by a loop, long ones by a call into native code, whose fixed cost pays from here on. */
const LOOP_CHARS_MAX = 24;
const SIZE_FIRST = 4 * 1024;
const SIZE_KEPT = 8 * 1024 * 1024;
const TWO_32 = 2 ** 32;

/** Grows as it is written; reused from message to message. */
export class Writer {
  #bytes: Buffer = Buffer.allocUnsafeSlow(SIZE_FIRST);
  #view: DataView = viewOf(this.#bytes);
  #end = 0;

  /** How many bytes are written. */
  get length(): number {
    return this.#end;
  }

  /** Forgets everything from `length` on. */
  truncate(length: number): void {
    this.#end = length;
  }

  /** What is written up to `end`, as a copy; the rest moves to the front. */
  takeUpTo(end: number): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(0, end));
    this.#bytes.copyWithin(0, end, this.#end);
    this.#end -= end;
    // An outsized buffer is not kept.
    if (this.#end === 0 && this.#bytes.length > SIZE_KEPT) this.#resize(SIZE_FIRST);
    return taken;
  }

  /** A copy of everything; the writer is empty afterwards. */
  take(): Buffer {
    return this.takeUpTo(this.#end);
  }

  #resize(size: number): void {
    const bytes = Buffer.allocUnsafeSlow(size);
    this.#bytes.copy(bytes, 0, 0, this.#end);
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }

  #reserve(count: number): void {
    const needed = this.#end + count;
    if (needed > this.#bytes.length) this.#resize(Math.max(needed, this.#bytes.length * 2));
  }

  /** A field's number and kind, which together take one byte up to field 15. */
  #tag(field: number, kind: number): void {
    this.#varint(field * 8 + kind);
  }

  #varint(value: number): void {
    this.#reserve(10);
    let rest = value;
    while (rest >= TWO_32) {
      this.#bytes[this.#end++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    rest >>>= 0;
    while (rest > 0x7f) {
      this.#bytes[this.#end++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#end++] = rest;
  }

  /** uint32, uint64, int64, bool or an enum: any whole number from 0 to 2^53. */
  uint(field: number, value: number): void {
    this.#tag(field, VARINT);
    this.#varint(value);
  }

  /** int32, or an int64 within its range: a negative one takes ten bytes. */
  int(field: number, value: number): void {
    if (value >= 0) {
      this.uint(field, value);
      return;
    }
    this.#tag(field, VARINT);
    this.#reserve(10);
    let rest = value;
    for (let i = 0; i < 4; i += 1) {
      this.#bytes[this.#end++] = (rest & 0x7f) | 0x80;
      rest >>= 7;
    }
    this.#bytes[this.#end++] = (rest & 0x7f) | 0x80;
    for (let i = 0; i < 4; i += 1) this.#bytes[this.#end++] = 0xff;
    this.#bytes[this.#end++] = 0x01;
  }

  double(field: number, value: number): void {
    this.#tag(field, FIXED64);
    this.#reserve(8);
    this.#view.setFloat64(this.#end, value, true);
    this.#end += 8;
  }

  /** The text as UTF-8. Refusing lone surrogates is the caller's business. */
  string(field: number, text: string): void {
    this.#tag(field, BYTES);
    const { length } = text;
    this.#reserve(length * 3 + 16);
    if (length <= LOOP_CHARS_MAX && this.#ascii(text, length)) return;
    const size = length < 43 ? this.#bytes.write(text, this.#end + 1) : Buffer.byteLength(text);
    // Up to 42 characters the length takes one byte, so that one pass is enough.
    this.#varint(size);
    if (length >= 43) this.#bytes.write(text, this.#end);
    this.#end += size;
  }

  #ascii(text: string, length: number): boolean {
    const bytes = this.#bytes;
    const start = this.#end + 1;
    for (let i = 0; i < length; i += 1) {
      const code = charCodeAt(text, i);
      if (code > 0x7f) return false;
      bytes[start + i] = code;
    }
    bytes[this.#end] = length;
    this.#end = start + length;
    return true;
  }

  bytes(field: number, value: Uint8Array): void {
    this.#tag(field, BYTES);
    this.#varint(value.length);
    this.raw(value);
  }

  /** Bytes that are fields already. */
  raw(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#end);
    this.#end += value.length;
  }

  /** Begins a message within the message; `end` takes what this returns. */
  begin(field: number): number {
    this.#tag(field, BYTES);
    this.#reserve(1);
    // Room for a length of one byte, which most have; `end` moves the message when it is longer.
    return ++this.#end;
  }

  end(start: number): void {
    const size = this.#end - start;
    if (size <= 0x7f) {
      this.#bytes[start - 1] = size;
      return;
    }
    const extra = size < 0x4000 ? 1 : size < 0x20_0000 ? 2 : size < 0x1000_0000 ? 3 : 4;
    this.#reserve(extra);
    this.#bytes.copyWithin(start + extra, start, this.#end);
    this.#end = start - 1;
    this.#varint(size);
    this.#end += size;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Thrown by the reader when bytes are not a message. */
export class MalformedMessage extends Error {
  constructor(message: string) {
    super(message);
    this.name = "MalformedMessage";
  }
}

/**
 * Walks over a message: `while (reader.next(end)) switch (reader.field) …`, where
 * each case reads its value, and the default skips it. A field of another kind
 * than expected is refused by the method that reads it.
 */
export class Reader {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  /** Where the reader stands. */
  at = 0;
  /** The number of the field whose value comes next. */
  field = 0;
  #kind = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = viewOf(bytes);
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** Steps to the next field before `end`; false when there is none. */
  next(end: number): boolean {
    if (this.at >= end) {
      if (this.at > end) throw new MalformedMessage("a field is longer than its message");
      return false;
    }
    const tag = this.#varint();
    this.field = Math.floor(tag / 8);
    this.#kind = tag & 7;
    if (this.field === 0) throw new MalformedMessage("field number 0");
    return true;
  }

  #varint(): number {
    const bytes = this.#bytes;
    let byte = bytes[this.at++];
    if (byte === undefined) throw new MalformedMessage("the message is cut off");
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    let factor = 0x80;
    for (let i = 1; i < 10; i += 1) {
      byte = bytes[this.at++];
      if (byte === undefined) throw new MalformedMessage("the message is cut off");
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 0x80;
    }
    throw new MalformedMessage("a varint is longer than ten bytes");
  }

  #expect(kind: number): void {
    if (this.#kind !== kind) throw new MalformedMessage(`field ${this.field} has wire type ${this.#kind}`);
  }

  /** A whole number from 0 to 2^53; beyond, the nearest. */
  uint(): number {
    this.#expect(VARINT);
    return this.#varint();
  }

  /** Adds the numbers of a repeated uint32, packed or not. */
  uints(to: number[]): void {
    if (this.#kind === VARINT) {
      to.push(this.#varint());
      return;
    }
    const end = this.block();
    while (this.at < end) to.push(this.#varint());
  }

  /** An int32. */
  int32(): number {
    this.#expect(VARINT);
    // A negative one is its 64-bit complement; the low 32 bits are what counts, and a double does not hold them all.
    const start = this.at;
    const value = this.#varint();
    if (value < TWO_32) return value | 0;
    let low = 0;
    for (let i = 0; i < 5; i += 1) low |= ((this.#bytes[start + i] ?? 0) & 0x7f) << (7 * i);
    return low;
  }

  double(): number {
    this.#expect(FIXED64);
    if (this.at + 8 > this.length) throw new MalformedMessage("the message is cut off");
    const value = this.#view.getFloat64(this.at, true);
    this.at += 8;
    return value;
  }

  /** The end of the message, string or bytes that comes next; the reader stands at its beginning. */
  block(): number {
    this.#expect(BYTES);
    const end = this.#varint() + this.at;
    if (end > this.length) throw new MalformedMessage("the message is cut off");
    return end;
  }

  string(): string {
    const end = this.block();
    const text = this.#bytes.toString("utf8", this.at, end);
    this.at = end;
    return text;
  }

  /** The string, which is often `guess`: then this costs a comparison only. */
  repeatedString(guess: string): string {
    const end = this.block();
    const { at } = this;
    const { length } = guess;
    if (end - at === length) {
      let i = 0;
      while (i < length && this.#bytes[at + i] === charCodeAt(guess, i)) i += 1;
      if (i === length) {
        this.at = end;
        return guess;
      }
    }
    const text = this.#bytes.toString("utf8", at, end);
    this.at = end;
    return text;
  }

  /** A view, not a copy. */
  bytes(): Buffer {
    const end = this.block();
    const value = this.#bytes.subarray(this.at, end);
    this.at = end;
    return value;
  }

  skip(): void {
    switch (this.#kind) {
      case VARINT:
        this.#varint();
        return;
      case FIXED64:
        this.at += 8;
        return;
      case BYTES:
        this.at = this.block();
        return;
      case FIXED32:
        this.at += 4;
        return;
      default:
        throw new MalformedMessage(`field ${this.field} has wire type ${this.#kind}`);
    }
  }
}

/** Writes a google.protobuf.Duration or Timestamp of whole milliseconds, 0 or more. */
export function writeMillis(writer: Writer, field: number, ms: number): void {
  const start = writer.begin(field);
  const seconds = Math.floor(ms / 1000);
  const nanos = (ms - seconds * 1000) * 1_000_000;
  if (seconds !== 0) writer.uint(1, seconds);
  if (nanos !== 0) writer.uint(2, nanos);
  writer.end(start);
}

/** Reads a google.protobuf.Duration of 0 or more as milliseconds. */
export function readMillis(reader: Reader): number {
  const end = reader.block();
  let ms = 0;
  while (reader.next(end)) {
    if (reader.field === 1) ms += reader.uint() * 1000;
    else if (reader.field === 2) ms += reader.uint() / 1_000_000;
    else reader.skip();
  }
  return ms;
}
