/** Wrapper of read-events.lua. */
import type { EventPage } from "../../store.js";
import { decodeEvents, number } from "../codec.js";
import { defineScript, unexpected } from "../script.js";

export interface ReadEventsCall {
  /** Number of an entry; unset for the end of the log. */
  readonly after: number | undefined;
  readonly limit: number;
}

export const readEvents = defineScript<ReadEventsCall, EventPage>({
  name: "read-events",
  keys: (keys) => [keys.events, keys.eventSeq],
  argv: { after: (call) => call.after ?? "", limit: (call) => call.limit },
  reply: (word, [last, entries], call) =>
    word === "events" ? decodeEvents(call.after, number(last), entries) : unexpected("read-events", word),
});
