import { expect } from "vitest";
import type { Expired } from "../../server/store/store.js";
import { byId } from "../support/snapshot.js";
import { newTask, newTasks, sessionId, topicName } from "../support/task-factory.js";
import { conformance, idsOf } from "./suite.js";

conformance("expire", {
  "a lost lease is counted, and its task goes back to its place": async (f) => {
    await f.enqueue([newTask("a", { externalId: "e" }), newTask("b")]);
    await f.lease(1);
    await f.add("c");
    const { expired, more } = await f.expire(f.worker.id, { error: "the worker died" });
    expect(expired).toEqual([{ id: "a", externalId: "e", outcome: "expired", failures: 0, lostLeases: 1 }]);
    expect(more).toBe(false);
    const record = await f.get("a");
    expect(record).toMatchObject({ state: "ready", failures: 0, lostLeases: 1, error: "the worker died" });
    expect(record).not.toHaveProperty("lease");
    expect(await f.stats()).toMatchObject({ expired: 1, leased: 0, ready: 3, failed: 0, released: 0 });
    const other = await f.open("worker-2");
    expect(idsOf(await f.lease(9, other))).toEqual(["a", "b", "c"]);
  },

  "the lease after the last one allowed makes the task dead, and says why": async (f) => {
    await f.add("a");
    const outcomes: unknown[] = [];
    for (const id of ["w1", "w2", "w3"]) {
      await f.leaseOne(await f.open(id));
      f.advance(1);
      const { expired } = await f.expire(sessionId(id), { lostLeasesMax: 3, error: `lost by ${id}` });
      outcomes.push(...expired.map(({ outcome, lostLeases }) => [outcome, lostLeases]));
    }
    expect(outcomes).toEqual([
      ["expired", 1],
      ["expired", 2],
      ["buried", 3],
    ]);
    const expected = { state: "dead", deadReason: "lost_leases", lostLeases: 3, failures: 0, error: "lost by w3" };
    expect(await f.get("a")).toMatchObject({ ...expected, endedAtMs: f.now });
    expect(await f.stats()).toMatchObject({ expired: 3, failed: 0, dead: 1, leased: 0 });
  },

  "with a limit of 1 the first lost lease is the last": async (f) => {
    await f.leased("a");
    expect((await f.expire(f.worker.id, { lostLeasesMax: 1 })).expired).toMatchObject([{ outcome: "buried" }]);
  },

  "a limit that was lowered below what was lost buries with the next": async (f) => {
    await f.add("a");
    for (const id of ["w1", "w2"]) {
      await f.leaseOne(await f.open(id));
      await f.expire(sessionId(id), { lostLeasesMax: 9 });
    }
    await f.leaseOne();
    const { expired } = await f.expire(f.worker.id, { lostLeasesMax: 1 });
    expect(expired).toMatchObject([{ outcome: "buried", lostLeases: 3 }]);
  },

  "undelivered leases are released, uncharged": async (f) => {
    await f.retry(await f.leased("a"), 0, "an earlier error");
    await f.enqueue(newTasks(2));
    const leases = await f.lease(3);
    const undelivered = leases.filter((lease) => lease.id !== "t0000").map((lease) => lease.token);
    const { expired } = await f.expire(f.worker.id, { undelivered });
    expect(byId(expired).map(({ id, outcome, lostLeases }) => [id, outcome, lostLeases])).toEqual([
      ["a", "released", 0],
      ["t0000", "expired", 1],
      ["t0001", "released", 0],
    ]);
    expect(await f.get("a")).toMatchObject({ state: "ready", lostLeases: 0, error: "an earlier error" });
    expect(await f.stats()).toMatchObject({ released: 2, expired: 1, ready: 3 });
  },

  "without a charge all are released": async (f) => {
    await f.enqueue(newTasks(3));
    await f.lease(3);
    const { expired } = await f.expire(f.worker.id, { charge: "none", lostLeasesMax: 1 });
    expect(new Set(expired.map(({ outcome, lostLeases }) => `${outcome} ${lostLeases}`))).toEqual(
      new Set(["released 0"]),
    );
    expect(await f.get("t0000")).toMatchObject({ state: "ready", lostLeases: 0, error: "" });
    expect(await f.stats()).toMatchObject({ released: 3, expired: 0 });
  },

  "where cancelling was asked for the task is cancelled, uncharged": async (f) => {
    await f.leased("kept", { retentionMs: 1000 });
    const gone = await f.leased("gone");
    await f.cancel("kept", "gone");
    const { expired } = await f.expire(f.worker.id, { lostLeasesMax: 1, undelivered: [gone.token] });
    expect(byId(expired).map(({ id, outcome, lostLeases }) => [id, outcome, lostLeases])).toEqual([
      ["gone", "aborted", 0],
      ["kept", "aborted", 0],
    ]);
    expect(await f.get("kept")).toMatchObject({ state: "cancelled", lostLeases: 0, error: "", endedAtMs: f.now });
    expect(await f.get("gone")).toBeUndefined();
    expect(await f.stats()).toMatchObject({ aborted: 2, expired: 0, released: 0 });
    expect((await f.enqueue([newTask("gone")])).created).toEqual([false]);
  },

  "failures of the task are told as they stand": async (f) => {
    await f.retry(await f.leased("a"), 0);
    await f.leaseOne();
    expect((await f.expire(f.worker.id)).expired).toMatchObject([{ failures: 1, lostLeases: 1 }]);
  },

  "from then on the session leases nothing there, before all its leases ended": async (f) => {
    await f.enqueue(newTasks(5));
    await f.lease(3);
    expect(await f.expire(f.worker.id, { limit: 1 })).toMatchObject({ more: true });
    const answer = await f.store.lease(f.topic, [f.demand(5)], { now: f.now });
    expect(answer).toMatchObject({ leased: [], ready: 3, lostSessions: ["worker-1"] });
  },

  "a session that was resumed afterwards still leases nothing there": async (f) => {
    await f.add("a");
    await f.expire(f.worker.id);
    const by = { broker: "broker-2", address: "127.0.0.1:2", expiresAtMs: f.now + 1000 };
    await f.store.resumeSession({ id: f.worker.id, secret: "secret of worker-1" }, by);
    const demand = f.demand(1, { id: f.worker.id, epoch: 2 });
    const answer = await f.store.lease(f.topic, [demand], { now: f.now });
    expect(answer).toMatchObject({ leased: [], lostSessions: ["worker-1"] });
  },

  "only that session's leases in that topic end": async (f) => {
    const topic = topicName("other");
    const both = await f.open("worker-2", [f.topic, topic]);
    await f.enqueue(newTasks(2));
    await f.enqueue([newTask("elsewhere")], topic);
    await f.lease(1);
    await f.lease(1, both);
    await f.lease(1, both, topic);
    expect((await f.expire(both.id)).expired).toMatchObject([{ id: "t0001" }]);
    expect(await f.ids("leased")).toEqual(["t0000"]);
    expect(await f.stats(topic)).toMatchObject({ leased: 1 });
    await f.enqueue([newTask("more")], topic);
    expect(idsOf(await f.lease(1, both, topic))).toEqual(["more"]);
  },

  "a limit is kept, and `more` says to go on": async (f) => {
    await f.enqueue(newTasks(10));
    await f.lease(10);
    const all: Expired[] = [];
    const sizes: [number, boolean][] = [];
    for (let call = 0; call < 3; call += 1) {
      const answer = await f.expire(f.worker.id, { limit: 4 });
      all.push(...answer.expired);
      sizes.push([answer.expired.length, answer.more]);
    }
    expect(sizes).toEqual([
      [4, true],
      [4, true],
      [2, false],
    ]);
    expect(idsOf(byId(all))).toEqual(idsOf(newTasks(10)));
    expect(await f.ids("ready")).toEqual(idsOf(newTasks(10)));
  },

  "repeated, it finds nothing more": async (f) => {
    await f.leased("a");
    await f.expire(f.worker.id);
    const again = await f.unchanged(() => f.expire(f.worker.id));
    expect(again).toEqual({ expired: [], more: false });
  },

  "a session nobody knows has nothing to end, and creates no topic": async (f) => {
    expect(await f.expire(sessionId("unknown"))).toEqual({ expired: [], more: false });
    expect((await f.store.topics({ limit: 10 })).rows).toEqual([]);
  },

  "leases of a session that was closed before still end": async (f) => {
    await f.leased("a");
    await f.store.closeSession(f.worker);
    expect((await f.expire(f.worker.id)).expired).toMatchObject([{ id: "a", outcome: "expired" }]);
    expect(await f.state("a")).toBe("ready");
  },

  "places are kept over any number of lost leases": async (f) => {
    await f.enqueue([newTask("a", { priority: 1 }), newTask("b"), newTask("c", { priority: 1 }), newTask("d")]);
    for (const id of ["w1", "w2", "w3"]) {
      const session = await f.open(id);
      expect(idsOf(await f.lease(4, session))).toEqual(["b", "d", "a", "c"]);
      await f.expire(session.id, { lostLeasesMax: 9 });
    }
    expect(await f.ids("ready")).toEqual(["b", "d", "a", "c"]);
  },
});
