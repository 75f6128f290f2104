import { Task } from "@taskqueue/sdk/gen/taskqueue/v1/task.js";
import { describe, expect, test } from "vitest";
import { TaskqueueError } from "../../../server/domain/errors.js";
import { LIMITS } from "../../../server/domain/limits.js";
import { backoffInput, taskInput } from "../../../server/grpc/task-input.js";
import { NOW } from "../../support/task-factory.js";

const DAY = 86_400_000;
const OPTIONS = { now: NOW, taskBytesMax: LIMITS.taskBytesMax };

const read = (task: Partial<Task>) => taskInput("tasks[0]", Task.fromPartial({ topic: "clicks", ...task }), OPTIONS);

function refusal(task: Partial<Task>): string {
  try {
    read(task);
  } catch (error) {
    if (error instanceof TaskqueueError) return `${error.code} ${error.field}: ${error.message}`;
    throw error;
  }
  return "accepted";
}

test("a task with nothing but its topic is due at once, with the topic's policies", () => {
  const { id, spec, ...rest } = read({});
  expect(id).toMatch(/^[\w-]{20}$/);
  expect(spec.length).toBe(0);
  expect(rest).toEqual({
    topic: "clicks",
    dueAtMs: NOW,
    head: { enqueuedAtMs: NOW, priority: 0, externalId: "", retentionMs: 0 },
  });
});

test("what the broker goes by is in the head, what the worker needs is in the spec", () => {
  const task = Task.fromPartial({
    topic: "clicks",
    id: "a",
    args: [1],
    externalId: "order-7",
    numRetries: 3,
    priority: -5,
    delay: { seconds: 1, nanos: 500_000_000 },
    timeout: { seconds: 60, nanos: 0 },
    retention: { seconds: 3_600, nanos: 0 },
    backoff: { initial: { seconds: 0, nanos: 0 }, factor: 0, max: undefined, jitter: 0 },
    metadata: { traceparent: "00-1" },
  });
  const { head, spec, dueAtMs } = read(task);
  expect(dueAtMs).toBe(NOW + 1_500);
  expect(head).toEqual({
    enqueuedAtMs: NOW,
    priority: -5,
    externalId: "order-7",
    retentionMs: 3_600_000,
    numRetries: 3,
    timeoutMs: 60_000,
    backoff: { initialMs: 0, factor: 2, maxMs: 3_600_000, jitter: 0 },
  });
  expect(Task.decode(spec)).toEqual({ ...task, topic: "", id: "" });
});

describe("due", () => {
  test("a moment in the past is kept, and means now", () => {
    expect(read({ runAt: new Date(0) }).dueAtMs).toBe(0);
    expect(read({ runAt: new Date(NOW + 3_650 * DAY) }).dueAtMs).toBe(NOW + 3_650 * DAY);
  });

  test.each<[string, Partial<Task>, string]>([
    ["before 1970", { runAt: new Date(-1) }, "tasks[0].run_at: must be from 1970 to 10 years ahead"],
    ["too far ahead", { runAt: new Date(NOW + 3_650 * DAY + 1) }, "tasks[0].run_at"],
    ["no time at all", { runAt: new Date(Number.NaN) }, 'must be from 1970 to 10 years ahead (got "an invalid time")'],
    ["a negative delay", { delay: { seconds: -1, nanos: 0 } }, "tasks[0].delay: must be 0 ms to"],
    ["a slightly negative delay", { delay: { seconds: 0, nanos: -1 } }, "tasks[0].delay: must be 0 ms to"],
    [
      "run_at and delay",
      { runAt: new Date(NOW), delay: { seconds: 0, nanos: 0 } },
      "tasks[0].delay: must be unset when run_at is given",
    ],
  ])("%s is refused", (_title, task, message) => {
    expect(refusal(task)).toContain(message);
  });
});

describe("input", () => {
  const deep = (depth: number): unknown => (depth === 0 ? 1 : [deep(depth - 1)]);

  test.each<[string, Partial<Task>, string]>([
    [
      "args and payload",
      { args: [], payload: Buffer.from("x") },
      "tasks[0].payload: must be empty when args are given",
    ],
    ["a content type without payload", { contentType: "text/plain" }, "tasks[0].content_type: needs a payload"],
    ["NaN", { args: [1, Number.NaN] }, "tasks[0].args[1]: must be a finite number (got NaN)"],
    [
      "an infinity inside",
      { args: [{ a: [Number.NEGATIVE_INFINITY] }] },
      "tasks[0].args[0].a[0]: must be a finite number",
    ],
    ["a value of no kind", { args: [undefined] }, "tasks[0].args[0]: must be null, a number"],
    ["too deep a list", { args: [deep(LIMITS.argsDepthMax)] }, "must not nest deeper than"],
    ["a long content type", { payload: Buffer.from("x"), contentType: "x".repeat(256) }, "tasks[0].content_type"],
    ["a control character", { payload: Buffer.from("x"), contentType: "a\nb" }, "tasks[0].content_type"],
  ])("%s is refused", (_title, task, message) => {
    expect(refusal(task)).toContain(message);
  });

  test("payload and content type, empty args, and the deepest list are accepted", () => {
    for (const task of [
      { payload: Buffer.from("{}"), contentType: "application/json" },
      { args: [] },
      { args: [deep(LIMITS.argsDepthMax - 1)] },
    ]) {
      expect(refusal(task)).toBe("accepted");
    }
  });

  test("a task of exactly the limit is accepted, and one byte more is not", () => {
    const payload = Buffer.alloc(LIMITS.taskBytesMax - 4);
    expect(read({ payload }).spec.length).toBe(LIMITS.taskBytesMax);
    expect(refusal({ payload: Buffer.alloc(payload.length + 1) })).toBe(
      `TASK_TOO_LARGE tasks[0]: tasks[0]: the task takes ${LIMITS.taskBytesMax + 1} bytes encoded, and at most ${LIMITS.taskBytesMax} are accepted`,
    );
  });
});

describe("the rest", () => {
  const entries = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, "v"]));

  test.each<[string, Partial<Task>, string]>([
    ["no topic", { topic: "" }, "INVALID_ARGUMENT tasks[0].topic: tasks[0].topic: must be 1 to 128"],
    ["an odd id", { id: "a b" }, "tasks[0].id: must be 1 to 128"],
    ["a long external id", { externalId: "x".repeat(256) }, "tasks[0].external_id: must be at most 255 bytes"],
    ["negative retries", { numRetries: -1 }, "tasks[0].num_retries: must be a whole number from 0 to 1000000"],
    ["too many retries", { numRetries: 1_000_001 }, "tasks[0].num_retries"],
    [
      "a timeout of less than a millisecond",
      { timeout: { seconds: 0, nanos: 5 } },
      "tasks[0].timeout: must be 1 ms to",
    ],
    ["a long timeout", { timeout: { seconds: 24 * 86_400 + 1, nanos: 0 } }, "tasks[0].timeout"],
    ["a long retention", { retention: { seconds: 366 * 86_400, nanos: 0 } }, "tasks[0].retention"],
    ["65 entries", { metadata: entries(65) }, "tasks[0].metadata: must hold at most 64 entries"],
    ["an upper-case key", { metadata: { Key: "v" } }, "tasks[0].metadata: keys must be 1 to 128 characters"],
    ["a long value", { metadata: { k: "v".repeat(4_097) } }, "tasks[0].metadata.k: must be at most 4096 bytes"],
  ])("%s is refused", (_title, task, message) => {
    expect(refusal(task)).toContain(message);
  });

  test("64 entries are accepted", () => {
    expect(refusal({ metadata: entries(64) })).toBe("accepted");
  });

  test("a backoff has defaults, and bounds", () => {
    const none = { initial: undefined, factor: 0, max: undefined, jitter: undefined };
    expect(backoffInput("b", none)).toEqual({ initialMs: 1_000, factor: 2, maxMs: 3_600_000, jitter: 0.2 });
    for (const [field, value] of [
      ["factor", 0.9],
      ["factor", 101],
      ["factor", Number.NaN],
      ["jitter", -0.1],
      ["jitter", 1.1],
      ["jitter", Number.NaN],
    ] as const) {
      expect(() => backoffInput("b", { ...none, [field]: value })).toThrow(`b.${field}: must be`);
    }
    expect(() => backoffInput("b", { ...none, initial: { seconds: -1, nanos: 0 } })).toThrow("b.initial: must be");
    expect(() => backoffInput("b", { ...none, max: { seconds: 25 * 86_400, nanos: 0 } })).toThrow("b.max: must be");
  });
});
