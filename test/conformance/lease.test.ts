import { expect } from "vitest";
import { fenceAt, leaseToken, parseLeaseToken } from "../../server/domain/ids.js";
import { encodeRecord } from "../../server/store/record.js";
import { NOW, newTask, newTasks, sessionId, topicName } from "../support/task-factory.js";
import { conformance, idsOf } from "./suite.js";

conformance("lease", {
  "an empty topic gives an empty answer and is not created": async (f) => {
    const answer = await f.store.lease(f.topic, [f.demand(10)], { now: f.now });
    expect(answer).toEqual({ leased: [], ready: 0, lostSessions: [] });
    expect((await f.store.topics({ limit: 10 })).rows).toEqual([]);
  },

  "a leased task tells everything a worker and its broker need": async (f) => {
    await f.add("a", { externalId: "e", priority: 2, spec: "body" });
    f.advance(5);
    const [leased] = await f.lease();
    const { head, spec } = newTask("a", { externalId: "e", priority: 2, spec: "body" });
    expect(leased).toMatchObject({ id: "a", session: "worker-1", leasedAtMs: NOW + 5, failures: 0, lostLeases: 0 });
    expect(leased?.head).toEqual(head);
    expect(Buffer.from(leased?.spec ?? []).toString()).toBe("body");
    expect(leased?.bytes).toBe(encodeRecord(head, spec).length);
    expect(parseLeaseToken(leased?.token ?? "")).toBe(leased?.token);
    const lease = { session: "worker-1", token: leased?.token, leasedAtMs: NOW + 5 };
    expect(await f.get("a")).toMatchObject({ state: "leased", lease });
    expect(await f.stats()).toMatchObject({ started: 1, leased: 1, ready: 0 });
  },

  "tasks come by priority, lower first, then in the order of their enqueue": async (f) => {
    const priorities = [0, 5, -5, 0, 2 ** 31 - 1, -(2 ** 31), 5, -5, 1, -1, 0];
    await f.enqueue(priorities.map((priority, index) => newTask(`t${index}`, { priority })));
    await f.enqueue(priorities.map((priority, index) => newTask(`u${index}`, { priority })));
    const sorted = [...new Set(priorities)].sort((a, b) => a - b);
    const expected = sorted.flatMap((priority) =>
      ["t", "u"].flatMap((prefix) =>
        priorities.flatMap((own, index) => (own === priority ? [`${prefix}${index}`] : [])),
      ),
    );
    expect(await f.ids("ready")).toEqual(expected);
    expect(idsOf(await f.lease(100))).toEqual(expected);
  },

  "neighbouring priorities are kept apart at both ends of the range": async (f) => {
    const ends = [2 ** 31 - 1, 2 ** 31 - 2, -(2 ** 31) + 1, -(2 ** 31)];
    for (const priority of ends) await f.enqueue(newTasks(20, { priority }, `p${priority + 2 ** 31}-`));
    const ids = [...ends].reverse().flatMap((priority) => idsOf(newTasks(20, {}, `p${priority + 2 ** 31}-`)));
    expect(idsOf(await f.lease(100))).toEqual(ids);
  },

  "neither the enqueue moment nor the id decides the order": async (f) => {
    await f.enqueue([newTask("z", { enqueuedAtMs: NOW + 9 }), newTask("a", { enqueuedAtMs: NOW - 9 })]);
    await f.enqueue([newTask("m", { enqueuedAtMs: NOW - 99 })]);
    expect(idsOf(await f.lease(3))).toEqual(["z", "a", "m"]);
  },

  "a task is given to nobody else until its lease ends": async (f) => {
    const other = await f.open("worker-2");
    await f.enqueue(newTasks(3));
    expect(idsOf(await f.lease(2))).toEqual(["t0000", "t0001"]);
    expect(idsOf(await f.lease(2, other))).toEqual(["t0002"]);
    f.advance(365 * 86_400_000);
    expect(await f.lease(2, other)).toEqual([]);
  },

  "a limit is kept, and the rest counted": async (f) => {
    await f.enqueue(newTasks(5));
    const answer = await f.store.lease(f.topic, [f.demand(2)], { now: f.now });
    expect(answer.leased.length).toBe(2);
    expect(answer.ready).toBe(3);
  },

  "scheduled tasks are not handed out, due or not": async (f) => {
    await f.add("later", { dueAtMs: f.now + 1 });
    f.advance(10);
    expect(await f.store.lease(f.topic, [f.demand(1)], { now: f.now })).toMatchObject({ leased: [], ready: 0 });
  },

  "tokens rise with every lease of a topic and compare as strings": async (f) => {
    const tokens: string[] = [];
    for (let round = 0; round < 20; round += 1) {
      await f.enqueue(newTasks(20, {}, `r${round}-`));
      const leases = await f.lease(20);
      tokens.push(...leases.map((lease) => lease.token));
      if (round % 2 === 0) await f.release(...leases.slice(0, 10));
    }
    expect(tokens).toEqual([...new Set(tokens)].sort());
  },

  "tokens never fall behind the time, so that a store that lost its last second gives none again": async (f) => {
    await f.enqueue(newTasks(2));
    f.advance(1_000);
    const [first] = await f.lease();
    expect(first?.token).toBe(leaseToken(fenceAt(0, f.now) + 1));
    f.advance(-500);
    const [second] = await f.lease();
    expect(second?.token).toBe(leaseToken(fenceAt(0, f.now + 500) + 2));
  },

  "demands are served in their order, each up to its limit": async (f) => {
    const two = await f.open("worker-2");
    const three = await f.open("worker-3");
    await f.enqueue(newTasks(6));
    const demands = [f.demand(2, two), f.demand(3), f.demand(5, three), f.demand(5, two)];
    const answer = await f.store.lease(f.topic, demands, { now: f.now });
    const given = answer.leased.map(({ id, session }) => `${id} ${session}`);
    expect(given).toEqual([
      "t0000 worker-2",
      "t0001 worker-2",
      "t0002 worker-1",
      "t0003 worker-1",
      "t0004 worker-1",
      "t0005 worker-3",
    ]);
    expect(answer).toMatchObject({ ready: 0, lostSessions: [] });
  },

  "a demand ends before the task that would exceed its bytes, even for a smaller one": async (f) => {
    const [small, large] = [newTask("small", { spec: "x" }), newTask("large", { spec: "x".repeat(1000) })];
    const bytes = encodeRecord(small.head, small.spec).length;
    await f.enqueue([small, large, newTask("small-2", { spec: "x" })]);
    const answer = await f.store.lease(f.topic, [f.demand(9, f.worker, bytes + 500)], { now: f.now });
    expect(idsOf(answer.leased)).toEqual(["small"]);
    expect(answer.ready).toBe(2);
  },

  "bytes are counted exactly, heads included": async (f) => {
    const tasks = newTasks(4, { spec: "12345", externalId: "é" });
    const bytes = tasks.map(({ head, spec }) => encodeRecord(head, spec).length).reduce((sum, each) => sum + each);
    await f.enqueue(tasks);
    const lease = (bytesMax: number) => f.store.lease(f.topic, [f.demand(9, f.worker, bytesMax)], { now: f.now });
    const first = await lease(bytes - 1);
    expect(first.leased.length).toBe(3);
    await f.release(...first.leased);
    expect((await lease(bytes)).leased.length).toBe(4);
  },

  "the first task of each demand is handed out whatever its size": async (f) => {
    const other = await f.open("worker-2");
    await f.enqueue(newTasks(4, { spec: "x".repeat(500) }));
    const demands = [f.demand(9, f.worker, 1), f.demand(9, other, 0)];
    const answer = await f.store.lease(f.topic, demands, { now: f.now });
    expect(answer.leased.map(({ id, session }) => [id, session])).toEqual([
      ["t0000", "worker-1"],
      ["t0001", "worker-2"],
    ]);
    expect(answer.ready).toBe(2);
  },

  "a task too large for one demand's rest goes to the next": async (f) => {
    const other = await f.open("worker-2");
    await f.enqueue([newTask("a"), newTask("large", { spec: "x".repeat(1000) }), newTask("c")]);
    const demands = [f.demand(9, f.worker, 200), f.demand(9, other, 2000)];
    const answer = await f.store.lease(f.topic, demands, { now: f.now });
    expect(answer.leased.map(({ id, session }) => [id, session])).toEqual([
      ["a", "worker-1"],
      ["large", "worker-2"],
      ["c", "worker-2"],
    ]);
  },

  "a session that is not open on the topic gets nothing and is named": async (f) => {
    const elsewhere = await f.open("elsewhere", [topicName("other")]);
    const unknown = { id: sessionId("unknown"), epoch: 1 };
    await f.enqueue(newTasks(2));
    const demands = [f.demand(1, unknown), f.demand(1, elsewhere), f.demand(1)];
    const answer = await f.store.lease(f.topic, demands, { now: f.now });
    expect(answer.leased.map(({ id, session }) => [id, session])).toEqual([["t0000", "worker-1"]]);
    expect(answer).toMatchObject({ ready: 1, lostSessions: ["unknown", "elsewhere"] });
  },

  "a demand with another epoch gets nothing and is named": async (f) => {
    await f.add("a");
    const by = { broker: "broker-2", address: "127.0.0.1:2", expiresAtMs: f.now + 1000 };
    const ask = (epoch: number) => f.store.lease(f.topic, [f.demand(1, { id: f.worker.id, epoch })], { now: f.now });
    expect(await ask(2)).toMatchObject({ leased: [], ready: 1, lostSessions: ["worker-1"] });
    await f.store.resumeSession({ id: f.worker.id, secret: "secret of worker-1" }, by);
    expect(await ask(1)).toMatchObject({ leased: [], ready: 1, lostSessions: ["worker-1"] });
    expect(await ask(2)).toMatchObject({ leased: [{ id: "a" }], ready: 0, lostSessions: [] });
  },

  "a closed session gets nothing and is named": async (f) => {
    await f.add("a");
    await f.store.closeSession(f.worker);
    const answer = await f.store.lease(f.topic, [f.demand(1)], { now: f.now });
    expect(answer).toMatchObject({ leased: [], ready: 1, lostSessions: ["worker-1"] });
  },

  "lost sessions are named also when nothing is ready, and in a paused topic": async (f) => {
    const ask = () => f.store.lease(f.topic, [f.demand(1, { id: sessionId("unknown"), epoch: 1 })], { now: f.now });
    expect(await ask()).toEqual({ leased: [], ready: 0, lostSessions: ["unknown"] });
    await f.store.configure(f.topic, { paused: true });
    expect(await ask()).toEqual({ leased: [], ready: 0, lostSessions: ["unknown"] });
  },

  "a paused topic hands out nothing and says that nothing is ready": async (f) => {
    await f.enqueue(newTasks(2));
    await f.store.configure(f.topic, { paused: true });
    const paused = await f.unchanged(() => f.store.lease(f.topic, [f.demand(2)], { now: f.now }));
    expect(paused).toEqual({ leased: [], ready: 0, lostSessions: [] });
    await f.store.configure(f.topic, { paused: false });
    expect(idsOf(await f.lease(2))).toEqual(["t0000", "t0001"]);
  },

  "a demand takes 1000 tasks": async (f) => {
    await f.enqueue(newTasks(1000));
    await f.add("one-more");
    const answer = await f.store.lease(f.topic, [f.demand(1000)], { now: f.now });
    expect(idsOf(answer.leased)).toEqual(idsOf(newTasks(1000)));
    expect(answer.ready).toBe(1);
  },

  "demands at the same time never get the same task": async (f) => {
    const sessions = await Promise.all(["a", "b", "c", "d"].map((id) => f.open(id)));
    await f.enqueue(newTasks(100));
    const calls = Array.from({ length: 5 }, () => sessions.map((session) => f.lease(5, session))).flat();
    const leased = (await Promise.all(calls)).flat();
    expect(new Set(idsOf(leased)).size).toBe(100);
    expect(new Set(leased.map((lease) => lease.token)).size).toBe(100);
  },

  "failures and lost leases travel with the next lease": async (f) => {
    await f.retry(await f.leased("a"), 0);
    await f.leaseOne();
    const other = await f.open("worker-2");
    await f.expire(f.worker.id);
    expect(await f.leaseOne(other)).toMatchObject({ id: "a", failures: 1, lostLeases: 1 });
  },
});
