import { expect } from "vitest";
import { newTask, newTasks } from "../support/task-factory.js";
import { conformance, idsOf } from "./suite.js";

const retentionMs = 1000;

conformance("cancel", {
  "a waiting task with a retention is cancelled and kept": async (f) => {
    await f.add("ready", { retentionMs, externalId: "e" });
    await f.add("scheduled", { retentionMs, dueAtMs: f.now + 1 });
    expect(await f.cancel("ready", "scheduled")).toEqual([
      { kind: "done", externalId: "e" },
      { kind: "done", externalId: "" },
    ]);
    for (const id of ["ready", "scheduled"]) {
      const record = await f.get(id);
      expect(record).toMatchObject({ state: "cancelled", endedAtMs: f.now, failures: 0 });
      expect(record).not.toHaveProperty("dueAtMs");
    }
    const stats = { cancelled: 2, cancelledKept: 2, aborted: 0, ready: 0, scheduled: 0 };
    expect(await f.stats()).toMatchObject(stats);
    expect(await f.lease(9)).toEqual([]);
  },

  "a waiting task without a retention disappears": async (f) => {
    await f.add("ready");
    await f.add("scheduled", { dueAtMs: f.now + 1 });
    await f.cancel("ready", "scheduled");
    expect(await f.get("ready")).toBeUndefined();
    expect(await f.stats()).toMatchObject({
      cancelled: 2,
      cancelledKept: 0,
      scheduled: 0,
      ready: 0,
      bytes: 0,
      deleted: 0,
    });
    f.advance(1);
    expect(await f.store.promote(f.topic, { now: f.now, limit: 9 })).toEqual({ promoted: 0 });
  },

  "a leased task is marked, and its holder told": async (f) => {
    const { session, token } = await f.leased("a");
    expect(await f.cancel("a")).toEqual([{ kind: "cancel_requested", session, token }]);
    expect(await f.get("a")).toMatchObject({ state: "leased", cancelRequested: true, lease: { session, token } });
    expect(await f.stats()).toMatchObject({ cancelled: 0, aborted: 0, leased: 1 });
  },

  "marking twice is the same as once": async (f) => {
    const { session, token } = await f.leased("a");
    const asked = { kind: "cancel_requested", session, token };
    expect(await f.cancel("a", "a")).toEqual([asked, asked]);
    expect(await f.unchanged(() => f.cancel("a"))).toEqual([asked]);
  },

  "a mark ends with its lease: whichever way, the task is over": async (f) => {
    const lease = await f.leased("a", { retentionMs });
    await f.cancel("a");
    await f.retry(lease, 0);
    await f.requeue("a");
    const again = await f.leaseOne();
    expect(await f.get("a")).not.toHaveProperty("cancelRequested");
    expect(await f.release(again)).toEqual(["released"]);
  },

  "an ended task is refused, and its state told": async (f) => {
    await f.bury(await f.leased("dead"));
    await f.complete(await f.leased("completed", { retentionMs }));
    await f.add("cancelled", { retentionMs });
    await f.cancel("cancelled");
    expect(await f.unchanged(() => f.cancel("dead", "completed", "cancelled", "unknown"))).toEqual([
      { kind: "wrong_state", state: "dead" },
      { kind: "wrong_state", state: "completed" },
      { kind: "wrong_state", state: "cancelled" },
      { kind: "not_found" },
    ]);
  },

  "an id that occurs twice is cancelled once": async (f) => {
    await f.add("kept", { retentionMs });
    await f.add("gone");
    expect((await f.cancel("kept", "kept", "gone", "gone")).map((outcome) => outcome.kind)).toEqual([
      "done",
      "wrong_state",
      "done",
      "not_found",
    ]);
    expect(await f.stats()).toMatchObject({ cancelled: 2, cancelledKept: 1, ready: 0 });
  },

  "the error and the failures of a retried task stay with it": async (f) => {
    await f.retry(await f.leased("a", { retentionMs }), 1000, "the error");
    await f.cancel("a");
    expect(await f.get("a")).toMatchObject({ state: "cancelled", failures: 1, error: "the error" });
  },

  "the id is remembered for the window": async (f) => {
    await f.add("a");
    await f.cancel("a");
    f.advance(f.endedWindowMs - 1);
    expect((await f.enqueue([newTask("a")])).created).toEqual([false]);
  },

  "a call cancels 1000 tasks": async (f) => {
    await f.enqueue(newTasks(1000, { retentionMs }));
    await f.lease(300);
    const outcomes = await f.cancel(...idsOf(newTasks(1000)));
    expect(outcomes.filter(({ kind }) => kind === "cancel_requested").length).toBe(300);
    expect(outcomes.filter(({ kind }) => kind === "done").length).toBe(700);
    expect(await f.stats()).toMatchObject({ cancelled: 700, leased: 300, cancelledKept: 700 });
  },

  "an unknown topic is not created": async (f) => {
    expect(await f.cancel("a")).toEqual([{ kind: "not_found" }]);
    expect((await f.store.topics({ limit: 10 })).rows).toEqual([]);
  },
});
