/**
 * Contents of a task that may be large: its record, error, result, progress.
 * Small ones stand within the body. Others are cut into rows of one value each,
 * stay where they are whatever the task goes through, and must be dropped by
 * whoever drops the last reference.
 */
import type { Blob, Content } from "./body-codec.js";
import type { Tables } from "./database.js";
import { blobKey, partOf } from "./keys.js";
import { putParts, readParts, removeParts } from "./parts.js";
import type { TopicState } from "./topic-state.js";

/** Keeps `bytes`, as they are when they are no more than `inlineMax`. */
export function keepContent(tables: Tables, topic: TopicState, bytes: Uint8Array, inlineMax: number): Content {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.length <= inlineMax ? buffer : keepBlob(tables, topic, buffer);
}

export function keepBlob(tables: Tables, topic: TopicState, bytes: Buffer): Blob {
  topic.figures.blobs += 1;
  const blob = topic.figures.blobs;
  putParts(tables.blob, blobKey(topic.number, blob), bytes);
  return { blob, length: bytes.length };
}

export function loadContent(tables: Tables, topic: TopicState, content: Content): Buffer {
  return Buffer.isBuffer(content) ? content : readParts(tables.blob, blobKey(topic.number, content.blob));
}

/** The beginning of a content: enough of a record to hold its line of text. */
export function loadBeginning(tables: Tables, topic: TopicState, content: Content): Buffer {
  if (Buffer.isBuffer(content)) return content;
  return tables.blob.get(partOf(blobKey(topic.number, content.blob), 0)) ?? Buffer.alloc(0);
}

export function dropContent(tables: Tables, topic: TopicState, content: Content | undefined): void {
  if (content === undefined || Buffer.isBuffer(content)) return;
  removeParts(tables.blob, blobKey(topic.number, content.blob));
}
