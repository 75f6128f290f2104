import { expect, test } from "vitest";
import { CallsUnderWay } from "../../../server/engine/calls-under-way.js";
import { settle } from "../../support/clock.js";

test("those who wait are told when what was under way then has ended, whatever began since", async () => {
  const calls = new CallsUnderWay();
  const [first, second, later] = [{}, {}, {}];
  calls.begin(first);
  calls.begin(second);
  const told: string[] = [];
  void calls.ended().then(() => told.push("both"));
  calls.end(first);
  void calls.ended().then(() => told.push("the second"));
  calls.begin(later);
  await settle();
  expect(told).toEqual([]);
  calls.end(second);
  await settle();
  expect(told).toEqual(["both", "the second"]);
});

test("nobody waits for what has ended, or never began", async () => {
  const calls = new CallsUnderWay();
  await calls.ended();
  const call = {};
  calls.begin(call);
  calls.end(call);
  calls.end({});
  await calls.ended();
});
