import { expect, test } from "vitest";
import { EnqueueRequest } from "../../../server/engine/enqueue-request.js";
import { newTask, topicName } from "../../support/task-factory.js";

/** A request of one task for each of `topics`, and what its producer is told. */
function rig(topics: readonly string[]) {
  const told: unknown[] = [];
  const tasks = topics.map((topic, index) => ({ ...newTask(`t${index}`), topic: topicName(topic) }));
  const request = new EnqueueRequest(
    tasks,
    (created) => told.push(created),
    (error) => told.push(error),
  );
  return { request, told };
}

test("each topic gets its tasks in their order, and the producer one answer in the order of the request", () => {
  const { request, told } = rig(["a", "b", "b", "a", "c"]);
  const a = request.part(0);
  a.add(3);
  const b = request.part(1);
  b.add(2);
  expect([a, b].map(({ topic, tasks }) => [topic, tasks.map(({ id }) => id)])).toEqual([
    ["a", ["t0", "t3"]],
    ["b", ["t1", "t2"]],
  ]);
  request.stored(4, true);
  a.stored([true, false]);
  expect(told).toEqual([]);
  b.stored([false, true]);
  expect(told).toEqual([[true, false, true, false, true]]);
});

test("a refusal is told when the other topics' tasks are told as well; of several, the first", () => {
  const { request, told } = rig(["a", "b", "c"]);
  request.part(1).refused("b is full");
  request.refused(1, "a is full");
  expect(told).toEqual([]);
  request.stored(2, true);
  expect(told).toEqual(["b is full"]);
});
