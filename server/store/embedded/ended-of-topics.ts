/**
 * The memory for ids that ended in calls of many topics. As in ended-ids.ts, the
 * status of an id says when it ended, and decides. The chunks by which old ones are
 * found hold ids of any topics here: a chunk for each topic would cost as much
 * as all else that its task costs.
 *
 * They stand where those of a topic would that has the number 0.
 */
import type { TaskId } from "../../domain/ids.js";
import { scratch, scratchUpTo } from "./body-codec.js";
import type { Ending } from "./change.js";
import type { Tables } from "./database.js";
import { CHUNK_BYTES_MAX, forgetIfOver, isOver, MOMENT_BYTES } from "./ended-ids.js";
import { numberKey, textKey, topicBounds, writeAscii, writeUint32, writeUint48 } from "./keys.js";

const NO_TOPIC = 0;
/** Names the number of chunks so far. */
const CHUNKS = "chunks of ended ids";
const TOPIC_BYTES = 4;

/** The chunk is put together here. */
const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES_MAX);

/** The ids of one call, on their way into chunks. */
export class EndedOfTopics {
  readonly #tables: Tables;
  readonly #ending: Ending;
  #at = 0;
  #chunks = 0;

  constructor(tables: Tables, ending: Ending) {
    this.#tables = tables;
    this.#ending = ending;
  }

  add(topic: number, id: TaskId): void {
    if (this.#ending.endedWindowMs <= 0) return;
    if (this.#at + TOPIC_BYTES + 1 + id.length > CHUNK_BYTES_MAX) this.#put();
    if (this.#at === 0) this.#at = writeUint48(chunk, this.#ending.now, 0);
    const at = writeUint32(chunk, topic, this.#at);
    chunk[at] = id.length;
    this.#at = writeAscii(chunk, id, at + 1);
  }

  /** Writes down the last chunk, and forgets about as many old ids as were added. */
  finish(): void {
    if (this.#at > 0) this.#put();
    if (this.#chunks > 0) forgetEndedOfTopics(this.#tables, this.#ending, this.#chunks + 1);
  }

  #put(): void {
    const { book, ended } = this.#tables;
    const number = (book.get(textKey(CHUNKS))?.readDoubleBE() ?? 0) + 1;
    scratch.writeDoubleBE(number);
    book.put(textKey(CHUNKS), scratchUpTo(8));
    ended.put(numberKey(NO_TOPIC, number), chunk.subarray(0, this.#at));
    this.#chunks += 1;
    this.#at = 0;
  }
}

/** Forgets the ids in up to `chunksMax` chunks whose window is over. */
export function forgetEndedOfTopics(tables: Tables, ending: Ending, chunksMax: number): void {
  const { start, end } = topicBounds(NO_TOPIC);
  for (const { key, value } of tables.ended.rows(start, end, chunksMax)) {
    if (!isOver(value.readUIntBE(0, MOMENT_BYTES), ending)) return;
    for (let at = MOMENT_BYTES; at < value.length; ) {
      const idAt = at + TOPIC_BYTES + 1;
      const idEnd = idAt + (value[idAt - 1] ?? 0);
      forgetIfOver(tables, value.readUInt32BE(at), value.toString("latin1", idAt, idEnd), ending);
      at = idEnd;
    }
    tables.ended.remove(key);
  }
}
