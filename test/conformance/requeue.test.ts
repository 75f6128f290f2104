import { expect } from "vitest";
import { newTask, newTasks, taskId } from "../support/task-factory.js";
import { conformance, type Fixture, idsOf, refOf } from "./suite.js";

const retentionMs = 1000;

/** Enqueues tasks and buries them, in their order of place. */
async function dead(f: Fixture, ...tasks: Parameters<typeof newTask>[]): Promise<void> {
  await f.enqueue(tasks.map((task) => newTask(...task)));
  for (const lease of await f.lease(tasks.length)) await f.bury(lease);
}

conformance("requeue", {
  "a dead task is ready again at its old place, with nothing charged": async (f) => {
    await dead(f, ["a", { externalId: "e" }]);
    await f.add("b");
    expect(await f.requeue("a")).toMatchObject({ ids: ["a"], outcomes: [{ kind: "done", externalId: "e" }] });
    const record = await f.get("a");
    expect(record).toMatchObject({ state: "ready", failures: 0, lostLeases: 0, error: "it broke" });
    expect(record).not.toHaveProperty("endedAtMs");
    expect(record).not.toHaveProperty("deadReason");
    expect(await f.stats()).toMatchObject({ requeued: 1, dead: 0, ready: 2, failed: 1 });
    expect(idsOf(await f.lease(2))).toEqual(["a", "b"]);
  },

  "lost leases are forgiven too": async (f) => {
    await f.leased("a");
    await f.expire(f.worker.id, { lostLeasesMax: 1 });
    await f.requeue("a");
    const again = await f.open("worker-2");
    expect(await f.leaseOne(again)).toMatchObject({ id: "a", failures: 0, lostLeases: 0 });
  },

  "a cancelled task that is kept can be requeued": async (f) => {
    await f.add("a", { retentionMs });
    await f.add("b");
    await f.cancel("a");
    expect((await f.requeue("a")).outcomes).toEqual([{ kind: "done", externalId: "" }]);
    expect(await f.stats()).toMatchObject({ requeued: 1, cancelledKept: 0, cancelled: 1 });
    expect(idsOf(await f.lease(2))).toEqual(["a", "b"]);
  },

  "any other state is refused, and told": async (f) => {
    await f.complete(await f.leased("completed", { retentionMs }));
    await f.leased("leased");
    await f.add("scheduled", { dueAtMs: f.now + 1 });
    await f.add("ready");
    const answer = await f.unchanged(() => f.requeue("completed", "leased", "scheduled", "ready", "unknown"));
    expect(answer.outcomes).toEqual([
      { kind: "wrong_state", state: "completed" },
      { kind: "wrong_state", state: "leased" },
      { kind: "wrong_state", state: "scheduled" },
      { kind: "wrong_state", state: "ready" },
      { kind: "not_found" },
    ]);
  },

  "an id that occurs twice is requeued once": async (f) => {
    await dead(f, ["a"]);
    const { ids, outcomes } = await f.requeue("a", "a");
    expect(ids).toEqual(["a", "a"]);
    expect(outcomes).toEqual([
      { kind: "done", externalId: "" },
      { kind: "wrong_state", state: "ready" },
    ]);
    expect(await f.stats()).toMatchObject({ requeued: 1, ready: 1, dead: 0 });
  },

  "without ids it takes the front of the dead queue: the first that died": async (f) => {
    await f.enqueue([newTask("a"), newTask("b"), newTask("c"), newTask("d", { externalId: "e" })]);
    for (const lease of [...(await f.lease(4))].reverse()) {
      await f.bury(lease);
      f.advance(1);
    }
    const requeue = (oldestDead: number) => f.store.requeue(f.topic, { oldestDead }, { now: f.now });
    expect(await requeue(2)).toEqual({
      ids: ["d", "c"],
      outcomes: [
        { kind: "done", externalId: "e" },
        { kind: "done", externalId: "" },
      ],
      more: true,
    });
    expect(await requeue(2)).toMatchObject({ ids: ["b", "a"], more: false });
    expect(await requeue(2)).toEqual({ ids: [], outcomes: [], more: false });
    expect(idsOf(await f.lease(9))).toEqual(["a", "b", "c", "d"]);
  },

  "without ids cancelled tasks are left alone": async (f) => {
    await f.add("a", { retentionMs });
    await f.cancel("a");
    expect(await f.store.requeue(f.topic, { oldestDead: 10 }, { now: f.now })).toMatchObject({ ids: [], more: false });
    expect(await f.state("a")).toBe("cancelled");
  },

  "a requeued task can fail, die and be requeued again": async (f) => {
    await f.add("a");
    for (let round = 1; round <= 3; round += 1) {
      const lease = await f.leaseOne();
      expect(lease).toMatchObject({ failures: 0, lostLeases: 0 });
      await f.bury(lease, `round ${round}`);
      expect(await f.get("a")).toMatchObject({ state: "dead", failures: 1, error: `round ${round}` });
      await f.requeue("a");
    }
  },

  "a requeued task that is gone again is remembered from its new end": async (f) => {
    await f.add("a", { retentionMs: 0 });
    await f.add("b", { retentionMs });
    await f.cancel("b");
    await f.requeue("b");
    await f.complete(...(await f.lease(2)));
    f.advance(f.endedWindowMs - 1);
    expect((await f.enqueue([newTask("a"), newTask("b")])).created).toEqual([false, false]);
  },

  "a call requeues 1000, by id or from the front": async (f) => {
    const next = { kind: "bury", reason: "do_not_retry" } as const;
    for (const which of [{ ids: idsOf(newTasks(1000)) }, { oldestDead: 1000 }]) {
      await f.enqueue(newTasks(1000));
      const failures = (await f.lease(1000)).map((lease) => ({ ...refOf(lease), error: "", next }));
      await f.store.fail(f.topic, failures, f.ending);
      const answer = await f.store.requeue(f.topic, which, { now: f.now });
      expect(answer.ids).toEqual(idsOf(newTasks(1000)));
      expect(answer.more).toBe(false);
      expect(await f.ids("ready")).toEqual(idsOf(newTasks(1000)));
    }
  },

  "an unknown topic is not created": async (f) => {
    const answer = await f.store.requeue(f.topic, { ids: [taskId("a")] }, { now: f.now });
    expect(answer.outcomes).toEqual([{ kind: "not_found" }]);
    expect((await f.store.topics({ limit: 10 })).rows).toEqual([]);
  },
});
