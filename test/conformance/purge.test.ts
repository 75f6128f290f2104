import { expect } from "vitest";
import { newTask, newTasks } from "../support/task-factory.js";
import { conformance, type Fixture } from "./suite.js";

const retentionMs = 1000;
const purge = (f: Fixture, state: Parameters<Fixture["store"]["purge"]>[1], limit = 100) =>
  f.store.purge(f.topic, state, limit);

/** One task in each state, named after it. */
async function oneOfEach(f: Fixture): Promise<void> {
  await f.bury(await f.leased("dead"));
  await f.complete(await f.leased("completed", { retentionMs }));
  await f.add("cancelled", { retentionMs });
  await f.cancel("cancelled");
  await f.leased("leased");
  await f.add("scheduled", { dueAtMs: f.now + 1 });
  await f.add("ready");
}

conformance("purge", {
  "only the tasks of one state go": async (f) => {
    await oneOfEach(f);
    const left = new Set(["dead", "completed", "cancelled", "scheduled", "ready"] as const);
    for (const state of left) {
      expect(await purge(f, state)).toEqual({ deleted: 1, more: false });
      expect(await f.get(state)).toBeUndefined();
      left.delete(state);
      for (const other of left) expect(await f.state(other)).toBe(other);
    }
    expect(await f.state("leased")).toBe("leased");
    expect(await f.stats()).toMatchObject({ deleted: 5, leased: 1 });
  },

  "an empty state has nothing to purge, and no topic is created": async (f) => {
    expect(await purge(f, "dead")).toEqual({ deleted: 0, more: false });
    expect((await f.store.topics({ limit: 10 })).rows).toEqual([]);
  },

  "a limit is kept, and `more` says to go on": async (f) => {
    await f.enqueue(newTasks(5));
    expect(await purge(f, "ready", 2)).toEqual({ deleted: 2, more: true });
    expect(await purge(f, "ready", 3)).toEqual({ deleted: 3, more: false });
  },

  "ready tasks go in order of place": async (f) => {
    await f.enqueue([newTask("a"), newTask("b", { priority: -1 }), newTask("c")]);
    await purge(f, "ready", 2);
    expect(await f.ids("ready")).toEqual(["c"]);
  },

  "scheduled tasks go by their moment": async (f) => {
    await f.enqueue([3, 1, 2].map((ms) => newTask(`t${ms}`, { dueAtMs: f.now + ms })));
    await purge(f, "scheduled", 2);
    expect(await f.ids("scheduled")).toEqual(["t3"]);
  },

  "ended tasks go by the moment they ended": async (f) => {
    await f.enqueue(newTasks(3, { retentionMs }));
    for (const lease of [...(await f.lease(3))].reverse()) {
      await f.complete(lease);
      f.advance(1);
    }
    await purge(f, "completed", 2);
    expect(await f.ids("completed")).toEqual(["t0000"]);
  },

  "the ids may be enqueued again at once": async (f) => {
    await oneOfEach(f);
    for (const state of ["dead", "completed", "cancelled", "scheduled", "ready"] as const) {
      await purge(f, state);
      expect((await f.enqueue([newTask(state, { priority: 9 })])).created, state).toEqual([true]);
      await f.remove(state);
    }
  },

  "a call purges 1000 tasks": async (f) => {
    await f.enqueue(newTasks(1000));
    await f.enqueue([newTask("last")]);
    expect(await purge(f, "ready", 1000)).toEqual({ deleted: 1000, more: true });
    expect(await f.ids("ready")).toEqual(["last"]);
  },
});
