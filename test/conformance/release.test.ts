import { expect } from "vitest";
import { FOREIGN_TOKEN, newTask, newTasks, sessionId, taskId } from "../support/task-factory.js";
import { conformance, idsOf, refOf } from "./suite.js";

conformance("release", {
  "a released task is ready at its old place, and charged nothing": async (f) => {
    await f.enqueue([newTask("a"), newTask("b")]);
    const [a] = await f.lease(1);
    await f.add("c");
    expect(await f.release(...(a === undefined ? [] : [a]))).toEqual(["released"]);
    const record = await f.get("a");
    expect(record).toMatchObject({ state: "ready", failures: 0, lostLeases: 0, error: "" });
    expect(record).not.toHaveProperty("lease");
    expect(await f.stats()).toMatchObject({ released: 1, leased: 0, ready: 3 });
    expect(idsOf(await f.lease(3))).toEqual(["a", "b", "c"]);
  },

  "what was charged before stays": async (f) => {
    await f.retry(await f.leased("a"), 0, "the error");
    await f.release(await f.leaseOne());
    expect(await f.get("a")).toMatchObject({ failures: 1, error: "the error" });
  },

  "repeated, it finds the lease lost, also within one call": async (f) => {
    const lease = await f.leased("a");
    expect(await f.store.release(f.topic, [lease, lease], f.ending)).toEqual(["released", "lease_lost"]);
    await f.unchanged(async () => expect(await f.release(lease)).toEqual(["lease_lost"]));
    expect(await f.stats()).toMatchObject({ released: 1, ready: 1 });
  },

  "repetitions and refusals mix in one call": async (f) => {
    const [a, b] = [refOf(await f.leased("a")), refOf(await f.leased("b"))];
    const foreign = { ...a, token: FOREIGN_TOKEN };
    const unknown = { ...b, id: taskId("unknown") };
    const answers = await f.release(unknown, a, foreign, a, b, unknown, b);
    const expected = ["lease_lost", "released", "lease_lost", "lease_lost", "released", "lease_lost", "lease_lost"];
    expect(answers).toEqual(expected);
    expect(await f.stats()).toMatchObject({ released: 2, ready: 2, leased: 0 });
  },

  "a late release does not take the task from its new holder": async (f) => {
    const other = await f.open("worker-2");
    const first = await f.leased("a");
    await f.release(first);
    const second = await f.leaseOne(other);
    await f.unchanged(async () => expect(await f.release(first)).toEqual(["lease_lost"]));
    expect(await f.complete(second)).toEqual(["completed"]);
  },

  "another token than the lease's is refused and changes nothing": async (f) => {
    const lease = refOf(await f.leased("a"));
    const wrong = [
      { ...lease, token: FOREIGN_TOKEN },
      { ...lease, session: sessionId("worker-2") },
      { ...lease, id: taskId("unknown") },
    ];
    const answers = await f.unchanged(() => f.release(...wrong));
    expect(answers).toEqual(["lease_lost", "lease_lost", "lease_lost"]);
  },

  "where cancelling was asked for the task is cancelled": async (f) => {
    const kept = await f.leased("kept", { retentionMs: 1000 });
    const gone = await f.leased("gone");
    await f.cancel("kept", "gone");
    expect(await f.release(kept, gone)).toEqual(["aborted", "aborted"]);
    expect(await f.get("kept")).toMatchObject({ state: "cancelled", endedAtMs: f.now });
    expect(await f.get("gone")).toBeUndefined();
    expect(await f.stats()).toMatchObject({ aborted: 2, released: 0, cancelledKept: 1 });
    expect((await f.enqueue([newTask("gone")])).created).toEqual([false]);
  },

  "a lease named by a wrong session first is still released by its own": async (f) => {
    const lease = refOf(await f.leased("a"));
    const wrong = { ...lease, session: sessionId("worker-2") };
    expect(await f.release(wrong, lease, wrong)).toEqual(["lease_lost", "released", "lease_lost"]);
  },

  "leases of several sessions are released in one call": async (f) => {
    const other = await f.open("worker-2");
    await f.enqueue(newTasks(6));
    const leases = [];
    for (const session of [f.worker, other, f.worker, other]) leases.push(...(await f.lease(1, session)));
    expect(await f.release(...leases)).toEqual(leases.map(() => "released"));
    expect(await f.ids("ready")).toEqual(idsOf(newTasks(6)));
  },

  "a call takes 1000 leases": async (f) => {
    await f.enqueue(newTasks(1000));
    const leases = await f.lease(1000);
    expect(new Set(await f.release(...[...leases].reverse()))).toEqual(new Set(["released"]));
    expect(await f.ids("ready")).toEqual(idsOf(leases));
  },
});
