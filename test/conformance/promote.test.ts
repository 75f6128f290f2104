import { expect } from "vitest";
import { newTask, newTasks, topicName } from "../support/task-factory.js";
import { conformance, type Fixture, idsOf } from "./suite.js";

const promote = (f: Fixture, limit = 100) => f.store.promote(f.topic, { now: f.now, limit });

conformance("promote", {
  "tasks that are due become ready; the others wait": async (f) => {
    const due = [0, 1, 2].map((ms) => newTask(`t${ms}`, { dueAtMs: f.now + 1 + ms }));
    await f.enqueue(due);
    expect(await f.unchanged(() => promote(f))).toEqual({ promoted: 0, nextDueMs: f.now + 1 });
    f.advance(2);
    expect(await promote(f)).toEqual({ promoted: 2, nextDueMs: f.now + 1 });
    expect(await f.ids("ready")).toEqual(["t0", "t1"]);
    expect(await f.get("t0")).not.toHaveProperty("dueAtMs");
    f.advance(1);
    expect(await promote(f)).toEqual({ promoted: 1 });
    expect(await f.stats()).toMatchObject({ scheduled: 0, ready: 3 });
  },

  "a topic without scheduled tasks answers nothing, and is not created": async (f) => {
    const topic = topicName("unknown");
    expect(await f.store.promote(topic, { now: f.now, limit: 10 })).toEqual({ promoted: 0 });
    expect((await f.store.topics({ limit: 10 })).rows).toEqual([]);
  },

  "a limit is kept, the earliest come first, and the next may be due already": async (f) => {
    const moments = [5, 3, 1, 4, 2];
    await f.enqueue(moments.map((ms) => newTask(`t${ms}`, { dueAtMs: f.now + ms })));
    f.advance(10);
    expect(await promote(f, 2)).toEqual({ promoted: 2, nextDueMs: f.now - 7 });
    expect(await f.ids("scheduled")).toEqual(["t3", "t4", "t5"]);
    expect(await promote(f, 3)).toEqual({ promoted: 3 });
  },

  "of equal moments the first in place comes first": async (f) => {
    const priorities = [1, 0, -1, 0, -1];
    const dueAtMs = f.now + 1;
    await f.enqueue(priorities.map((priority, index) => newTask(`t${index}`, { priority, dueAtMs })));
    f.advance(1);
    await promote(f, 3);
    expect(await f.ids("ready")).toEqual(["t2", "t4", "t1"]);
    expect(await f.ids("scheduled")).toEqual(["t3", "t0"]);
  },

  "a promoted task takes the place of its enqueue, not of its moment": async (f) => {
    await f.enqueue([newTask("late", { dueAtMs: f.now + 9 }), newTask("soon", { dueAtMs: f.now + 1 })]);
    await f.enqueue([newTask("ready"), newTask("urgent", { priority: -1, dueAtMs: f.now + 5 })]);
    f.advance(10);
    await promote(f);
    expect(idsOf(await f.lease(9))).toEqual(["urgent", "late", "soon", "ready"]);
  },

  "a retried task goes back to the place of its enqueue": async (f) => {
    const lease = await f.leased("a");
    await f.add("b");
    await f.retry(lease, 1000);
    f.advance(1000);
    await promote(f);
    expect(idsOf(await f.lease(9))).toEqual(["a", "b"]);
  },

  "a moment ten years ahead is exact": async (f) => {
    const dueAtMs = f.now + 3650 * 86_400_000 + 1;
    await f.add("a", { dueAtMs });
    expect(await promote(f)).toEqual({ promoted: 0, nextDueMs: dueAtMs });
    f.now = dueAtMs - 1;
    expect(await promote(f)).toMatchObject({ promoted: 0 });
    f.now = dueAtMs;
    expect(await promote(f)).toEqual({ promoted: 1 });
  },

  "a call promotes 1000": async (f) => {
    await f.enqueue(newTasks(1000, { dueAtMs: f.now + 1 }));
    f.advance(1);
    expect(await promote(f, 1000)).toEqual({ promoted: 1000 });
    expect(await f.ids("ready")).toEqual(idsOf(newTasks(1000)));
  },

  "tasks of a paused topic become ready all the same": async (f) => {
    await f.add("a", { dueAtMs: f.now + 1 });
    await f.store.configure(f.topic, { paused: true });
    f.advance(1);
    expect(await promote(f)).toEqual({ promoted: 1 });
    expect(await f.state("a")).toBe("ready");
  },
});
