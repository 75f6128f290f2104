import { Status } from "nice-grpc-common";
import { expect, test } from "vitest";
import { CODES, invalid, TaskqueueError } from "../../../server/domain/errors.js";

test("every code has a gRPC status that exists, and a meaning in a sentence", () => {
  for (const [code, { grpc, meaning }] of Object.entries(CODES)) {
    expect(Object.keys(Status), code).toContain(grpc);
    expect(meaning, code).toMatch(/^[A-Z].*\.$/);
  }
});

test("what may be repeated is unavailable or exhausted, and nothing else is", () => {
  for (const { grpc, retry } of Object.values(CODES)) {
    expect(retry !== "never").toBe(grpc === "UNAVAILABLE" || grpc === "RESOURCE_EXHAUSTED");
  }
});

test("a refusal names the field, the rule and the value, cut short", () => {
  const error = invalid("tasks[3].priority", "x".repeat(1_000), "must be a number");
  expect(error).toBeInstanceOf(TaskqueueError);
  expect(error).toMatchObject({ code: "INVALID_ARGUMENT", field: "tasks[3].priority", name: "TaskqueueError" });
  expect(error.message).toMatch(/^tasks\[3\]\.priority: must be a number \(got "x+\.\.\.\)$/);
  expect(error.message.length).toBeLessThan(150);
  expect(invalid("f", Number.NaN, "r").message).toBe("f: r (got NaN)");
  expect(invalid("f", undefined, "r").message).toBe("f: r (got undefined)");
});

test("an error keeps its cause", () => {
  const cause = new Error("below");
  expect(new TaskqueueError("INTERNAL", "above", { cause }).cause).toBe(cause);
  expect("cause" in new TaskqueueError("INTERNAL", "above")).toBe(false);
});
