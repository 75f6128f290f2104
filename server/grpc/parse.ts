/** Names and numbers from requests: each is checked once here, and trusted from then on. */
import { invalid } from "../domain/errors.js";
import { parseTaskId, parseTopicName, TASK_ID_RULE, type TaskId, TOPIC_RULE, type TopicName } from "../domain/ids.js";
import { LIMITS } from "../domain/limits.js";
import { randomText } from "../lib/random.js";

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
const CONTROL = /[\u0000-\u001f\u007f]/;
/** What decoders put in place of bytes that are not UTF-8. */
const REPLACEMENT = "\ufffd";

export function topicName(field: string, text: string): TopicName {
  const topic = parseTopicName(text);
  if (topic === undefined) throw invalid(field, text, TOPIC_RULE);
  return topic;
}

export function taskId(field: string, text: string): TaskId {
  const id = parseTaskId(text);
  if (id === undefined) throw invalid(field, text, TASK_ID_RULE);
  return id;
}

export function taskIds(field: string, texts: readonly string[]): TaskId[] {
  if (texts.length < 1 || texts.length > LIMITS.batchMax) {
    throw invalid(field, `${texts.length} ids`, `must hold 1 to ${LIMITS.batchMax} ids`);
  }
  return texts.map((text, index) => taskId(`${field}[${index}]`, text));
}

/** A fresh id for a task whose producer gave none: the moment, so that stores keep neighbours together, and 72 random bits. */
export function newTaskId(now: number): TaskId {
  return taskId("id", now.toString(36).padStart(8, "0") + randomText());
}

/** Whether `plainText` would accept it. */
export function isPlainText(text: string, bytesMax: number): boolean {
  return Buffer.byteLength(text) <= bytesMax && !CONTROL.test(text) && !text.includes(REPLACEMENT);
}

/** Text for people: bounded, valid UTF-8, without control characters. */
export function plainText(field: string, text: string, bytesMax: number): string {
  if (Buffer.byteLength(text) > bytesMax) throw invalid(field, text, `must be at most ${bytesMax} bytes`);
  if (CONTROL.test(text)) throw invalid(field, text, "must not contain control characters");
  if (text.includes(REPLACEMENT)) throw invalid(field, text, "must be valid UTF-8");
  return text;
}

export function wholeNumber(field: string, value: number, min: number, max: number): number {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw invalid(field, value, `must be a whole number from ${min} to ${max}`);
  }
  return value;
}

/** `page_size`: 0 means the default. */
export function pageSize(value: number): number {
  return value === 0 ? LIMITS.pageSizeDefault : wholeNumber("page_size", value, 1, LIMITS.pageSizeMax);
}

export const PAGE_TOKEN_RULE = "must be the token of the page before";

/** `page_token`: opaque here, but no store makes one of more than `bytesMax`. */
export function pageToken(text: string, bytesMax: number): string {
  if (Buffer.byteLength(text) > bytesMax) throw invalid("page_token", text, PAGE_TOKEN_RULE);
  return text;
}

/** Cuts text to a number of UTF-8 bytes, never through a character. */
export function cutText(text: string, bytesMax: number): string {
  if (text.length * 3 <= bytesMax) return text;
  const bytes = Buffer.from(text);
  if (bytes.length <= bytesMax) return text;
  let end = bytesMax;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end);
}
