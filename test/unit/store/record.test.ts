import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LIMITS } from "../../../server/domain/limits.js";
import type { TaskHead } from "../../../server/domain/task.js";
import { isPlainText } from "../../../server/grpc/parse.js";
import { decodeRecord, encodeRecord } from "../../../server/store/record.js";
import { SEED } from "../../support/arbitraries.js";
import { NOW } from "../../support/task-factory.js";

const millis = fc.oneof(fc.constantFrom(0, 1), fc.nat(2 ** 40));
const PLAIN: TaskHead = { enqueuedAtMs: NOW, priority: 0, externalId: "", retentionMs: 0 };

const heads: fc.Arbitrary<TaskHead> = fc.record(
  {
    enqueuedAtMs: fc.nat(2 ** 42),
    priority: fc.oneof(fc.constantFrom(0, -1, 2 ** 31 - 1, -(2 ** 31)), fc.integer()),
    externalId: fc
      .oneof(fc.constantFrom("", "x=1", "\u00a0", "order 7", "a=b c"), fc.string({ unit: "binary", maxLength: 30 }))
      .filter((text) => isPlainText(text, LIMITS.externalIdBytesMax)),
    retentionMs: millis,
    numRetries: fc.nat(LIMITS.numRetriesMax),
    timeoutMs: millis,
    backoff: fc.record({
      initialMs: millis,
      factor: fc.double({ min: 1, max: 100, noNaN: true }),
      maxMs: millis,
      jitter: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { requiredKeys: ["enqueuedAtMs", "priority", "externalId", "retentionMs"] },
);

describe("a record", () => {
  test("is read back as it was written, whatever the spec holds", () => {
    fc.assert(
      fc.property(heads, fc.uint8Array({ maxLength: 50 }), (head, spec) => {
        const read = decodeRecord(encodeRecord(head, spec));
        expect(read.head).toEqual(normal(head));
        expect(Buffer.from(read.spec).equals(Buffer.from(spec))).toBe(true);
      }),
      { seed: SEED, numRuns: 2_000 },
    );
  });

  test("lets a script find the external id on its first line", () => {
    fc.assert(
      fc.property(heads, fc.uint8Array({ maxLength: 50 }), (head, spec) => {
        const text = encodeRecord(head, spec).toString("utf8").split("\n")[0] ?? "";
        expect(/\tx=([^\n]*)/.exec(text)?.[1] ?? "").toBe(head.externalId);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  test("of a plain task costs its moment and a newline", () => {
    const spec = Buffer.from("1a00", "hex");
    expect(encodeRecord(PLAIN, spec).length).toBe(NOW.toString(36).length + 1 + spec.length);
  });

  test("keeps fields that are set to what is their default elsewhere", () => {
    const head = { ...PLAIN, numRetries: 0, timeoutMs: 0 };
    expect(decodeRecord(encodeRecord(head, Buffer.alloc(0))).head).toEqual(head);
  });

  test("of a newer version is read as far as it is known", () => {
    const line = `${NOW.toString(36)}\tp=-3\tz=unknown\tx=order\n`;
    expect(decodeRecord(Buffer.from(`${line}spec`))).toEqual({
      head: { ...PLAIN, priority: -3, externalId: "order" },
      spec: Buffer.from("spec"),
    });
  });

  test("without its first line is a bug", () => {
    expect(() => decodeRecord(Buffer.from("no newline"))).toThrow("begins with a line of text");
  });
});

/** -0 is 0 to everybody who compares. */
function normal(head: TaskHead): TaskHead {
  const { backoff } = head;
  if (!backoff) return head;
  return { ...head, backoff: { ...backoff, factor: backoff.factor + 0, jitter: backoff.jitter + 0 } };
}
