import { Task } from "@taskqueue/sdk/gen/taskqueue/v1/task.js";
import { CancelReason, LeaseResponse } from "@taskqueue/sdk/gen/taskqueue/v1/worker.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type HeldLease, wireTokenOf } from "../../../server/engine/held-lease.js";
import type { Delivery } from "../../../server/engine/outbox.js";
import { encodeLeaseMessage } from "../../../server/grpc/lease-codec.js";
import { readEnqueue } from "../../../server/grpc/task-scan.js";
import { SEED, tasks, topics } from "../../support/arbitraries.js";
import { heldLease } from "../../support/held-lease.js";
import { NOW, topicName } from "../../support/task-factory.js";

const NOTHING: Delivery = {
  number: 0,
  leased: [],
  settled: 0,
  lost: [],
  cancels: [],
  drainMs: undefined,
  heartbeat: 0,
};

function encoded(delivery: Partial<Delivery>, nowMs = NOW): LeaseResponse {
  return LeaseResponse.decode(encodeLeaseMessage({ kind: "delivery", delivery: { ...NOTHING, ...delivery }, nowMs }));
}

const seconds = (duration: { seconds: number; nanos: number } | undefined) =>
  duration && duration.seconds * 1_000 + duration.nanos / 1_000_000;

describe("a delivery", () => {
  test("with nothing in it is an empty message", () => {
    const bytes = encodeLeaseMessage({ kind: "delivery", delivery: NOTHING, nowMs: NOW });
    expect(bytes.length).toBe(0);
  });

  test("carries its numbers, whatever their size", () => {
    for (const number of [1, 127, 128, 16_384, 2 ** 31, 2 ** 32 + 1, 2 ** 49, Number.MAX_SAFE_INTEGER]) {
      expect(encoded({ number, settled: number, heartbeat: number })).toEqual(
        LeaseResponse.fromPartial({ delivery: number, settled: number, heartbeat: number }),
      );
    }
  });

  test("carries a task as its producer sent it", () => {
    const task = Task.fromPartial({
      topic: "clicks",
      id: "a-1",
      args: [640, "ö", { deep: [null, true] }],
      externalId: "order-7",
      priority: -3,
      numRetries: 0,
      metadata: { traceparent: "00-1" },
    });
    const request = Buffer.concat([Buffer.from([10, Task.encode(task).finish().length]), Task.encode(task).finish()]);
    const [input] = readEnqueue(request, { now: NOW, taskBytesMax: 10_000 }).tasks;
    const lease = heldLease({
      id: "a-1",
      spec: input?.spec ?? Buffer.alloc(0),
      failures: 2,
      lostLeases: 1,
      timeoutMs: 90_500,
    });
    const message = encoded({ number: 7, leased: [lease] }, NOW + 61_234);
    expect(message.delivery).toBe(7);
    expect(message.leased).toEqual([
      {
        task,
        leaseToken: lease.wireToken,
        attempt: 4,
        failures: 2,
        age: { seconds: 61, nanos: 234_000_000 },
        timeout: { seconds: 90, nanos: 500_000_000 },
      },
    ]);
  });

  test("gives durations their exact milliseconds, and no timeout where there is none", () => {
    const milliseconds = fc.oneof(
      fc.constantFrom(0, 1, 999, 1_000, 1_001, 24 * 86_400_000, 10 * 365 * 86_400_000),
      fc.nat(2 ** 40),
    );
    fc.assert(
      fc.property(milliseconds, milliseconds, (ageMs, timeoutMs) => {
        const [leased] = encoded({ leased: [heldLease({ timeoutMs })] }, NOW + ageMs).leased;
        expect(seconds(leased?.age)).toBe(ageMs);
        expect(seconds(leased?.timeout)).toBe(timeoutMs === 0 ? undefined : timeoutMs);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  test("says 0 for a task that comes from the future, after the clock was set back", () => {
    const [leased] = encoded({ leased: [heldLease({})] }, NOW - 5_000).leased;
    expect(leased?.age).toEqual({ seconds: 0, nanos: 0 });
  });

  test("is what the generated encoder would have made of it", () => {
    const leases = fc.record({
      topic: topics.filter((topic) => /^[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}$/.test(topic)),
      task: tasks({ rare: true }),
      failures: fc.nat(1_000),
      lostLeases: fc.nat(10),
      timeoutMs: fc.constantFrom(0, 1, 1_500),
    });
    fc.assert(
      fc.property(
        fc.array(leases, { maxLength: 5 }),
        fc.array(fc.string({ unit: "binary", maxLength: 20 }), { maxLength: 3 }),
        fc.array(fc.constantFrom("cancelled" as const, "timeout" as const), { maxLength: 3 }),
        fc.option(fc.nat(100_000), { nil: undefined }),
        (drawn, lost, reasons, drainMs) => {
          const leased = drawn.map(({ topic, task, ...rest }, index) => {
            const spec = Task.encode({ ...task, topic: "", id: "" }).finish();
            return heldLease({ ...rest, topic: topicName(topic), id: `id-${index}`, spec });
          });
          const cancels = reasons.map((reason, index) => ({ token: `token-${index}`, reason }));
          const message = encoded({ number: 3, leased, lost, cancels, drainMs, settled: 5, heartbeat: 9 });
          expect(message.leased.map((one) => one.task)).toEqual(
            drawn.map(({ topic, task }, index) => ({
              ...Task.decode(Task.encode(task).finish()),
              topic,
              id: `id-${index}`,
            })),
          );
          expect(message).toMatchObject({ delivery: 3, lost, settled: 5, heartbeat: 9 });
          expect(message.cancel).toEqual(
            cancels.map(({ token, reason }) => ({
              leaseToken: token,
              reason: reason === "timeout" ? CancelReason.TIMEOUT : CancelReason.CANCELLED,
            })),
          );
          expect(seconds(message.drain?.deadline)).toBe(drainMs);
        },
      ),
      { seed: SEED, numRuns: 300 },
    );
  });

  test("carries large tasks, many tasks, and many tokens", () => {
    const payload = Buffer.alloc(1024 * 1024, 7);
    const spec = Task.encode(Task.fromPartial({ payload })).finish();
    const large = encoded({ number: 1, leased: [heldLease({ spec }), heldLease({ spec, id: "second" })] });
    expect(large.leased.map((one) => one.task?.payload.equals(payload))).toEqual([true, true]);
    const many = Array.from({ length: 1_000 }, (_, index) => heldLease({ id: `t${index}` }));
    expect(encoded({ number: 2, leased: many }).leased.map((one) => one.task?.id)).toEqual(many.map(({ id }) => id));
    const lost = Array.from({ length: 10_000 }, (_, index) => `${index}.clicks`);
    expect(encoded({ lost }).lost).toEqual(lost);
  });

  test("gives back lost tokens that are not ASCII as they were", () => {
    const lost = ["é", "日本", "\u{1f600}", "", "\ufffd"];
    expect(encoded({ lost }).lost).toEqual(lost);
  });

  test("forgets the bytes of what was written", () => {
    const lease: HeldLease = heldLease({ spec: Buffer.from("0a00", "hex") });
    encoded({ leased: [lease] });
    expect(lease.spec).toBeUndefined();
  });
});

test("a welcome is written as generated", () => {
  const welcome = {
    sessionId: "s",
    sessionSecret: "x",
    grace: { seconds: 2, nanos: 0 },
    sessionTimeout: { seconds: 15, nanos: 0 },
    broker: "b",
    version: "1.2.3",
    taskBytesMax: 1_048_576,
  };
  expect(LeaseResponse.decode(encodeLeaseMessage({ kind: "welcome", welcome }))).toEqual(
    LeaseResponse.fromPartial({ welcome }),
  );
});

test("a token on the wire begins with the fencing number, and later ones are greater", () => {
  const [first, second] = [heldLease({ n: 255 }), heldLease({ n: 256 })];
  expect(first.wireToken).toBe(wireTokenOf(first.token, first.topic));
  expect(first.wireToken).toBe("0000000000ff.clicks");
  expect(second.wireToken > first.wireToken).toBe(true);
});
