/**
 * JSON values as `google.protobuf.Value` and back, exactly or not at all.
 *
 * What goes in comes out equal on the other side, whatever the store between.
 * A value that JSON cannot carry exactly is refused with the path to it; nothing
 * is dropped or turned into something else in silence. One exception: -0 becomes
 * 0, which equals it.
 */

import type { TaskqueueError } from "./errors.js";
import { invalid } from "./options.js";
import { MalformedMessage, type Reader, type Writer } from "./wire.js";

/** Lists and objects within each other, as docs/protocol.md bounds them. */
export const DEPTH_MAX = 30;

/** String.prototype.isWellFormed, which every Node has that this package runs on, and its type library has not. */
const isWellFormed: (this: string) => boolean = Reflect.get(String.prototype, "isWellFormed");

/** Thrown on the fast way, which does not know paths; `refusal` finds the words. */
const REFUSED = new Error("not exactly JSON");

/** Writes a list of arguments as a ListValue. Throws TaskqueueError INVALID_ARGUMENT naming the path, such as `args[1].size`. */
export function writeArgs(writer: Writer, field: number, args: unknown): void {
  const before = writer.length;
  const start = writer.begin(field);
  try {
    if (!Array.isArray(args)) throw REFUSED;
    for (const item of args) writeValue(writer, 1, item, 1);
  } catch (error) {
    writer.truncate(before);
    throw error === REFUSED ? refusal("args", args) : error;
  }
  writer.end(start);
}

/** Writes one value, such as a result. Throws TaskqueueError INVALID_ARGUMENT with a path that begins with `name`. */
export function writeJson(writer: Writer, field: number, value: unknown, name: string): void {
  const before = writer.length;
  try {
    writeValue(writer, field, value, 0);
  } catch (error) {
    writer.truncate(before);
    throw error === REFUSED ? refusal(name, value) : error;
  }
}

/** The text as it is, unless half of a surrogate pair is missing: UTF-8 cannot carry that. */
function wellFormed(text: string): string {
  if (!isWellFormed.call(text)) throw REFUSED;
  return text;
}

function writeValue(writer: Writer, field: number, value: unknown, depth: number): void {
  const start = writer.begin(field);
  switch (typeof value) {
    case "number":
      if (!Number.isFinite(value)) throw REFUSED;
      writer.double(2, value + 0);
      break;
    case "string":
      writer.string(3, wellFormed(value));
      break;
    case "boolean":
      writer.uint(4, value ? 1 : 0);
      break;
    case "object":
      if (value === null) writer.uint(1, 0);
      else writeObject(writer, value, depth + 1);
      break;
    default:
      throw REFUSED;
  }
  writer.end(start);
}

function writeObject(writer: Writer, value: object, depth: number): void {
  if (depth > DEPTH_MAX) throw REFUSED;
  if (Array.isArray(value)) {
    const start = writer.begin(6);
    for (const item of value) writeValue(writer, 1, item, depth);
    writer.end(start);
    return;
  }
  if (!isPlain(value)) throw REFUSED;
  const start = writer.begin(5);
  for (const [key, item] of Object.entries(value)) {
    const entry = writer.begin(1);
    if (key !== "") writer.string(1, wellFormed(key));
    writeValue(writer, 2, item, depth);
    writer.end(entry);
  }
  writer.end(start);
}

function isPlain(value: object): value is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    // An object literal of another realm (a vm context, a test runner) has that realm's Object.prototype.
    if (typeof prototype !== "object" || Object.getPrototypeOf(prototype) !== null) return false;
    if (!Object.hasOwn(prototype, "isPrototypeOf")) return false;
  }
  return Object.getOwnPropertySymbols(value).length === 0;
}

/** Finds what is wrong with a value that was refused, by walking it again with the path in hand. */
function refusal(name: string, value: unknown): TaskqueueError {
  const found =
    name === "args" && !Array.isArray(value) ? { path: name, rule: "must be a list" } : look(value, name, []);
  const at = found ?? { path: name, rule: "must be exactly JSON" };
  return invalid(at.path, "culprit" in at ? at.culprit : value, at.rule);
}

interface Finding {
  readonly path: string;
  readonly rule: string;
  readonly culprit?: unknown;
}

function look(value: unknown, path: string, around: readonly object[]): Finding | undefined {
  const rule = ruleOf(value);
  if (rule !== undefined) return { path, rule, culprit: value };
  if (typeof value !== "object" || value === null) return undefined;
  if (around.includes(value)) return { path, rule: "must not contain itself", culprit: "a cycle" };
  if (around.length >= DEPTH_MAX) return { path, rule: `is nested deeper than ${DEPTH_MAX} levels`, culprit: value };
  const within = [...around, value];
  if (Array.isArray(value)) {
    // By index: holes count as undefined.
    for (let i = 0; i < value.length; i += 1) {
      const found = look(value[i], `${path}[${i}]`, within);
      if (found) return found;
    }
    return undefined;
  }
  for (const [key, item] of Object.entries(value)) {
    const below = /^[A-Za-z_$][\w$]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
    if (ruleOf(key) !== undefined)
      return { path: below, rule: "has a key that is not well-formed Unicode", culprit: key };
    const found = look(item, below, within);
    if (found) return found;
  }
  return undefined;
}

/** What makes this value, taken by itself, not exactly JSON. */
function ruleOf(value: unknown): string | undefined {
  switch (typeof value) {
    case "number":
      return Number.isFinite(value) ? undefined : "must be a finite number; JSON has no other";
    case "string":
      return isWellFormed.call(value) ? undefined : "must be well-formed Unicode; it has half of a surrogate pair";
    case "boolean":
      return undefined;
    case "undefined":
      return "must not be undefined; use null, or leave it out";
    case "bigint":
      return "must not be a BigInt; send it as a string";
    case "object":
      return value === null || Array.isArray(value) ? undefined : ruleOfObject(value);
    default:
      return `must not be a ${typeof value}`;
  }
}

function ruleOfObject(value: object): string | undefined {
  if (isPlain(value)) return undefined;
  if (value instanceof Date) return "must not be a Date; send date.toISOString() or date.getTime()";
  if (Object.getOwnPropertySymbols(value).length > 0) return "must not have symbols for keys";
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  return `must be a plain object or a list, not an instance of ${typeof name === "string" && name ? name : "a class"}`;
}

/** Reads a ListValue whose block comes next. */
export function readArgs(reader: Reader): unknown[] {
  return readList(reader, reader.block(), 1);
}

function readList(reader: Reader, end: number, depth: number): unknown[] {
  const list: unknown[] = [];
  while (reader.next(end)) {
    if (reader.field === 1) list.push(readValue(reader, depth));
    else reader.skip();
  }
  return list;
}

/** Reads a Value whose block comes next. One without a kind is null. */
export function readValue(reader: Reader, depth = 0): unknown {
  // A little more than the writer's limit: a message of another SDK is not refused over how it counts.
  if (depth > DEPTH_MAX + 2) throw new MalformedMessage(`args are nested deeper than ${DEPTH_MAX} levels`);
  const end = reader.block();
  let value: unknown = null;
  while (reader.next(end)) {
    switch (reader.field) {
      case 1:
        reader.skip();
        value = null;
        break;
      case 2:
        value = reader.double();
        break;
      case 3:
        value = reader.string();
        break;
      case 4:
        value = reader.uint() !== 0;
        break;
      case 5:
        value = readStruct(reader, reader.block(), depth + 1);
        break;
      case 6:
        value = readList(reader, reader.block(), depth + 1);
        break;
      default:
        reader.skip();
    }
  }
  return value;
}

function readStruct(reader: Reader, end: number, depth: number): Record<string, unknown> {
  const struct: Record<string, unknown> = {};
  while (reader.next(end)) {
    if (reader.field !== 1) {
      reader.skip();
      continue;
    }
    const entryEnd = reader.block();
    let key = "";
    let value: unknown = null;
    while (reader.next(entryEnd)) {
      if (reader.field === 1) key = reader.string();
      else if (reader.field === 2) value = readValue(reader, depth);
      else reader.skip();
    }
    put(struct, key, value);
  }
  return struct;
}

/** Assigns, also to `__proto__`, which plain assignment would take for the prototype. */
export function put<Value>(target: Record<string, Value>, key: string, value: Value): void {
  if (key === "__proto__") {
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    target[key] = value;
  }
}
