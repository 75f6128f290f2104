/**
 * Encodes what a watcher is sent: `taskqueue.v1.WatchResponse`. An event goes to
 * every watcher that wants it, and is encoded once for all of them. A test
 * compares the outcome with the generated decoder.
 */
import { Event, WatchResponse } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import type { TaskqueueEvent } from "../engine/events.js";
import { ByteWriter } from "./byte-writer.js";
import { toEvent } from "./convert.js";

/** What goes out on a Watch stream. */
export interface WatchMessage {
  readonly events: readonly TaskqueueEvent[];
  /** Made for this watcher alone, after the others. */
  readonly own: readonly Event[];
  readonly cursor: string;
  readonly dropped: boolean;
}

const EVENTS = 1;

const encoded = new WeakMap<TaskqueueEvent, Uint8Array>();

function encodeOnce(event: TaskqueueEvent): Uint8Array {
  const known = encoded.get(event);
  if (known) return known;
  const bytes = Event.encode(toEvent(event)).finish();
  encoded.set(event, bytes);
  return bytes;
}

export function encodeWatchMessage({ events, own, cursor, dropped }: WatchMessage): Uint8Array {
  const writer = new ByteWriter(events.length * 128 + 64);
  for (const event of events) {
    const bytes = encodeOnce(event);
    writer.head(EVENTS, bytes.length);
    writer.raw(bytes);
  }
  writer.raw(WatchResponse.encode({ events: [...own], cursor, dropped }).finish());
  return writer.finish();
}
