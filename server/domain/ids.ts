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
const LEASE_TOKEN = /^[0-9a-f]{11}$/;

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

/** The token for the n-th lease of a topic: 11 hexadecimal digits, enough for 2^44 leases. */
export function leaseToken(n: number): LeaseToken {
  return n.toString(16).padStart(11, "0") as LeaseToken;
}
