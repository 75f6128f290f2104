import { expect, test } from "vitest";
import { Merger, type PendingCall } from "../../../../server/store/redis/merger.js";
import { topicName } from "../../../support/task-factory.js";

const ENQUEUE = { name: "enqueue", source: "", sha: "" };
const COMPLETE = { name: "complete", source: "", sha: "" };

/** A merger, what it sent together and alone, and how to give it calls by the name of their topic. */
function rig() {
  const sent: string[][] = [];
  const merger = new Merger({
    together: (calls) => sent.push(calls.map(({ script, topic }) => `${script.name} ${topic}`)),
    alone: ({ script, topic }) => sent.push([`${script.name} ${topic} alone`]),
  });
  const add = (script: PendingCall["script"], topic: string, { tasks = 1, bytes = 1 } = {}) =>
    merger.add({
      script,
      topic: topicName(topic),
      tasks,
      args: [Buffer.alloc(bytes)],
      answer: () => {},
      reject: () => {},
    });
  return { merger, sent, add };
}

const turn = () => new Promise(setImmediate);

test("what is called in one turn travels together, by script", async () => {
  const { merger, sent, add } = rig();
  add(ENQUEUE, "a");
  add(COMPLETE, "b");
  add(ENQUEUE, "c");
  expect(sent).toEqual([]);
  expect(merger.busy).toBe(true);
  await turn();
  expect(sent).toEqual([["enqueue a", "enqueue c"], ["complete b"]]);
  expect(merger.busy).toBe(false);
  add(ENQUEUE, "a");
  await turn();
  expect(sent.at(-1)).toEqual(["enqueue a"]);
});

test("calls of one topic are sent in the order in which they were made, whatever their scripts and sizes", async () => {
  const { sent, add } = rig();
  add(COMPLETE, "b");
  add(ENQUEUE, "a");
  // Were it to join the first group, it would overtake the enqueue.
  add(COMPLETE, "a");
  add(ENQUEUE, "a", { tasks: 1_000 });
  await turn();
  expect(sent).toEqual([["complete b"], ["enqueue a"], ["complete a"], ["enqueue a alone"]]);
});

test("a call of many tasks or bytes goes at once, by itself", () => {
  const { sent, add } = rig();
  add(ENQUEUE, "a");
  add(ENQUEUE, "b", { tasks: 33 });
  add(ENQUEUE, "c", { bytes: 300_000 });
  expect(sent).toEqual([["enqueue b alone"], ["enqueue c alone"]]);
});

test("a single call takes few arguments too, unless it is of many bytes", async () => {
  const { sent, add } = rig();
  add(ENQUEUE, "a", { bytes: 8_192 });
  await turn();
  add(ENQUEUE, "b", { bytes: 8_193 });
  await turn();
  expect(sent).toEqual([["enqueue a"], ["enqueue b alone"]]);
});

test.each([
  { bound: "calls", each: {}, calls: 64 },
  { bound: "tasks", each: { tasks: 32 }, calls: 16 },
  { bound: "bytes", each: { bytes: 64 * 1024 }, calls: 4 },
])("no more $bound travel together than are bearable", async ({ each, calls }) => {
  const { sent, add } = rig();
  for (let index = 0; index < 3 * calls - 1; index++) add(ENQUEUE, `t${index}`, each);
  await turn();
  expect(sent.map((group) => group.length)).toEqual([calls, calls, calls - 1]);
});
