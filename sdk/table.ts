/**
 * A map by text for entries that come and go by the thousand, as leases do.
 *
 * A `Map` gets a new table each time it has taken in as many entries as it has
 * room for, and the old table refers to the new one. If one of them ever survives
 * long enough to be old in the garbage collector's eyes, as in a process that was
 * idle for a second, then all that follow become old with it, and so does
 * whatever is in them: collecting it takes several times as long, until the
 * process ends. Here entries are cleared where they are.
 *
 * The broker uses it too; it is not part of the SDK's API.
 */
import { charCodeAt } from "./char-code.js";

const CAPACITY_MIN = 16;
/** A table that is empty does not keep more room than this. */
const CAPACITY_KEPT = 4_096;

export class Table<Value extends object | string | number> {
  readonly #hash: (key: string) => number;
  #keys: (string | undefined)[] = [];
  #values: (Value | undefined)[] = [];
  #hashes = new Int32Array(0);
  #mask = 0;
  #size = 0;

  /** `hash` gives any whole number; keys for which it differs in the low bits are found fast. */
  constructor(hash: (key: string) => number) {
    this.#hash = hash;
    this.#allocate(CAPACITY_MIN);
  }

  get size(): number {
    return this.#size;
  }

  get(key: string): Value | undefined {
    return this.#values[this.#find(key, this.#hash(key))];
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  set(key: string, value: Value): void {
    const hash = this.#hash(key);
    const at = this.#find(key, hash);
    const isNew = this.#keys[at] === undefined;
    this.#put(at, key, value, hash);
    if (!isNew) return;
    this.#size += 1;
    if (2 * this.#size > this.#mask) this.#grow();
  }

  /** What was there. */
  delete(key: string): Value | undefined {
    let gap = this.#find(key, this.#hash(key));
    const value = this.#values[gap];
    if (value === undefined) return undefined;
    this.#size -= 1;
    // Those behind move up, so that each is still found from where it belongs.
    for (let at = (gap + 1) & this.#mask; ; at = (at + 1) & this.#mask) {
      const other = this.#keys[at];
      if (other === undefined) break;
      const hash = this.#hashes[at] ?? 0;
      const isFoundThere = ((at - hash) & this.#mask) >= ((at - gap) & this.#mask);
      if (!isFoundThere) continue;
      this.#put(gap, other, this.#values[at], hash);
      gap = at;
    }
    this.#keys[gap] = undefined;
    this.#values[gap] = undefined;
    if (this.#size === 0 && this.#mask >= CAPACITY_KEPT) this.#allocate(CAPACITY_MIN);
    return value;
  }

  /** What there is now, in no order. */
  values(): Value[] {
    return this.#values.filter((value) => value !== undefined);
  }

  /** The same for the keys. */
  keys(): string[] {
    return this.#keys.filter((key) => key !== undefined);
  }

  /** Where the key is, or would be. */
  #find(key: string, hash: number): number {
    let at = hash & this.#mask;
    for (;;) {
      const other = this.#keys[at];
      if (other === undefined || (this.#hashes[at] === hash && other === key)) return at;
      at = (at + 1) & this.#mask;
    }
  }

  #put(at: number, key: string, value: Value | undefined, hash: number): void {
    this.#keys[at] = key;
    this.#values[at] = value;
    this.#hashes[at] = hash;
  }

  #allocate(capacity: number): void {
    this.#keys = new Array<string | undefined>(capacity).fill(undefined);
    this.#values = new Array<Value | undefined>(capacity).fill(undefined);
    this.#hashes = new Int32Array(capacity);
    this.#mask = capacity - 1;
  }

  #grow(): void {
    const [keys, values, hashes] = [this.#keys, this.#values, this.#hashes];
    this.#allocate(2 * keys.length);
    for (const [at, key] of keys.entries()) {
      if (key === undefined) continue;
      const hash = hashes[at] ?? 0;
      this.#put(this.#find(key, hash), key, values[at], hash);
    }
    keys.fill(undefined);
    values.fill(undefined);
  }
}

const PRIME = 0x01000193;

/** Of any text: of every second character, which tells enough apart. */
export function hashOfText(text: string): number {
  const { length } = text;
  let hash = length;
  for (let index = length - 1; index >= 0; index -= 2) hash = Math.imul(hash ^ charCodeAt(text, index), PRIME);
  return hash ^ (hash >>> 15);
}

/** Digits of a lease token, then a dot and its topic. */
const TOKEN_DIGITS = 12;

/** Of a lease token: of its last digits, and of the end of its topic, as tokens of many topics may have one number. */
export function hashOfToken(token: string): number {
  const { length } = token;
  let hash = length;
  for (let index = TOKEN_DIGITS - 4; index < TOKEN_DIGITS; index++) {
    hash = Math.imul(hash ^ charCodeAt(token, index), PRIME);
  }
  for (let index = Math.max(TOKEN_DIGITS, length - 4); index < length; index++) {
    hash = Math.imul(hash ^ charCodeAt(token, index), PRIME);
  }
  return hash ^ (hash >>> 15);
}
