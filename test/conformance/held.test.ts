import { expect } from "vitest";
import { byId, plain } from "../support/snapshot.js";
import { newTask, newTasks, sessionId, topicName } from "../support/task-factory.js";
import { conformance, idsOf } from "./suite.js";

conformance("held", {
  "it tells each lease as it was handed out": async (f) => {
    await f.enqueue([newTask("a", { externalId: "é", priority: 3 }), newTask("b", { spec: "\0\n" })]);
    const leases = await f.lease(2);
    const held = await f.store.held(f.topic, f.worker.id);
    expect(plain(byId(held))).toEqual(plain(byId(leases)));
  },

  "it tells failures and lost leases": async (f) => {
    await f.retry(await f.leased("a"), 0);
    const lease = await f.leaseOne();
    expect(await f.store.held(f.topic, f.worker.id)).toMatchObject([{ id: "a", token: lease.token, failures: 1 }]);
  },

  "only the leases of that session in that topic": async (f) => {
    const topic = topicName("other");
    const other = await f.open("worker-2", [f.topic, topic]);
    await f.enqueue(newTasks(4));
    await f.enqueue([newTask("elsewhere")], topic);
    await f.lease(2);
    await f.lease(2, other);
    await f.lease(1, other, topic);
    expect(idsOf(byId(await f.store.held(f.topic, f.worker.id)))).toEqual(["t0000", "t0001"]);
    expect(idsOf(byId(await f.store.held(f.topic, other.id)))).toEqual(["t0002", "t0003"]);
    expect(idsOf(await f.store.held(topic, other.id))).toEqual(["elsewhere"]);
    expect(await f.store.held(topic, f.worker.id)).toEqual([]);
    expect(await f.store.held(f.topic, sessionId("unknown"))).toEqual([]);
  },

  "a lease that ended is no longer told": async (f) => {
    await f.enqueue(newTasks(5));
    const [a, b, c, d] = await f.lease(5);
    if (!a || !b || !c || !d) throw new Error("five leases were expected");
    await f.complete(a);
    await f.retry(b);
    await f.bury(c);
    await f.release(d);
    expect(idsOf(await f.store.held(f.topic, f.worker.id))).toEqual(["t0004"]);
  },

  "a lease whose answer was lost is found, also by the broker that resumed the session": async (f) => {
    await f.add("a");
    await f.lease();
    const by = { broker: "broker-2", address: "127.0.0.1:2", expiresAtMs: f.now + 1000 };
    await f.store.resumeSession({ id: f.worker.id, secret: "secret of worker-1" }, by);
    const [found] = await f.store.held(f.topic, f.worker.id);
    expect(found?.id).toBe("a");
    expect(found === undefined ? [] : await f.complete(found)).toEqual(["completed"]);
  },

  "all of 2500 leases are told": async (f) => {
    for (const prefix of ["a", "b", "c", "d", "e"]) await f.enqueue(newTasks(500, {}, prefix));
    for (let call = 0; call < 3; call += 1) await f.lease(1000);
    const held = await f.store.held(f.topic, f.worker.id);
    expect(new Set(idsOf(held)).size).toBe(2500);
  },
});
