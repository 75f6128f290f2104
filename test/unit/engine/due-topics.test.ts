import fc from "fast-check";
import { expect, test } from "vitest";
import type { TopicName } from "../../../server/domain/ids.js";
import { DueTopics } from "../../../server/engine/due-topics.js";
import { SEED } from "../../support/arbitraries.js";
import { topicName } from "../../support/task-factory.js";

const [A, B] = [topicName("a"), topicName("b")];

test("keeps the earliest moment of each topic, and says when it is the earliest of all", () => {
  const due = new DueTopics();
  expect(due.nextMs()).toBeUndefined();
  expect(due.note(A, 100)).toBe(true);
  expect(due.note(A, 100)).toBe(false);
  expect(due.note(A, 200)).toBe(false);
  expect(due.note(B, 150)).toBe(false);
  expect(due.note(B, 50)).toBe(true);
  expect(due.nextMs()).toBe(50);
});

test("gives out what is due, once", () => {
  const due = new DueTopics();
  due.note(A, 100);
  due.note(B, 101);
  expect(due.take(99)).toEqual([]);
  expect(due.take(100)).toEqual([A]);
  expect(due.take(100)).toEqual([]);
  expect(due.nextMs()).toBe(101);
  // A moment that was given out is forgotten: a later one is news.
  expect(due.note(A, 300)).toBe(false);
  expect(due.take(1_000)).toEqual([B, A]);
});

test("behaves like a sorted list", () => {
  const step = fc.record({ topic: fc.constantFrom("a", "b", "c"), atMs: fc.nat(50), take: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const due = new DueTopics();
      const model = new Map<TopicName, number>();
      for (const { topic, atMs, take } of steps) {
        if (take) {
          const expected = [...model].filter(([, at]) => at <= atMs).map(([name]) => name);
          expect(due.take(atMs).toSorted()).toEqual(expected.toSorted());
          for (const name of expected) model.delete(name);
        } else {
          const name = topicName(topic);
          due.note(name, atMs);
          model.set(name, Math.min(atMs, model.get(name) ?? Number.POSITIVE_INFINITY));
        }
        expect(due.nextMs()).toBe(model.size === 0 ? undefined : Math.min(...model.values()));
      }
    }),
    { seed: SEED },
  );
});
