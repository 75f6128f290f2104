/** The bounds that proto/taskqueue/v1 states, as far as the SDK checks them before it sends. */
const DAY_MS = 24 * 60 * 60 * 1000;

export const LIMITS = {
  taskBytesMax: 1024 * 1024,
  requestBytesMax: 4 * 1024 * 1024,
  batchTasksMax: 1_000,
  numRetriesMax: 1_000_000,
  delayMsMax: 3_650 * DAY_MS,
  timeoutMsMax: 24 * DAY_MS,
  retentionMsMax: 365 * DAY_MS,
  backoffMsMax: 24 * DAY_MS,
  backoffFactorMax: 100,
  contentTypeBytesMax: 255,
  externalIdBytesMax: 255,
  metadataEntriesMax: 64,
  metadataKeyMax: 128,
  metadataValueBytesMax: 4_096,
  errorBytesMax: 4_096,
  progressMessageBytesMax: 1_024,
  workerNameMax: 128,
  slotsMax: 10_000,
  weightMax: 1_000,
  topicsMax: 1_000,
  pageSizeMax: 1_000,
  watchFilterMax: 100,
} as const;

const TOPIC = /^[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}$/;
const TASK_ID = /^[A-Za-z0-9_.:/@+=~-]{1,128}$/;
const METADATA_KEY = /^[a-z0-9_.-]{1,128}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is its purpose.
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

export const TOPIC_RULE =
  "must be 1 to 128 characters, letters, digits and _ . : / -, beginning with a letter, a digit or _";
export const TASK_ID_RULE = "must be 1 to 128 characters, letters, digits and _ . : / @ + = ~ -";

export function isTopicName(text: string): boolean {
  return TOPIC.test(text);
}

export function isTaskId(text: string): boolean {
  return TASK_ID.test(text);
}

export function isMetadataKey(text: string): boolean {
  return METADATA_KEY.test(text);
}

export function hasControlCharacter(text: string): boolean {
  return CONTROL.test(text);
}

/** The text, cut to so many bytes of UTF-8 between two characters. */
export function cutToBytes(text: string, bytesMax: number): string {
  const whole = text.length * 3 <= bytesMax ? text : text.slice(0, bytesMax);
  // A lone surrogate cannot be encoded; it becomes the replacement character.
  const bytes = Buffer.from(whole);
  if (bytes.length <= bytesMax) return text.length === whole.length ? whole : bytes.toString();
  let end = bytesMax;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString("utf8", 0, end);
}
