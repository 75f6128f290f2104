/**
 * The event log: numbered batches, cut into rows, of which about the last
 * LIMITS.eventLogMax are kept; and until when somebody watches.
 */
import { invalid } from "../../domain/errors.js";
import { LIMITS } from "../../domain/limits.js";
import type { Millis } from "../../domain/task.js";
import type { EventEntry, EventPage } from "../store.js";
import type { Tables } from "./database.js";
import { eventKey, eventNumber, textKey } from "./keys.js";
import { putParts, readParts } from "./parts.js";

const START = Buffer.of(0);
const NUMBER_MAX = 2 ** 48 - 1;
const CURSOR = /^[0-9a-f]{12}$/;
const WATCHED_UNTIL = "watched until";
/** Rows of old entries that one append removes: more than it adds, unless batches shrink suddenly. */
const TRIM_ROWS = 100;

export class EventLog {
  readonly #tables: Tables;

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  append(batch: Uint8Array): void {
    const { event } = this.#tables;
    const number = this.#last() + 1;
    putParts(event, eventKey(number), Buffer.from(batch.buffer, batch.byteOffset, batch.byteLength));
    const keptFrom = number - LIMITS.eventLogMax + 1;
    if (keptFrom <= 1) return;
    for (const key of event.keys(START, eventKey(keptFrom), TRIM_ROWS)) event.remove(key);
  }

  read(after: string | undefined, limit: number): EventPage {
    if (after !== undefined && !CURSOR.test(after)) throw invalid("after", after, "must be a cursor of this log");
    const last = this.#last();
    if (after === undefined) return { entries: [], cursor: cursorOf(last), gap: false };
    const asked = Number.parseInt(after, 16);
    // A cursor from before a power cut may lie beyond the end of what was saved.
    if (asked > last) return { entries: [], cursor: cursorOf(last), gap: true };
    const first = Math.max(asked + 1, this.#first());
    const entries: EventEntry[] = [];
    for (let number = first; number <= last && entries.length < limit; number++) {
      entries.push({ cursor: cursorOf(number), batch: readParts(this.#tables.event, eventKey(number)) });
    }
    return { entries, cursor: entries.at(-1)?.cursor ?? after, gap: first > asked + 1 };
  }

  watchedUntil(): Millis {
    return this.#tables.book.get(textKey(WATCHED_UNTIL))?.readDoubleBE() ?? 0;
  }

  watchUntil(untilMs: Millis): void {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleBE(untilMs);
    this.#tables.book.put(textKey(WATCHED_UNTIL), bytes);
  }

  #first(): number {
    const key = this.#tables.event.firstKey(START, eventKey(NUMBER_MAX));
    return key === undefined ? 1 : eventNumber(key);
  }

  #last(): number {
    const key = this.#tables.event.lastKey(START, eventKey(NUMBER_MAX));
    return key === undefined ? 0 : eventNumber(key);
  }
}

function cursorOf(number: number): string {
  return number.toString(16).padStart(12, "0");
}
