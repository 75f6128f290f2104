/**
 * Encodes what a watcher is sent: `taskqueue.v1.WatchResponse`. An event goes to
 * every watcher that wants it, and is encoded once for all of them, by hand: the
 * generated code takes several times as long. A test compares the outcome with
 * the generated decoder.
 */
import { type Event, WatchResponse } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { Progress } from "@taskqueue/sdk/gen/taskqueue/v1/task.js";
import type { TaskqueueEvent } from "../engine/events.js";
import { ByteWriter, varintBytes } from "./byte-writer.js";
import { EVENT_TYPES } from "./convert.js";

/** What goes out on a Watch stream. */
export interface WatchMessage {
  readonly events: readonly TaskqueueEvent[];
  /** Made for this watcher alone, after the others. */
  readonly own: readonly Event[];
  readonly cursor: string;
  readonly dropped: boolean;
}

const EVENTS = 1;
/** Fields of an Event. */
const TYPE = 1;
const AT = 2;
const BROKER = 3;
const WORKER = 4;
const TOPIC = 5;
const TASK_ID = 6;
const EXTERNAL_ID = 7;
const ATTEMPT = 8;
const DURATION = 9;
const ERROR = 10;
const PROGRESS = 12;
/** Fields of a Timestamp, and of a Duration. */
const SECONDS = 1;
const NANOS = 2;
/** Most events fit; the writer grows for those with an error. */
const EVENT_BYTES = 160;

function encodeEvent(event: TaskqueueEvent): Uint8Array {
  const writer = new ByteWriter(EVENT_BYTES);
  writer.number(TYPE, EVENT_TYPES[event.type] ?? 0);
  writeMillis(writer, AT, event.atMs);
  writeText(writer, BROKER, event.broker);
  writeText(writer, WORKER, event.worker);
  writeText(writer, TOPIC, event.topic);
  writeText(writer, TASK_ID, event.taskId);
  writeText(writer, EXTERNAL_ID, event.externalId);
  writer.number(ATTEMPT, event.attempt ?? 0);
  if (event.durationMs !== undefined) writeMillis(writer, DURATION, event.durationMs);
  writeText(writer, ERROR, event.error);
  if (event.progress) {
    const bytes = Progress.encode(event.progress).finish();
    writer.head(PROGRESS, bytes.length);
    writer.raw(bytes);
  }
  return writer.finish();
}

function writeText(writer: ByteWriter, field: number, text = ""): void {
  if (text !== "") writer.text(field, text);
}

/** A Timestamp or a Duration, which are alike. */
function writeMillis(writer: ByteWriter, field: number, ms: number): void {
  const seconds = Math.floor(ms / 1_000);
  const nanos = Math.floor(ms - seconds * 1_000) * 1_000_000;
  writer.head(field, numberBytes(seconds) + numberBytes(nanos));
  writer.number(SECONDS, seconds);
  writer.number(NANOS, nanos);
}

function numberBytes(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value);
}

export function encodeWatchMessage({ events, own, cursor, dropped }: WatchMessage): Uint8Array {
  const writer = new ByteWriter(events.length * 128 + 64);
  for (const event of events) {
    event.wire ??= encodeEvent(event);
    const bytes = event.wire;
    writer.head(EVENTS, bytes.length);
    writer.raw(bytes);
  }
  writer.raw(WatchResponse.encode({ events: [...own], cursor, dropped }).finish());
  return writer.finish();
}
