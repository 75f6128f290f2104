/** Durations and moments between the wire and the broker, which counts in milliseconds. */
import type { Duration } from "@taskqueue/sdk/gen/google/protobuf/duration.js";
import { invalid } from "../domain/errors.js";
import { LIMITS } from "../domain/limits.js";

export function toDuration(ms: number): Duration {
  const seconds = Math.trunc(ms / 1_000);
  return { seconds, nanos: Math.round((ms - seconds * 1_000) * 1_000_000) };
}

/** Milliseconds, rounded; refuses what is malformed or out of bounds. */
export function fromDuration(field: string, duration: Duration, minMs: number, maxMs: number): number {
  const { seconds, nanos } = duration;
  if (Math.abs(nanos) > 999_999_999 || (seconds !== 0 && nanos !== 0 && seconds > 0 !== nanos > 0)) {
    throw invalid(field, `${seconds} s ${nanos} ns`, "must be a valid duration");
  }
  const exactMs = seconds * 1_000 + nanos / 1_000_000;
  const ms = Math.round(exactMs);
  if (exactMs < minMs || ms > maxMs) throw invalid(field, `${exactMs} ms`, `must be ${minMs} ms to ${maxMs} ms`);
  return ms;
}

/** Of an attempt: 0 for none, and less than a millisecond is not none. */
export function fromTimeout(field: string, duration: Duration): number {
  const none = duration.seconds === 0 && duration.nanos === 0;
  return none ? 0 : fromDuration(field, duration, 1, LIMITS.timeoutMsMax);
}
