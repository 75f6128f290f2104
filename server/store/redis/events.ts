/** The log of events, a capped stream, and who watches it. */
import { invalid } from "../../domain/errors.js";
import type { EventPage } from "../store.js";
import type { Connection } from "./connection.js";
import type { Keys } from "./keys.js";
import { announceWatch } from "./scripts/announce-watch.js";
import { appendEvents } from "./scripts/append-events.js";
import { readEvents } from "./scripts/read-events.js";

const CURSOR = /^\d{1,15}$/;

export class Events {
  readonly #connection: Connection;
  readonly #keys: Keys;

  constructor(connection: Connection, keys: Keys) {
    this.#connection = connection;
    this.#keys = keys;
  }

  append(batch: Uint8Array): Promise<void> {
    return this.#connection.run(appendEvents, Buffer.from(batch.buffer, batch.byteOffset, batch.byteLength));
  }

  async read(options: {
    readonly after?: string;
    readonly limit: number;
    readonly waitMs: number;
  }): Promise<EventPage> {
    const { limit, waitMs } = options;
    if (options.after !== undefined && !CURSOR.test(options.after)) {
      throw invalid("cursor", options.after, "must be one that Watch sent");
    }
    const after = options.after === undefined ? undefined : Number(options.after);
    const page = await this.#connection.run(readEvents, { after, limit });
    if (after === undefined || page.entries.length > 0 || page.gap || waitMs <= 0) return page;
    const from = `${page.cursor}-0`;
    const blocking = ["COUNT", 1, "BLOCK", Math.ceil(waitMs), "STREAMS", this.#keys.events, from];
    const open = await this.#connection.wait("xread", blocking);
    return open ? this.#connection.run(readEvents, { after, limit }) : page;
  }

  announceWatch(untilMs: number): Promise<void> {
    return this.#connection.run(announceWatch, { untilMs, channel: this.#keys.wake });
  }
}
