import { bytesCodec, defineTopic, type EnqueueOptions } from "@taskqueue/sdk";
import { EnqueueStreamRequest } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import type { Task } from "@taskqueue/sdk/gen/taskqueue/v1/task.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LIMITS } from "../../../sdk/limits.js";
import { writeTask } from "../../../sdk/task-codec.js";
import { Writer } from "../../../sdk/wire.js";

const work = defineTopic<unknown[]>("work");
const MIB = 1024 * 1024;

function encode(
  topic: Parameters<typeof writeTask>[1],
  input: unknown,
  options?: EnqueueOptions,
  bytesMax = MIB,
): Task {
  const writer = new Writer();
  writeTask(writer, topic, "id-1", input, options, bytesMax);
  const { tasks } = EnqueueStreamRequest.decode(writer.take());
  const [task] = tasks;
  if (task === undefined || tasks.length !== 1) throw new Error("not one task");
  return task;
}

test("every field arrives as the generated code reads it", () => {
  const task = encode(work, [1, "two"], {
    externalId: "order-7",
    numRetries: 0,
    priority: -5,
    delayMs: 1_500,
    timeoutMs: 0,
    metadata: { traceparent: "00-1-2-03", "a.b_c-d": "ü" },
    backoff: { initialMs: 250, factor: 1.5, maxMs: 60_000, jitter: 0 },
    retentionMs: 86_400_000,
  });
  expect(task).toMatchObject({
    topic: "work",
    id: "id-1",
    args: [1, "two"],
    externalId: "order-7",
    numRetries: 0,
    priority: -5,
    runAt: undefined,
    delay: { seconds: 1, nanos: 500_000_000 },
    timeout: { seconds: 0, nanos: 0 },
    metadata: { traceparent: "00-1-2-03", "a.b_c-d": "ü" },
    backoff: {
      initial: { seconds: 0, nanos: 250_000_000 },
      factor: 1.5,
      max: { seconds: 60, nanos: 0 },
      jitter: 0,
    },
    retention: { seconds: 86_400, nanos: 0 },
  });
  const runAt = new Date("2030-01-02T03:04:05.678Z");
  expect(encode(work, [], { runAt }).runAt).toEqual(runAt);
});

test("what is not said is not sent, and is the broker's to decide", () => {
  expect(encode(work, [])).toMatchObject({
    args: [],
    externalId: "",
    numRetries: undefined,
    priority: 0,
    runAt: undefined,
    delay: undefined,
    timeout: undefined,
    metadata: {},
    backoff: undefined,
    retention: undefined,
  });
});

test("a topic's defaults hold unless the enqueue says otherwise; metadata is merged", () => {
  const topic = defineTopic<unknown[]>("t", {
    numRetries: 3,
    priority: 7,
    timeoutMs: 1_000,
    metadata: { a: "1", b: "1" },
  });
  expect(encode(topic, [])).toMatchObject({
    numRetries: 3,
    priority: 7,
    timeout: { seconds: 1 },
    metadata: { a: "1", b: "1" },
  });
  expect(encode(topic, [], { numRetries: 0, priority: 0, metadata: { b: "2" } })).toMatchObject({
    numRetries: 0,
    priority: 0,
    metadata: { a: "1", b: "2" },
  });
});

test("a codec's bytes travel as payload; empty ones as nothing at all", () => {
  const raw = defineTopic("raw", { codec: bytesCodec("text/plain") });
  const task = encode(raw, Buffer.from("hello"));
  expect(task).toMatchObject({ args: undefined, contentType: "text/plain" });
  expect(task.payload.toString()).toBe("hello");
  expect(encode(raw, new Uint8Array())).toMatchObject({ contentType: "", args: undefined });
});

describe("a field at its bound passes, and one beyond is refused by name", () => {
  const years = 365 * 86_400_000;
  test.each<[string, EnqueueOptions, EnqueueOptions]>([
    ["numRetries", { numRetries: LIMITS.numRetriesMax }, { numRetries: LIMITS.numRetriesMax + 1 }],
    ["numRetries", { numRetries: 0 }, { numRetries: -1 }],
    ["numRetries", { numRetries: 1 }, { numRetries: 1.5 }],
    ["priority", { priority: 2 ** 31 - 1 }, { priority: 2 ** 31 }],
    ["priority", { priority: -(2 ** 31) }, { priority: -(2 ** 31) - 1 }],
    ["delayMs", { delayMs: 10 * years }, { delayMs: 10 * years + 1 }],
    ["delayMs", { delayMs: 0 }, { delayMs: -1 }],
    ["delayMs", { delayMs: 0.5 }, { delayMs: Number.NaN }],
    ["timeoutMs", { timeoutMs: LIMITS.timeoutMsMax }, { timeoutMs: LIMITS.timeoutMsMax + 1 }],
    ["retentionMs", { retentionMs: years }, { retentionMs: years + 1 }],
    ["externalId", { externalId: "é".repeat(127) }, { externalId: "é".repeat(128) }],
    ["externalId", { externalId: "a b" }, { externalId: "a\nb" }],
    ["runAt", { runAt: new Date(0) }, { runAt: new Date(-1) }],
    ["runAt", { runAt: new Date() }, { runAt: new Date(Number.NaN) }],
    ["runAt", { runAt: new Date() }, { runAt: new Date(Date.now() + 11 * years) }],
    ["metadata.a", { metadata: { a: "x".repeat(4096) } }, { metadata: { a: "x".repeat(4097) } }],
    ["metadata", { metadata: { ["k".repeat(128)]: "" } }, { metadata: { ["k".repeat(129)]: "" } }],
    ["metadata", { metadata: { lower: "" } }, { metadata: { Upper: "" } }],
    [
      "metadata",
      { metadata: Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`k${i}`, ""])) },
      { metadata: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, ""])) },
    ],
    ["backoff.factor", { backoff: { factor: 100 } }, { backoff: { factor: 100.5 } }],
    ["backoff.factor", { backoff: { factor: 1 } }, { backoff: { factor: 0.5 } }],
    ["backoff.jitter", { backoff: { jitter: 1 } }, { backoff: { jitter: 1.01 } }],
    ["backoff.initialMs", { backoff: { initialMs: 0 } }, { backoff: { initialMs: -1 } }],
    ["backoff.maxMs", { backoff: { maxMs: LIMITS.backoffMsMax } }, { backoff: { maxMs: LIMITS.backoffMsMax + 1 } }],
  ])("%s", (field, fits, exceeds) => {
    expect(() => encode(work, [], fits)).not.toThrow();
    expect(() => encode(work, [], exceeds)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT", field }));
  });

  test("runAt together with delayMs", () => {
    expect(() => encode(work, [], { runAt: new Date(), delayMs: 0 })).toThrow(/together with runAt/);
  });

  test("an option that does not exist", () => {
    const typo = { retries: 3 } as EnqueueOptions;
    expect(() => encode(work, [], typo)).toThrow(/no option "retries"; it knows numRetries/);
  });
});

test("a task of exactly the largest size passes, and one byte more is too large", () => {
  const overhead = (() => {
    const writer = new Writer();
    writeTask(writer, work, "id-1", ["x".repeat(1_000)], undefined, MIB);
    // Without the tag and the two bytes of length around it.
    return writer.length - 3 - 1_000;
  })();
  const most = 2_000;
  expect(() => encode(work, ["x".repeat(most - overhead)], undefined, most)).not.toThrow();
  expect(() => encode(work, ["x".repeat(most - overhead + 1)], undefined, most)).toThrow(
    expect.objectContaining({ code: "TASK_TOO_LARGE", field: "args" }),
  );
});

test("whatever is refused leaves the request as it was", () => {
  fc.assert(
    fc.property(fc.nat({ max: 5 }), (before) => {
      const writer = new Writer();
      for (let i = 0; i < before; i += 1) writeTask(writer, work, `id-${i}`, [i], undefined, MIB);
      const { length } = writer;
      expect(() => writeTask(writer, work, "bad", [1], { numRetries: -1, externalId: "written first" }, MIB)).toThrow();
      expect(writer.length).toBe(length);
      writeTask(writer, work, "good", ["last"], undefined, MIB);
      expect(EnqueueStreamRequest.decode(writer.take()).tasks.at(-1)?.id).toBe("good");
    }),
  );
});
