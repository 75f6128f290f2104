/** The figures of the table, on hand-made histories. */
import { expect, test } from "vitest";
import { costOf, percentile } from "./recovery.js";
import { Story } from "./story.js";

test("recovery lasts from the fault until a new task has run and an interrupted one runs again", () => {
  const story = new Story().enqueue("a").start("a", "1").fault("worker-kill").kill();
  story.enqueue("b").run("b", "2", "returned", "worker-2#1").wait(500);
  story.start("a", "3", { by: "worker-2#1", attempt: 2, failures: 0 }).end("3").settle("3");
  const cost = costOf(story.finish({ a: { lostLeases: 1 }, b: {} }).history);
  expect(cost).toMatchObject({ tasks: 2, lost: 0, doubled: 0, redelivered: 1 });
  expect(cost.recoveryMs).toHaveLength(1);
  expect(cost.recoveryMs[0]).toBeGreaterThan(500);
  expect(cost.recoveryMs[0]).toBeLessThan(520);
});

test("recovery lasts for as long as an enqueue made during the fault waited", () => {
  const story = new Story();
  const sinceUs = 1_000;
  story.tell("fate", {
    kind: "fault:injected",
    fault: "broker-restart",
    number: 1,
    targets: ["broker-1"],
    sinceUs,
    forgetsMs: 0,
  });
  // One slips through before the broker refuses, another one waits until it is back.
  story.enqueue("a").run("a", "1");
  const call = story.invoke(["b"]);
  story.wait(700).tell("fate", { kind: "fault:lifted", fault: "broker-restart", number: 1 });
  story.acknowledge(call).run("b", "2").enqueue("c").run("c", "3");
  const { recoveryMs } = costOf(story.finish({ a: {}, b: {}, c: {} }).history);
  expect(recoveryMs).toHaveLength(1);
  expect(recoveryMs[0]).toBeGreaterThan(700);
  expect(recoveryMs[0]).toBeLessThan(720);
});

test("retries are no redeliveries", () => {
  const story = new Story().enqueue("a", { retries: 1 }).run("a", "1", "failed");
  story.start("a", "2", { attempt: 2 }).end("2").settle("2");
  expect(costOf(story.finish({ a: { failures: 1 } }).history).redelivered).toBe(0);
});

test("what the store forgot is counted as lost, excused or not", () => {
  const story = new Story().enqueue("a").fault("redis-forget", 1_000).finish({}, { deleted: 1 });
  expect(costOf(story.history)).toMatchObject({ faults: 1, tasks: 1, lost: 1, excused: 1 });
});

test("what is lost without an excuse is not excused", () => {
  const story = new Story().enqueue("a").fault("redis-restart").finish({}, { deleted: 1 });
  expect(costOf(story.history)).toMatchObject({ faults: 1, tasks: 1, lost: 1, excused: 0 });
});

test("percentiles are of the values there are", () => {
  expect(percentile([5, 1, 3], 0.5)).toBe(3);
  expect(percentile([5, 1, 3], 1)).toBe(5);
  expect(percentile([5, 1], 0.5)).toBe(1);
  expect(percentile([], 0.5)).toBeNaN();
});
