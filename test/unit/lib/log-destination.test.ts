import { expect, test } from "vitest";
import { prettyLine } from "../../../server/lib/log-destination.js";

test("a line for people has the time, the level, the message and the fields", () => {
  const line = JSON.stringify({
    level: 30,
    time: 1_700_000_000_123,
    broker: "b1",
    note: "two words",
    msg: "it serves",
  });
  expect(prettyLine(line)).toMatch(/^\d\d:\d\d:20\.123 info {2}it serves {2}broker=b1 {2}note="two words"\n$/);
});

test("an error is shown with its stack", () => {
  const line = JSON.stringify({
    level: 50,
    time: 0,
    msg: "no",
    err: { message: "boom", stack: "Error: boom\n  at x" },
  });
  expect(prettyLine(line)).toMatch(/ERROR no\n {4}Error: boom\n {6}at x\n$/);
});

test("what is no JSON stays as it is", () => {
  expect(prettyLine("plain\n")).toBe("plain\n");
});
