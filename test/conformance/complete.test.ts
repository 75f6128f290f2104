import { expect } from "vitest";
import type { LeaseRef } from "../../server/store/store.js";
import { FOREIGN_TOKEN, newTask, newTasks, sessionId, taskId, token } from "../support/task-factory.js";
import { conformance, idsOf, refOf } from "./suite.js";

conformance("complete", {
  "a completed task disappears": async (f) => {
    const lease = await f.leased("a");
    expect(await f.complete(lease)).toEqual(["completed"]);
    expect(await f.get("a")).toBeUndefined();
    expect(await f.stats()).toMatchObject({ completed: 1, leased: 0, completedKept: 0, bytes: 0, deleted: 0 });
  },

  "with a retention it is kept, with its result and its history": async (f) => {
    const first = await f.leased("a", { retentionMs: 1000 });
    await f.retry(first, 0, "the first error");
    const lease = refOf(await f.leaseOne());
    f.advance(3);
    const result = Buffer.from([0, 255, 10, 13, 9, 128]);
    const { outcomes } = await f.store.complete(f.topic, [{ ...lease, result }], f.ending);
    expect(outcomes).toEqual(["completed"]);
    const record = await f.get("a");
    expect(record).toMatchObject({ state: "completed", endedAtMs: f.now, failures: 1, error: "the first error" });
    expect(record).toMatchObject({ result: `bytes ${result.toString("latin1")}` });
    expect(record).not.toHaveProperty("lease");
    expect(record).not.toHaveProperty("progress");
    expect(await f.stats()).toMatchObject({ completed: 1, completedKept: 1 });
  },

  "without a result none is told": async (f) => {
    await f.complete(await f.leased("a", { retentionMs: 1000 }));
    expect((await f.get("a"))?.result).toBeUndefined();
  },

  "a large result is kept whole": async (f) => {
    const lease = refOf(await f.leased("a", { retentionMs: 1000 }));
    const result = Buffer.alloc(1024 * 1024, "result");
    await f.store.complete(f.topic, [{ ...lease, result }], f.ending);
    const [record] = await f.store.get(f.topic, [taskId("a")]);
    expect(result.equals(record?.result ?? Buffer.alloc(0))).toBe(true);
  },

  "a repeated completion is answered completed again, and changes nothing": async (f) => {
    const gone = await f.leased("gone");
    const kept = await f.leased("kept", { retentionMs: 1_000_000 });
    expect(await f.complete(gone, kept)).toEqual(["completed", "completed"]);
    await f.unchanged(async () => expect(await f.complete(gone, kept)).toEqual(["completed", "completed"]));
    f.advance(f.endedWindowMs - 1);
    await f.unchanged(async () => expect(await f.complete(kept, gone)).toEqual(["completed", "completed"]));
  },

  "a repetition after two windows finds the lease lost": async (f) => {
    const lease = await f.leased("a");
    await f.complete(lease);
    f.advance(2 * f.endedWindowMs);
    expect(await f.complete(lease)).toEqual(["lease_lost"]);
  },

  "the same lease twice in one call is completed once": async (f) => {
    const a = await f.leased("a");
    const b = await f.leased("b", { retentionMs: 1000 });
    expect(await f.complete(a, b, a, b)).toEqual(["completed", "completed", "completed", "completed"]);
    expect(await f.stats()).toMatchObject({ completed: 2, leased: 0, completedKept: 1 });
  },

  "another token than the lease's is refused and changes nothing": async (f) => {
    const lease = refOf(await f.leased("a"));
    const wrong = [
      { ...lease, token: FOREIGN_TOKEN },
      { ...lease, token: token("000000000000") },
      { ...lease, session: sessionId("worker-2") },
      { ...lease, id: taskId("unknown") },
    ];
    await f.unchanged(async () => expect(await f.complete(...wrong)).toEqual(wrong.map(() => "lease_lost")));
    expect(await f.complete(lease)).toEqual(["completed"]);
  },

  "a repetition with another token is refused": async (f) => {
    const lost = await f.leased("a", { retentionMs: 1_000_000 });
    await f.release(lost);
    const lease = await f.leaseOne();
    await f.complete(lease);
    const foreign = { ...refOf(lease), token: FOREIGN_TOKEN };
    await f.unchanged(async () => expect(await f.complete(lost, foreign)).toEqual(["lease_lost", "lease_lost"]));
  },

  "a late report is good while nobody has taken the lease away": async (f) => {
    const lease = await f.leased("a");
    f.advance(7 * 86_400_000);
    expect(await f.complete(lease)).toEqual(["completed"]);
  },

  "a report is good after its session was closed, or moved to another broker": async (f) => {
    const a = await f.leased("a");
    const b = await f.leased("b");
    const by = { broker: "broker-2", address: "127.0.0.1:2", expiresAtMs: f.now + 1000 };
    await f.store.resumeSession({ id: f.worker.id, secret: "secret of worker-1" }, by);
    expect(await f.complete(a)).toEqual(["completed"]);
    await f.store.closeSession({ id: f.worker.id, epoch: 2 });
    expect(await f.complete(b)).toEqual(["completed"]);
  },

  "a lease that was lost is refused, whether or not somebody else holds the task": async (f) => {
    const other = await f.open("worker-2");
    const lost = await f.leased("a");
    await f.expire(f.worker.id);
    await f.unchanged(async () => expect(await f.complete(lost)).toEqual(["lease_lost"]));
    const held = await f.leaseOne(other);
    await f.unchanged(async () => expect(await f.complete(lost)).toEqual(["lease_lost"]));
    expect(await f.complete(held)).toEqual(["completed"]);
  },

  "a lease is refused once the same session leased the task anew": async (f) => {
    const first = await f.leased("a");
    await f.release(first);
    const second = await f.leaseOne();
    expect(second.token > first.token).toBe(true);
    expect(await f.complete(first, second)).toEqual(["lease_lost", "completed"]);
  },

  "a task whose cancelling was asked for completes all the same": async (f) => {
    const lease = await f.leased("a", { retentionMs: 1000 });
    await f.cancel("a");
    expect(await f.complete(lease)).toEqual(["completed"]);
    expect(await f.get("a")).toMatchObject({ state: "completed" });
    expect(await f.get("a")).not.toHaveProperty("cancelRequested");
    expect(await f.stats()).toMatchObject({ completed: 1, cancelled: 0, aborted: 0 });
  },

  "the token of a failure completes nothing": async (f) => {
    const retried = await f.leased("retried");
    await f.retry(retried);
    const buried = await f.leased("buried");
    await f.bury(buried);
    await f.unchanged(async () => expect(await f.complete(retried, buried)).toEqual(["lease_lost", "lease_lost"]));
  },

  "after a removal the id starts anew: the old token is worth nothing": async (f) => {
    const lease = await f.leased("a", { retentionMs: 1000 });
    await f.complete(lease);
    await f.remove("a");
    await f.add("a");
    await f.unchanged(async () => expect(await f.complete(lease)).toEqual(["lease_lost"]));
  },

  "refusals do not disturb the rest of the batch": async (f) => {
    await f.enqueue(newTasks(5));
    const leases = await f.lease(5);
    const batch = leases.map((lease, index) => (index % 2 ? { ...refOf(lease), token: FOREIGN_TOKEN } : lease));
    const expected = leases.map((_, index) => (index % 2 ? "lease_lost" : "completed"));
    expect(await f.complete(...batch)).toEqual(expected);
    expect(await f.ids("leased")).toEqual(["t0001", "t0003"]);
  },

  "repetitions and refusals mix in one call": async (f) => {
    const [a, b] = [refOf(await f.leased("a")), refOf(await f.leased("b", { retentionMs: 1000 }))];
    const foreign = { ...a, token: FOREIGN_TOKEN };
    const unknown = { ...b, id: taskId("unknown") };
    expect(await f.complete(unknown, a, foreign, a, b, unknown, b)).toEqual([
      "lease_lost",
      "completed",
      "lease_lost",
      "completed",
      "completed",
      "lease_lost",
      "completed",
    ]);
    expect(await f.stats()).toMatchObject({ completed: 2, leased: 0 });
  },

  "demands are served in the same step": async (f) => {
    const lease = await f.leased("a");
    await f.enqueue([newTask("b"), newTask("c"), newTask("d")]);
    const other = await f.open("worker-2");
    const demands = [f.demand(1), f.demand(1, { id: sessionId("unknown"), epoch: 1 }), f.demand(1, other)];
    const answer = await f.store.complete(f.topic, [refOf(lease)], { ...f.ending, demands });
    expect(answer).toMatchObject({ outcomes: ["completed"], ready: 1, lostSessions: ["unknown"] });
    expect(answer.leased.map(({ id, session }) => [id, session])).toEqual([
      ["b", "worker-1"],
      ["c", "worker-2"],
    ]);
  },

  "demands are served also when every completion is refused": async (f) => {
    await f.add("a");
    const lost = { id: taskId("x"), session: f.worker.id, token: FOREIGN_TOKEN };
    const answer = await f.store.complete(f.topic, [lost], { ...f.ending, demands: [f.demand(1)] });
    expect(answer).toMatchObject({ outcomes: ["lease_lost"], leased: [{ id: "a" }], ready: 0 });
  },

  "without demands the ready tasks are counted, and none in a paused topic": async (f) => {
    const a = await f.leased("a");
    const b = await f.leased("b");
    await f.enqueue(newTasks(3));
    const complete = (lease: LeaseRef) => f.store.complete(f.topic, [refOf(lease)], f.ending);
    expect(await complete(a)).toMatchObject({ leased: [], ready: 3, lostSessions: [] });
    await f.store.configure(f.topic, { paused: true });
    expect(await complete(b)).toMatchObject({ outcomes: ["completed"], leased: [], ready: 0, lostSessions: [] });
  },

  "a call takes 1000 completions and serves 1000 tasks": async (f) => {
    await f.enqueue(newTasks(1000));
    const leases = await f.lease(1000);
    await f.enqueue(newTasks(1000, {}, "next-"));
    const options = { ...f.ending, demands: [f.demand(1000)] };
    const answer = await f.store.complete(f.topic, leases.map(refOf), options);
    expect(answer.outcomes).toEqual(leases.map(() => "completed"));
    expect(idsOf(answer.leased)).toEqual(idsOf(newTasks(1000, {}, "next-")));
    expect(await f.stats()).toMatchObject({ completed: 1000, leased: 1000, ready: 0 });
  },

  "repetitions at the same time complete a task once": async (f) => {
    const lease = await f.leased("a", { retentionMs: 1000 });
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => f.complete(lease)));
    expect(outcomes.flat()).toEqual(Array.from({ length: 10 }, () => "completed"));
    expect(await f.stats()).toMatchObject({ completed: 1, completedKept: 1 });
  },
});
