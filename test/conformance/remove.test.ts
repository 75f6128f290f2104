import { expect } from "vitest";
import { newTask, newTasks } from "../support/task-factory.js";
import { conformance, idsOf } from "./suite.js";

const retentionMs = 1000;

conformance("remove", {
  "a task in any state but leased goes for good": async (f) => {
    await f.bury(await f.leased("dead", { externalId: "e" }));
    await f.complete(await f.leased("completed", { retentionMs }));
    await f.add("cancelled", { retentionMs });
    await f.cancel("cancelled");
    await f.add("scheduled", { dueAtMs: f.now + 1 });
    await f.add("ready");
    const ids = ["dead", "completed", "cancelled", "scheduled", "ready"];
    expect(await f.remove(...ids)).toEqual(ids.map((id) => ({ kind: "done", externalId: id === "dead" ? "e" : "" })));
    for (const id of ids) expect(await f.get(id)).toBeUndefined();
    const zero = { dead: 0, completedKept: 0, cancelledKept: 0, scheduled: 0, ready: 0, bytes: 0 };
    expect(await f.stats()).toMatchObject({ deleted: 5, ...zero, enqueued: 5, completed: 1, cancelled: 1, failed: 1 });
  },

  "a leased task is refused and stays with its holder": async (f) => {
    const lease = await f.leased("a");
    expect(await f.unchanged(() => f.remove("a"))).toEqual([{ kind: "wrong_state", state: "leased" }]);
    expect(await f.complete(lease)).toEqual(["completed"]);
  },

  "what is not there is not found, and twice is once": async (f) => {
    await f.enqueue(newTasks(2));
    const kinds = (await f.remove("unknown", "t0000", "t0000")).map((outcome) => outcome.kind);
    expect(kinds).toEqual(["not_found", "done", "not_found"]);
    expect(await f.stats()).toMatchObject({ deleted: 1, ready: 1 });
  },

  "the ids may be enqueued again at once, and start anew": async (f) => {
    await f.retry(await f.leased("failed"), 1000);
    await f.complete(await f.leased("completed", { retentionMs }));
    await f.add("cancelled", { retentionMs });
    await f.cancel("cancelled");
    await f.enqueue([newTask("other")]);
    const ids = ["failed", "completed", "cancelled"];
    await f.remove(...ids);
    expect((await f.enqueue(ids.map((id) => newTask(id)))).created).toEqual([true, true, true]);
    expect(await f.get("failed")).toMatchObject({ state: "ready", failures: 0, error: "" });
    expect(await f.ids("ready")).toEqual(["other", ...ids]);
  },

  "an id that is only remembered is not found, and stays remembered": async (f) => {
    await f.complete(await f.leased("a"));
    expect(await f.remove("a")).toEqual([{ kind: "not_found" }]);
    expect((await f.enqueue([newTask("a")])).created).toEqual([false]);
  },

  "a scheduled task that was removed never becomes ready": async (f) => {
    await f.enqueue([newTask("a", { dueAtMs: f.now + 1 }), newTask("b", { dueAtMs: f.now + 2 })]);
    await f.remove("a");
    expect(await f.stats()).toMatchObject({ nextDueMs: f.now + 2 });
    f.advance(5);
    expect(await f.store.promote(f.topic, { now: f.now, limit: 9 })).toEqual({ promoted: 1 });
    expect(idsOf(await f.lease(9))).toEqual(["b"]);
  },

  "the head of the input queue moves on": async (f) => {
    await f.enqueue([newTask("a", { enqueuedAtMs: 1000 }), newTask("b", { enqueuedAtMs: 2000 })]);
    expect(await f.stats()).toMatchObject({ oldestReadyMs: 1000 });
    await f.remove("a");
    expect(await f.stats()).toMatchObject({ oldestReadyMs: 2000 });
  },

  "a call removes 1000 tasks": async (f) => {
    await f.enqueue(newTasks(1000));
    const outcomes = await f.remove(...idsOf(newTasks(1000)));
    expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(["done"]));
    expect(await f.stats()).toMatchObject({ deleted: 1000, ready: 0, bytes: 0 });
  },

  "an unknown topic is not created": async (f) => {
    expect(await f.remove("a")).toEqual([{ kind: "not_found" }]);
    expect((await f.store.topics({ limit: 10 })).rows).toEqual([]);
  },
});
