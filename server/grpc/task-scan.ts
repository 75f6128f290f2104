/**
 * Reads enqueue requests without decoding their tasks. The store keeps a task
 * as its producer encoded it; all the broker needs is the few fields of its
 * head, and to know that the rest is well-formed, so that no worker is ever
 * sent something it cannot read.
 *
 * The scan knows the plain task: topic, id, args or payload, external id,
 * retries, priority. Whatever else it meets (a rarer field, a broken rule, a
 * malformed byte), it gives up and leaves the task to the generated decoder and
 * the checks of task-input.ts, which tell the caller what is wrong. It must
 * never accept what those refuse; a test compares the two.
 */
import { isUtf8 } from "node:buffer";
import { BinaryReader, getTextEncoding } from "@bufbuild/protobuf/wire";
import { Task } from "@taskqueue/sdk/gen/taskqueue/v1/task.js";
import { invalid } from "../domain/errors.js";
import { parseTaskId, parseTopicName, type TaskId, type TopicName } from "../domain/ids.js";
import { LIMITS } from "../domain/limits.js";
import { isPlainText, newTaskId } from "./parse.js";
import { type TaskInput, type TaskInputOptions, taskInput } from "./task-input.js";

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** What a scan that cannot go on throws; never seen outside this file. */
const GIVE_UP = Symbol("give up");

export interface EnqueueInput {
  readonly tasks: readonly TaskInput[];
  /** Whether every task came with an id of its own. */
  readonly withIds: boolean;
}

/** Reads an encoded EnqueueRequest or EnqueueStreamRequest, which are the same. */
export function readEnqueue(bytes: Uint8Array, options: TaskInputOptions): EnqueueInput {
  const ranges = taskRanges(bytes);
  if (ranges.length < 1 || ranges.length > LIMITS.batchMax) {
    throw invalid("tasks", `${ranges.length} tasks`, `must hold 1 to ${LIMITS.batchMax} tasks`);
  }
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let withIds = true;
  const tasks = ranges.map(([start, end], index) => {
    const { input, hadId } =
      new Scan(buffer, start, end).plainTask(options) ??
      decodedTask(`tasks[${index}]`, buffer.subarray(start, end), options);
    if (!hadId) withIds = false;
    return input;
  });
  return { tasks, withIds };
}

interface ReadTask {
  readonly input: TaskInput;
  readonly hadId: boolean;
}

function taskRanges(bytes: Uint8Array): [number, number][] {
  const ranges: [number, number][] = [];
  const scan = new Scan(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength);
  try {
    while (scan.more) {
      const tag = scan.varint();
      if (tag !== ((1 << 3) | BYTES)) scan.skip(tag & 7);
      else ranges.push(scan.content());
    }
  } catch (error) {
    if (error !== GIVE_UP) throw error;
    throw invalid("tasks", `${bytes.byteLength} bytes`, "must be a well-formed message");
  }
  return ranges;
}

/** Throws on text that is not UTF-8, as protobuf demands, where generated code mends it in silence. */
export function decodeStrictly(bytes: Uint8Array): Task {
  return Task.decode(new BinaryReader(bytes, (text) => getTextEncoding().decodeUtf8(text, true)));
}

function decodedTask(path: string, bytes: Uint8Array, options: TaskInputOptions): ReadTask {
  let task: Task;
  try {
    task = decodeStrictly(bytes);
  } catch {
    throw invalid(path, `${bytes.length} bytes`, "must be a well-formed Task");
  }
  return { input: taskInput(path, task, options), hadId: task.id !== "" };
}

class Scan {
  readonly #bytes: Buffer;
  #at: number;
  #end: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get more(): boolean {
    return this.#at < this.#end;
  }

  /** The task if it is a plain one without fault. */
  plainTask(options: TaskInputOptions): ReadTask | undefined {
    try {
      return this.#plainTask(options);
    } catch (error) {
      if (error !== GIVE_UP) throw error;
      return undefined;
    }
  }

  #plainTask({ now, taskBytesMax }: TaskInputOptions): ReadTask {
    // The spec is what follows topic and id; where they do not come first, it is encoded anew.
    const topic = this.#topic();
    const id = this.#id();
    const start = this.#at;
    let externalId = "";
    let numRetries: number | undefined;
    let priority = 0;
    let hasArgs = false;
    let hasPayload = false;
    while (this.more) {
      switch (this.varint()) {
        case (3 << 3) | BYTES:
          if (hasArgs) throw GIVE_UP;
          hasArgs = true;
          this.#list(1);
          break;
        case (4 << 3) | BYTES: {
          const [from, to] = this.content();
          hasPayload = to > from;
          break;
        }
        case (6 << 3) | BYTES: {
          const [from, to] = this.content();
          externalId = this.#bytes.toString("utf8", from, to);
          if (!isPlainText(externalId, LIMITS.externalIdBytesMax)) throw GIVE_UP;
          break;
        }
        case (7 << 3) | VARINT:
          numRetries = this.varint();
          if (numRetries > LIMITS.numRetriesMax) throw GIVE_UP;
          break;
        case (8 << 3) | VARINT:
          priority = this.varint();
          // Negative ones take ten bytes: left to the decoder.
          if (priority >= 2 ** 31) throw GIVE_UP;
          break;
        default:
          throw GIVE_UP;
      }
    }
    if (hasArgs && hasPayload) throw GIVE_UP;
    const spec = this.#bytes.subarray(start, this.#end);
    if (spec.length > taskBytesMax) throw GIVE_UP;
    const head = { enqueuedAtMs: now, priority, externalId, retentionMs: 0 };
    const input = {
      topic,
      id: id ?? newTaskId(now),
      spec,
      dueAtMs: now,
      head: numRetries === undefined ? head : { ...head, numRetries },
    };
    return { input, hadId: id !== undefined };
  }

  #topic(): TopicName {
    const topic = this.more && this.varint() === ((1 << 3) | BYTES) ? parseTopicName(this.#text()) : undefined;
    if (topic === undefined) throw GIVE_UP;
    return topic;
  }

  #id(): TaskId | undefined {
    if (!this.more || this.#bytes[this.#at] !== ((2 << 3) | BYTES)) return undefined;
    this.#at++;
    const id = parseTaskId(this.#text());
    if (id === undefined) throw GIVE_UP;
    return id;
  }

  varint(): number {
    let value = 0;
    let factor = 1;
    for (let count = 0; count < 7; count++) {
      if (this.#at >= this.#end) throw GIVE_UP;
      const byte = this.#bytes[this.#at++] ?? 0;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
    // Beyond 2^49: nothing that is expected here.
    throw GIVE_UP;
  }

  /** The range of a length-delimited field's content, which is passed over. */
  content(): [start: number, end: number] {
    const length = this.varint();
    const start = this.#at;
    const end = start + length;
    if (end > this.#end) throw GIVE_UP;
    this.#at = end;
    return [start, end];
  }

  skip(wireType: number): void {
    switch (wireType) {
      case VARINT:
        for (let byte = 0x80; byte >= 0x80; ) {
          if (this.#at >= this.#end) throw GIVE_UP;
          byte = this.#bytes[this.#at++] ?? 0;
        }
        return;
      case FIXED64:
        this.#at += 8;
        break;
      case BYTES:
        this.content();
        return;
      case FIXED32:
        this.#at += 4;
        break;
      default:
        throw GIVE_UP;
    }
    if (this.#at > this.#end) throw GIVE_UP;
  }

  #text(): string {
    const [start, end] = this.content();
    return this.#bytes.toString("latin1", start, end);
  }

  /** Checks a `google.protobuf.ListValue`: field 1, values. */
  #list(depth: number): void {
    if (depth > LIMITS.argsDepthMax) throw GIVE_UP;
    this.#each((tag) => {
      if (tag !== ((1 << 3) | BYTES)) throw GIVE_UP;
      this.#value(depth);
    });
  }

  /** Checks a `google.protobuf.Struct`: field 1, entries of key and value. */
  #struct(depth: number): void {
    if (depth > LIMITS.argsDepthMax) throw GIVE_UP;
    this.#each((tag) => {
      if (tag !== ((1 << 3) | BYTES)) throw GIVE_UP;
      let parts = 0;
      this.#each((part) => {
        if (part === ((1 << 3) | BYTES)) this.#utf8();
        else if (part === ((2 << 3) | BYTES)) this.#value(depth);
        else throw GIVE_UP;
        parts |= part >> 3;
      });
      if (parts !== 3) throw GIVE_UP;
    });
  }

  /** Checks a `google.protobuf.Value`: exactly one kind. */
  #value(depth: number): void {
    let kinds = 0;
    this.#each((tag) => {
      kinds++;
      switch (tag) {
        case (1 << 3) | VARINT:
          if (this.varint() !== 0) throw GIVE_UP;
          return;
        case (2 << 3) | FIXED64:
          this.#finite();
          return;
        case (3 << 3) | BYTES:
          this.#utf8();
          return;
        case (4 << 3) | VARINT:
          if (this.varint() > 1) throw GIVE_UP;
          return;
        case (5 << 3) | BYTES:
          this.#struct(depth + 1);
          return;
        case (6 << 3) | BYTES:
          this.#list(depth + 1);
          return;
        default:
          throw GIVE_UP;
      }
    });
    if (kinds !== 1) throw GIVE_UP;
  }

  /** Calls `field` with each tag of the length-delimited message that comes next. */
  #each(field: (tag: number) => void): void {
    const outer = this.#end;
    const length = this.varint();
    const end = this.#at + length;
    if (end > outer) throw GIVE_UP;
    this.#end = end;
    while (this.#at < end) field(this.varint());
    if (this.#at !== end) throw GIVE_UP;
    this.#end = outer;
  }

  #finite(): void {
    const end = this.#at + 8;
    if (end > this.#end) throw GIVE_UP;
    const exponent = ((this.#bytes[end - 1] ?? 0) & 0x7f) * 16 + ((this.#bytes[end - 2] ?? 0) >> 4);
    if (exponent === 0x7ff) throw GIVE_UP;
    this.#at = end;
  }

  #utf8(): void {
    const [start, end] = this.content();
    for (let at = start; at < end; at++) {
      if ((this.#bytes[at] ?? 0) < 0x80) continue;
      if (!isUtf8(this.#bytes.subarray(at, end))) throw GIVE_UP;
      return;
    }
  }
}
