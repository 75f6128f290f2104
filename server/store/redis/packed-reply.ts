/**
 * Reads replies that a script packed into one string with `cmsgpack.pack`: the
 * replies of 64 calls are some 500 small things, and each of them by itself costs
 * both Redis and ioredis more than its share of the string.
 *
 * Only what scripts reply with is known: numbers, strings, lists and false, which
 * is null in replies. The format is that of msgpack before it told text from bytes.
 */

import assert from "node:assert";
import { charCodeAt } from "../../lib/char-code.js";
import type { Reply } from "./script.js";

/** Up to this length, strings of plain ASCII are given as text: a Buffer takes as much memory as a hundred characters. */
const TEXT_BYTES_MAX = 32;

export function unpackReply(bytes: Buffer): Reply {
  return new Reader(bytes).next();
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  /** The latest text that was read: most replies begin with the same word, which is compared in less time than made. */
  #latest = "";

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  next(): Reply {
    const bytes = this.#bytes;
    const type = bytes[this.#at++] ?? 0;
    if (type < 0x80) return type;
    if (type >= 0xe0) return type - 0x100;
    if (type >= 0xa0 && type < 0xc0) return this.#string(type - 0xa0);
    if (type >= 0x90 && type < 0xa0) return this.#list(type - 0x90);
    switch (type) {
      case 0xc2:
        return null;
      case 0xcb:
        return Math.trunc(bytes.readDoubleBE(this.#skip(8)));
      case 0xcc:
        return bytes.readUInt8(this.#skip(1));
      case 0xcd:
        return bytes.readUInt16BE(this.#skip(2));
      case 0xce:
        return bytes.readUInt32BE(this.#skip(4));
      case 0xcf:
        return this.#long(bytes.readUInt32BE(this.#skip(4)));
      case 0xd0:
        return bytes.readInt8(this.#skip(1));
      case 0xd1:
        return bytes.readInt16BE(this.#skip(2));
      case 0xd2:
        return bytes.readInt32BE(this.#skip(4));
      case 0xd3:
        return this.#long(bytes.readInt32BE(this.#skip(4)));
      case 0xd9:
        return this.#string(bytes.readUInt8(this.#skip(1)));
      case 0xda:
        return this.#string(bytes.readUInt16BE(this.#skip(2)));
      case 0xdb:
        return this.#string(bytes.readUInt32BE(this.#skip(4)));
      case 0xdc:
        return this.#list(bytes.readUInt16BE(this.#skip(2)));
      default:
        assert.fail(`a script replied something of msgpack's type ${type}`);
    }
  }

  /** Goes on, and returns where it was. */
  #skip(bytes: number): number {
    const from = this.#at;
    this.#at += bytes;
    return from;
  }

  /** A number of 64 bits, of which the upper half is read. */
  #long(upper: number): number {
    return upper * 2 ** 32 + this.#bytes.readUInt32BE(this.#skip(4));
  }

  #list(length: number): Reply {
    const items = new Array<Reply>(length);
    for (let i = 0; i < length; i++) items[i] = this.next();
    return items;
  }

  #string(length: number): Reply {
    const from = this.#skip(length);
    return (length <= TEXT_BYTES_MAX ? this.#text(from) : undefined) ?? this.#bytes.subarray(from, this.#at);
  }

  /** Undefined when it is not plain ASCII. */
  #text(from: number): string | undefined {
    if (this.#isLatest(from)) return this.#latest;
    let text = "";
    for (let at = from; at < this.#at; at++) {
      const code = this.#bytes[at] ?? 0;
      if (code > 0x7f) return undefined;
      text += String.fromCharCode(code);
    }
    this.#latest = text;
    return text;
  }

  #isLatest(from: number): boolean {
    const { length } = this.#latest;
    if (length !== this.#at - from) return false;
    for (let i = 0; i < length; i++) if (this.#bytes[from + i] !== charCodeAt(this.#latest, i)) return false;
    return true;
  }
}
