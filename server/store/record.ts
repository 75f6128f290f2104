/**
 * How a task's record is written: a line of text, then the spec's bytes. Both
 * stores keep records in this form, so that a record is encoded once at its
 * enqueue and passes through a store unread.
 *
 * The line holds tab-separated fields: the enqueue moment in base 36, then
 * `key=value` for whatever is not at its default, the external id last. It is
 * plain text so that a person can read it with redis-cli, and so that a script
 * can find the external id: the pattern `\tx=([^\n]*)` on the first line.
 */
import assert from "node:assert";
import { isPlain, type TaskHead } from "../domain/task.js";

const NEWLINE = 10;
const TAB = 9;

export function encodeRecord(head: TaskHead, spec: Uint8Array): Buffer {
  const line = encodeHead(head);
  const lineBytes = Buffer.byteLength(line);
  const record = Buffer.allocUnsafe(lineBytes + spec.length);
  record.write(line, 0);
  record.set(spec, lineBytes);
  return record;
}

/** The first line of a record, with its end; for those who write records into a larger buffer. */
export function encodeHead(head: TaskHead): string {
  if (hasDefaults(head)) return latestAt(head.enqueuedAtMs).line;
  let line = latestAt(head.enqueuedAtMs).text;
  if (head.priority !== 0) line += `\tp=${head.priority}`;
  if (head.numRetries !== undefined) line += `\tr=${head.numRetries}`;
  if (head.timeoutMs !== undefined) line += `\tt=${head.timeoutMs}`;
  if (head.retentionMs !== 0) line += `\tk=${head.retentionMs}`;
  if (head.backoff !== undefined) {
    const { initialMs, factor, maxMs, jitter } = head.backoff;
    line += `\tb=${initialMs},${factor},${maxMs},${jitter}`;
  }
  if (head.externalId !== "") line += `\tx=${head.externalId}`;
  return `${line}\n`;
}

function hasDefaults(head: TaskHead): boolean {
  return isPlain(head) && head.numRetries === undefined && head.timeoutMs === undefined && head.backoff === undefined;
}

/** Scripts in Redis find the end of a line without fields by it; enough until 2059. */
const MOMENT_LENGTH = 8;

/** Tasks come in batches, and those of a batch at the same moment: the latest one is remembered. */
let latest = { ms: 0, text: "00000000", line: "00000000\n" };

function latestAt(ms: number): typeof latest {
  if (latest.ms === ms) return latest;
  const text = ms.toString(36).padStart(MOMENT_LENGTH, "0");
  latest = { ms, text, line: `${text}\n` };
  return latest;
}

export function decodeRecord(record: Buffer): { head: TaskHead; spec: Uint8Array } {
  const end = record.indexOf(NEWLINE);
  assert(end > 0, "a task record begins with a line of text");
  const tab = record.indexOf(TAB);
  const spec = record.subarray(end + 1);
  if (tab === -1 || tab > end) {
    const enqueuedAtMs = Number.parseInt(record.toString("latin1", 0, end), 36);
    return { head: { enqueuedAtMs, priority: 0, externalId: "", retentionMs: 0 }, spec };
  }
  return { head: decodeHead(record.toString("utf8", 0, end)), spec };
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

function decodeHead(line: string): TaskHead {
  const [enqueuedAt = "", ...fields] = line.split("\t");
  const head: Mutable<TaskHead> = {
    enqueuedAtMs: Number.parseInt(enqueuedAt, 36),
    priority: 0,
    externalId: "",
    retentionMs: 0,
  };
  for (const field of fields) {
    const value = field.slice(2);
    switch (field.slice(0, 2)) {
      case "p=":
        head.priority = Number(value);
        break;
      case "r=":
        head.numRetries = Number(value);
        break;
      case "t=":
        head.timeoutMs = Number(value);
        break;
      case "k=":
        head.retentionMs = Number(value);
        break;
      case "b=": {
        const [initialMs = 0, factor = 1, maxMs = 0, jitter = 0] = value.split(",").map(Number);
        head.backoff = { initialMs, factor, maxMs, jitter };
        break;
      }
      case "x=":
        head.externalId = value;
        break;
      default:
        // A field of a newer version: what it means is unknown here, and it is kept as it is.
        break;
    }
  }
  return head;
}
