/**
 * Encodes what a worker is sent: `taskqueue.v1.LeaseResponse`, with each task
 * put in as the store keeps it, without being decoded. A test compares the
 * outcome with the generated decoder; worker.proto decides the field numbers.
 */
import { CancelReason, LeaseResponse, type Welcome } from "@taskqueue/sdk/gen/taskqueue/v1/worker.js";
import { attemptOfLease, type HeldLease } from "../engine/held-lease.js";
import type { Delivery } from "../engine/outbox.js";
import { ByteWriter, fieldBytes, varintBytes } from "./byte-writer.js";
import { toDuration } from "./time.js";

/** What goes out on a Lease stream. */
export type LeaseMessage =
  | { readonly kind: "welcome"; readonly welcome: Welcome }
  | { readonly kind: "delivery"; readonly delivery: Delivery; readonly nowMs: number };

const RESPONSE = { delivery: 2, leased: 3, settled: 4, lost: 5, heartbeat: 8 } as const;
const LEASED_TASK = { task: 1, leaseToken: 2, attempt: 3, failures: 4, age: 5, timeout: 6 } as const;
const TASK = { topic: 1, id: 2 } as const;
const DURATION = { seconds: 1, nanos: 2 } as const;

const REASONS = { cancelled: CancelReason.CANCELLED, timeout: CancelReason.TIMEOUT } as const;

export function encodeLeaseMessage(message: LeaseMessage): Uint8Array {
  if (message.kind === "welcome") {
    return LeaseResponse.encode(LeaseResponse.fromPartial({ welcome: message.welcome })).finish();
  }
  return encodeDelivery(message.delivery, message.nowMs);
}

function encodeDelivery(delivery: Delivery, nowMs: number): Uint8Array {
  const { number, leased, settled, lost, cancels, drainMs, heartbeat } = delivery;
  let expected = 64;
  for (const lease of leased) expected += lease.bytes + 2 * lease.topic.length + 128;
  for (const token of lost) expected += token.length + 4;
  const writer = new ByteWriter(expected);
  writer.number(RESPONSE.delivery, number);
  for (const lease of leased) writeLeased(writer, lease, nowMs);
  writer.number(RESPONSE.settled, settled);
  // A lost token may be anything that a worker took for one.
  for (const token of lost) writer.text(RESPONSE.lost, token);
  if (cancels.length > 0 || drainMs !== undefined) {
    // Rare parts, by the generated encoder: fields of one message may come in pieces.
    const cancel = cancels.map(({ token, reason }) => ({ leaseToken: token, reason: REASONS[reason] }));
    const drain = drainMs === undefined ? undefined : { deadline: toDuration(drainMs) };
    writer.raw(LeaseResponse.encode(LeaseResponse.fromPartial({ cancel, drain })).finish());
  }
  writer.number(RESPONSE.heartbeat, heartbeat);
  return writer.finish();
}

function writeLeased(writer: ByteWriter, lease: HeldLease, nowMs: number): void {
  const { topic, id, wireToken, head, failures, timeoutMs } = lease;
  const spec = lease.spec ?? new Uint8Array();
  const attempt = attemptOfLease(lease);
  const age = millis(Math.max(0, nowMs - head.enqueuedAtMs));
  const timeout = timeoutMs === 0 ? undefined : millis(timeoutMs);
  const taskBytes = fieldBytes(topic.length) + fieldBytes(id.length) + spec.length;
  writer.head(
    RESPONSE.leased,
    fieldBytes(taskBytes) +
      fieldBytes(wireToken.length) +
      numberBytes(attempt) +
      numberBytes(failures) +
      fieldBytes(age.bytes) +
      (timeout ? fieldBytes(timeout.bytes) : 0),
  );
  writer.head(LEASED_TASK.task, taskBytes);
  writer.ascii(TASK.topic, topic);
  writer.ascii(TASK.id, id);
  writer.raw(spec);
  writer.ascii(LEASED_TASK.leaseToken, wireToken);
  writer.number(LEASED_TASK.attempt, attempt);
  writer.number(LEASED_TASK.failures, failures);
  writeMillis(writer, LEASED_TASK.age, age);
  if (timeout) writeMillis(writer, LEASED_TASK.timeout, timeout);
  // What was delivered need not be kept.
  lease.spec = undefined;
}

interface DurationParts {
  readonly seconds: number;
  readonly nanos: number;
  readonly bytes: number;
}

function millis(ms: number): DurationParts {
  const seconds = Math.floor(ms / 1_000);
  const nanos = (ms - seconds * 1_000) * 1_000_000;
  return { seconds, nanos, bytes: numberBytes(seconds) + numberBytes(nanos) };
}

function writeMillis(writer: ByteWriter, field: number, { seconds, nanos, bytes }: DurationParts): void {
  writer.head(field, bytes);
  writer.number(DURATION.seconds, seconds);
  writer.number(DURATION.nanos, nanos);
}

function numberBytes(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value);
}
