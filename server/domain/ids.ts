/**
 * The names things go by: branded strings, so that a task id is never passed
 * where a topic is meant.
 *
 * The parsers here are the only way from text to a brand, and the only casts in
 * the code. They run once, at the edge; whatever carries a brand is trusted
 * from then on. Task ids, topics and session ids contain no control characters,
 * no spaces and no braces, so that stores may join them into keys.
 */
declare const brand: unique symbol;
type Brand<Name extends string> = string & { readonly [brand]: Name };

/** What kind of work a task is. */
export type TopicName = Brand<"TopicName">;
/** Identifies a task within its topic. */
export type TaskId = Brand<"TaskId">;
/** One worker's attachment to the brokers. */
export type SessionId = Brand<"SessionId">;
/**
 * Proves the holding of a task. Within a topic, tokens rise with every lease,
 * and being of fixed width they compare as strings: see `leaseToken`.
 */
export type LeaseToken = Brand<"LeaseToken">;

const TOPIC = /^[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}$/;
const TASK_ID = /^[A-Za-z0-9_.:/@+=~-]{1,128}$/;
const SESSION_ID = /^[A-Za-z0-9_-]{1,64}$/;
const LEASE_TOKEN = /^[0-9a-f]{12}$/;

export const TOPIC_RULE =
  "must be 1 to 128 characters, letters, digits and _ . : / -, beginning with a letter, a digit or _";
export const TASK_ID_RULE = "must be 1 to 128 characters, letters, digits and _ . : / @ + = ~ -";

export function parseTopicName(text: string): TopicName | undefined {
  return TOPIC.test(text) ? (text as TopicName) : undefined;
}

export function parseTaskId(text: string): TaskId | undefined {
  return TASK_ID.test(text) ? (text as TaskId) : undefined;
}

export function parseSessionId(text: string): SessionId | undefined {
  return SESSION_ID.test(text) ? (text as SessionId) : undefined;
}

export function parseLeaseToken(text: string): LeaseToken | undefined {
  return LEASE_TOKEN.test(text) ? (text as LeaseToken) : undefined;
}

/** The token of the lease with that fencing number: 12 hexadecimal digits, 48 bits. */
export function leaseToken(n: number): LeaseToken {
  const upper = Math.floor(n / HALF);
  if (upperHalf.n !== upper) upperHalf = { n: upper, digits: sixDigits(upper) };
  return (upperHalf.digits + sixDigits(n % HALF)) as LeaseToken;
}

const HALF = 2 ** 24;
/** What numbers below 4,096 are written with. To look it up makes no strings but the one. */
const THREE_DIGITS = Array.from({ length: 4096 }, (_, n) => n.toString(16).padStart(3, "0"));

function sixDigits(n: number): string {
  return (THREE_DIGITS[n >> 12] ?? "") + (THREE_DIGITS[n & 0xfff] ?? "");
}

/** That of the latest token: the next ones have the same. */
let upperHalf = { n: 0, digits: sixDigits(0) };

const FENCE_EPOCH_MS = Date.UTC(2026, 0, 1);
/** More leases of one topic than any store grants in a millisecond; 48 bits then last until 2095. */
const FENCES_PER_MS = 128;

/**
 * What the next fencing number of a topic is counted from. Numbers rise by one
 * from lease to lease, and never fall behind the time: a store that lost its
 * last second, by a power cut or a failover, must not give a number again, or a
 * report on a lease that it forgot would end the lease of another task.
 */
export function fenceAt(last: number, nowMs: number): number {
  return Math.max(last, (nowMs - FENCE_EPOCH_MS) * FENCES_PER_MS);
}
