import { expect } from "vitest";
import { newTasks, topicName } from "../support/task-factory.js";
import { conformance, type Fixture } from "./suite.js";

const prune = (f: Fixture, limit = 100) => f.store.prune(f.topic, { ...f.ending, limit });

async function completed(f: Fixture, id: string, retentionMs: number): Promise<void> {
  await f.complete(await f.leased(id, { retentionMs }));
}

conformance("prune", {
  "a kept task goes when its retention is over, not before": async (f) => {
    await completed(f, "a", 1000);
    f.advance(999);
    expect(await f.unchanged(() => prune(f))).toEqual({ pruned: 0, nextMs: f.now + 1 });
    f.advance(1);
    expect(await prune(f)).toEqual({ pruned: 1 });
    expect(await f.get("a")).toBeUndefined();
    expect(await f.stats()).toMatchObject({ completed: 1, completedKept: 0, bytes: 0, deleted: 0 });
  },

  "until somebody prunes it, it is there": async (f) => {
    await completed(f, "a", 1000);
    f.advance(1_000_000);
    expect(await f.state("a")).toBe("completed");
    expect((await f.store.list(f.topic, { state: "completed", limit: 10 })).rows.length).toBe(1);
  },

  "cancelled tasks go likewise": async (f) => {
    await f.add("waiting", { retentionMs: 1000 });
    await f.cancel("waiting");
    const lease = await f.leased("running", { retentionMs: 2000 });
    await f.cancel("running");
    await f.release(lease);
    f.advance(1000);
    expect(await prune(f)).toEqual({ pruned: 1, nextMs: f.now + 1000 });
    expect(await f.ids("cancelled")).toEqual(["running"]);
    f.advance(1000);
    expect(await prune(f)).toEqual({ pruned: 1 });
    expect(await f.stats()).toMatchObject({ cancelledKept: 0, cancelled: 1, aborted: 1 });
  },

  "the next retention to end is told, whatever ended last": async (f) => {
    const begun = f.now;
    await completed(f, "long", 10_000);
    f.advance(100);
    await completed(f, "short", 500);
    await f.add("middle", { retentionMs: 2000 });
    await f.cancel("middle");
    expect(await prune(f)).toEqual({ pruned: 0, nextMs: begun + 600 });
    f.advance(500);
    expect(await prune(f)).toEqual({ pruned: 1, nextMs: begun + 2100 });
    f.advance(1500);
    expect(await prune(f)).toEqual({ pruned: 1, nextMs: begun + 10_000 });
  },

  "a limit is kept, and the next may be over already": async (f) => {
    await f.enqueue(newTasks(5, { retentionMs: 1000 }));
    await f.complete(...(await f.lease(5)));
    f.advance(5000);
    expect(await prune(f, 3)).toEqual({ pruned: 3, nextMs: f.now - 4000 });
    expect(await prune(f, 3)).toEqual({ pruned: 2 });
    expect(await prune(f, 3)).toEqual({ pruned: 0 });
  },

  "nothing but completed and cancelled tasks is touched": async (f) => {
    await f.bury(await f.leased("dead", { retentionMs: 1 }));
    await f.leased("leased", { retentionMs: 1 });
    await f.add("ready", { retentionMs: 1 });
    await f.add("scheduled", { retentionMs: 1, dueAtMs: f.now + 5 });
    f.advance(1_000_000_000);
    expect(await f.unchanged(() => prune(f))).toEqual({ pruned: 0 });
  },

  "a task that was requeued or removed is not pruned": async (f) => {
    await completed(f, "removed", 1000);
    await f.remove("removed");
    await f.add("requeued", { retentionMs: 1000 });
    await f.cancel("requeued");
    await f.requeue("requeued");
    f.advance(5000);
    expect(await f.unchanged(() => prune(f))).toEqual({ pruned: 0 });
  },

  "a task that ended twice is kept for its retention from the second end": async (f) => {
    await f.add("a", { retentionMs: 1000 });
    await f.cancel("a");
    f.advance(600);
    await f.requeue("a");
    await f.complete(await f.leaseOne());
    f.advance(600);
    expect(await prune(f)).toEqual({ pruned: 0, nextMs: f.now + 400 });
    expect(await f.state("a")).toBe("completed");
  },

  "ids whose window is over do not count as pruned": async (f) => {
    await completed(f, "a", 0);
    f.advance(3 * f.endedWindowMs);
    expect(await prune(f)).toEqual({ pruned: 0 });
  },

  "an unknown topic has nothing to prune, and is not created": async (f) => {
    const options = { ...f.ending, limit: 10 };
    expect(await f.store.prune(topicName("unknown"), options)).toEqual({ pruned: 0 });
    expect((await f.store.topics({ limit: 10 })).rows).toEqual([]);
  },

  "a year of retention is exact": async (f) => {
    const retentionMs = 365 * 86_400_000;
    await completed(f, "a", retentionMs);
    f.advance(retentionMs - 1);
    expect(await prune(f)).toEqual({ pruned: 0, nextMs: f.now + 1 });
    f.advance(1);
    expect(await prune(f)).toEqual({ pruned: 1 });
  },
});
