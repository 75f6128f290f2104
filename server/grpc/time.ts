/** Durations and moments between the wire and the broker, which counts in milliseconds. */
import type { Duration } from "@taskqueue/sdk/gen/google/protobuf/duration.js";
import { invalid } from "../domain/errors.js";

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
  const ms = Math.round(seconds * 1_000 + nanos / 1_000_000);
  if (ms < minMs || ms > maxMs) throw invalid(field, `${ms} ms`, `must be ${minMs} ms to ${maxMs} ms`);
  return ms;
}
