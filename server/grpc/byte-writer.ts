/**
 * Writes protobuf fields into one growing buffer. For the few hot messages
 * whose parts are already encoded, where a general encoder would copy them
 * several times; everything else uses the generated code.
 */
const WIRE_VARINT = 0;
const WIRE_BYTES = 2;

export function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

/** Bytes of a length-delimited field: tag (field numbers up to 15), length, content. */
export function fieldBytes(contentBytes: number): number {
  return 1 + varintBytes(contentBytes) + contentBytes;
}

export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(bytesExpected: number) {
    this.#buffer = Buffer.allocUnsafe(Math.max(64, bytesExpected));
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }

  #varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#buffer[this.#length++] = rest;
  }

  /** A number from 0 to 2^53; left out when 0, as proto3 does. */
  number(field: number, value: number): void {
    if (value === 0) return;
    this.#reserve(12);
    this.#buffer[this.#length++] = (field << 3) | WIRE_VARINT;
    this.#varint(value);
  }

  /** Begins a length-delimited field whose content, of that length, is written next. */
  head(field: number, contentBytes: number): void {
    this.#reserve(8 + contentBytes);
    this.#buffer[this.#length++] = (field << 3) | WIRE_BYTES;
    this.#varint(contentBytes);
  }

  /** A field of text that is known to be ASCII. */
  ascii(field: number, text: string): void {
    this.head(field, text.length);
    this.#length += this.#buffer.write(text, this.#length, "latin1");
  }

  /** A field of any text. */
  text(field: number, text: string): void {
    this.head(field, Buffer.byteLength(text));
    this.#length += this.#buffer.write(text, this.#length, "utf8");
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }
}
