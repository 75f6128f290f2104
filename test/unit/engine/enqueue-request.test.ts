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
  return { parts: request.parts, told };
}

test("each topic gets its tasks in their order, and the producer one answer in the order of the request", () => {
  const { parts, told } = rig(["a", "b", "b", "a", "c"]);
  expect(parts.map(({ topic, tasks }) => [topic, tasks.map(({ id }) => id)])).toEqual([
    ["a", ["t0", "t3"]],
    ["b", ["t1", "t2"]],
    ["c", ["t4"]],
  ]);
  const [a, b, c] = parts;
  c?.stored([true]);
  a?.stored([true, false]);
  expect(told).toEqual([]);
  b?.stored([false, true]);
  expect(told).toEqual([[true, false, true, false, true]]);
});

test("a refusal is told when the other topics' tasks are told as well; of several, the first", () => {
  const { parts, told } = rig(["a", "b", "c"]);
  const [a, b, c] = parts;
  b?.refused("b is full");
  a?.refused("a is full");
  expect(told).toEqual([]);
  c?.stored([true]);
  expect(told).toEqual(["b is full"]);
});
