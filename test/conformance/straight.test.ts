/**
 * enqueueStraight and completeStraight. A store may decline what it likes, and a case
 * then goes on as the caller of a store does, by enqueue and complete: what
 * comes out must be the same. Where the contract names a reason, every store declines.
 */
import assert from "node:assert";
import { expect } from "vitest";
import type { TopicName } from "../../server/domain/ids.js";
import { fenceAt, leaseToken } from "../../server/domain/ids.js";
import type { Leased, NewTask, SessionRef, TopicLeaseRef } from "../../server/store/store.js";
import { allPages } from "../support/snapshot.js";
import {
  FOREIGN_TOKEN,
  newSession,
  newTask,
  newTasks,
  sessionId,
  type TaskOverrides,
  taskId,
  topicName,
} from "../support/task-factory.js";
import { conformance, type Fixture, idsOf, refOf, TOPIC } from "./suite.js";

const OTHER = topicName("orders");

interface Item {
  readonly task: NewTask;
  readonly topic: TopicName;
  readonly taker: SessionRef;
}

/** A task for a session, by default the fixture's on its topic. */
function item(
  f: Fixture,
  id: string,
  { topic = TOPIC, taker = f.worker, ...task }: Partial<Item> & TaskOverrides = {},
): Item {
  return { task: newTask(id, task), topic, taker };
}

/** Of an answer to `ask`. */
function topicOf(items: readonly Item[], index: number): TopicName {
  return items[index]?.topic ?? TOPIC;
}

function ask(f: Fixture, ...items: readonly Item[]): Promise<readonly (Leased | undefined)[]> {
  return f.store.enqueueStraight(
    items.map(({ topic, task }) => ({ topic, ...task })),
    items.map(({ taker }) => taker),
    f.ending,
  );
}

/** Whether each of the tasks was declined, of those that are asked for. */
async function declines(f: Fixture, ...items: readonly Item[]): Promise<boolean[]> {
  return (await ask(f, ...items)).map((lease) => lease === undefined);
}

/** Leases the tasks, which nothing forbids, straight or else by an enqueue with a demand. */
async function handOut(f: Fixture, ...items: readonly Item[]): Promise<Leased[]> {
  const leases: Leased[] = [];
  for (const [index, straight] of (await ask(f, ...items)).entries()) {
    const own = items[index];
    assert(own !== undefined);
    leases.push(straight ?? (await handOutOrdinarily(f, own)));
  }
  return leases;
}

async function handOutOrdinarily(f: Fixture, { topic, task, taker }: Item): Promise<Leased> {
  const answer = await f.store.enqueue(topic, [task], { ...f.enqueuing, demands: [f.demand(1, taker)] });
  assert(answer.kind === "enqueued");
  expect(answer.created).toEqual([true]);
  const [lease] = answer.leased;
  assert(lease !== undefined, `${task.id} was not leased`);
  return lease;
}

async function handOutOne(f: Fixture, id: string, more: Parameters<typeof item>[2] = {}): Promise<Leased> {
  const [lease] = await handOut(f, item(f, id, more));
  assert(lease !== undefined);
  return lease;
}

function completeStraight(f: Fixture, ...leases: readonly (TopicLeaseRef | Leased)[]): Promise<readonly boolean[]> {
  const refs = leases.map((lease) => ({ topic: "topic" in lease ? lease.topic : TOPIC, ...refOf(lease) }));
  return f.store.completeStraight(refs, f.ending);
}

/** Completes a lease that is held, straight or else ordinarily. */
async function finish(f: Fixture, lease: Leased): Promise<void> {
  const [done] = await completeStraight(f, lease);
  if (!done) expect(await f.complete(refOf(lease))).toEqual(["completed"]);
}

conformance("enqueueStraight", {
  "plain tasks of topics that are in use are not declined, and are completed together": async (f) => {
    const both = await f.open("worker-2", [TOPIC, OTHER]);
    for (const topic of [TOPIC, OTHER]) {
      const lease = await handOutOrdinarily(f, item(f, "a", { topic, taker: both }));
      expect((await f.store.complete(topic, [refOf(lease)], f.ending)).outcomes).toEqual(["completed"]);
    }
    const items = [item(f, "b"), item(f, "c", { topic: OTHER, taker: both }), item(f, "d", { taker: both })];
    const leases = await ask(f, ...items);
    expect(leases.map((lease) => lease?.id)).toEqual(["b", "c", "d"]);
    const refs = leases.flatMap((lease, index) => (lease ? [{ topic: topicOf(items, index), ...refOf(lease) }] : []));
    expect(await completeStraight(f, ...refs)).toEqual(refs.map(() => true));
    const completed = [(await f.stats()).completed, (await f.stats(OTHER)).completed];
    expect(completed).toEqual([3, 2]);
  },

  "a task that went straight is told as any leased one": async (f) => {
    const [a, b] = await handOut(f, item(f, "a", { numRetries: 3, timeoutMs: 7, spec: "the spec" }), item(f, "b"));
    assert(a !== undefined && b !== undefined);
    const { head, spec } = newTask("a", { numRetries: 3, timeoutMs: 7, spec: "the spec" });
    expect(a).toMatchObject({ id: "a", session: f.worker.id, leasedAtMs: f.now, head, failures: 0, lostLeases: 0 });
    expect(Buffer.from(a.spec)).toEqual(Buffer.from(spec));
    const lease = { session: f.worker.id, token: a.token, leasedAtMs: f.now };
    expect(await f.get("a")).toMatchObject({ state: "leased", lease, spec: "bytes the spec" });
    expect(idsOf(await f.all("leased"))).toEqual(["a", "b"]);
    const held = await f.store.held(TOPIC, f.worker.id);
    expect(held.map(refOf).sort((x, y) => (x.id < y.id ? -1 : 1))).toEqual([refOf(a), refOf(b)]);
    expect(await f.stats()).toMatchObject({ enqueued: 2, started: 2, leased: 2, ready: 0, bytes: a.bytes + b.bytes });
    expect(await allPages((query) => f.store.topics(query))).toEqual([TOPIC]);
  },

  "tokens rise from lease to lease, of either kind, and do not fall behind the time": async (f) => {
    const first = await f.leased("a");
    const [b, c] = await handOut(f, item(f, "b"), item(f, "c"));
    const last = await f.leased("d");
    const tokens = [first, b, c, last].map((lease) => lease?.token ?? "none");
    expect(tokens).toEqual([...new Set(tokens)].sort());
    f.advance(60_000);
    const late = await handOutOne(f, "e");
    expect(late.token >= leaseToken(fenceAt(0, f.now))).toBe(true);
  },

  "a task that went straight has its place among those that were enqueued": async (f) => {
    const [a, b] = await handOut(f, item(f, "a"), item(f, "b"));
    await f.add("c");
    assert(a !== undefined && b !== undefined);
    expect(await f.release(b, a)).toEqual(["released", "released"]);
    expect(await f.ids("ready")).toEqual(["a", "b", "c"]);
  },

  "its id is known as long as it is there, and in the window after its end": async (f) => {
    const lease = await handOutOne(f, "a");
    const isKnown = async () => {
      expect(await f.unchanged(() => declines(f, item(f, "a")))).toEqual([true]);
      expect((await f.enqueue([newTask("a")])).created).toEqual([false]);
    };
    await isKnown();
    await finish(f, lease);
    f.advance(f.endedWindowMs - 1);
    await isKnown();
    f.advance(f.endedWindowMs + 2);
    await handOutOne(f, "a");
    expect(await f.stats()).toMatchObject({ enqueued: 2, leased: 1 });
  },

  "an id that is named twice goes once": async (f) => {
    const [, second] = await ask(f, item(f, "a"), item(f, "a"));
    expect(second).toBeUndefined();
  },

  "nobody is woken": async (f) => {
    const leases: Leased[] = [];
    const act = async () =>
      leases.push(...(await ask(f, item(f, "a"), item(f, "b"))).filter((lease) => lease !== undefined));
    expect(await f.wakes(act)).toEqual([]);
    expect(await f.wakes(() => completeStraight(f, ...leases))).toEqual([]);
  },

  "a topic's tasks may go to several sessions": async (f) => {
    const other = await f.open("worker-2");
    const takers = [f.worker, f.worker, other, f.worker];
    const leases = await handOut(f, ...takers.map((taker, index) => item(f, `t${index}`, { taker })));
    expect(leases.map(({ session }) => session)).toEqual(takers.map(({ id }) => id));
    const held = async ({ id }: SessionRef) => idsOf(await f.store.held(TOPIC, id)).sort();
    expect([await held(f.worker), await held(other)]).toEqual([["t0", "t1", "t3"], ["t2"]]);
  },

  "a call takes 1000 tasks": async (f) => {
    const both = await f.open("worker-2", [TOPIC, OTHER]);
    const tasks = newTasks(1000, { spec: "x".repeat(100) });
    const items = tasks.map((task, index) => ({ task, topic: index % 3 === 0 ? OTHER : TOPIC, taker: both }));
    const leases = await ask(f, ...items);
    const went = items.filter((_, index) => leases[index] !== undefined);
    expect((await f.stats()).leased + (await f.stats(OTHER)).leased).toBe(went.length);
    const refs = leases.flatMap((lease, index) => (lease ? [{ ...lease, topic: topicOf(items, index) }] : []));
    expect(await completeStraight(f, ...refs)).toEqual(refs.map(() => true));
    expect([(await f.stats()).leased, (await f.stats(OTHER)).leased]).toEqual([0, 0]);
  },

  "a task of any size is leased in the end": async (f) => {
    for (const size of [0, 1_000, 2_000, 100_000]) {
      const lease = await handOutOne(f, `t${size}`, { spec: Buffer.alloc(size, 7) });
      expect(lease.spec.length).toBe(size);
      await finish(f, lease);
    }
    expect(await f.stats()).toMatchObject({ completed: 4, bytes: 0 });
  },

  "nothing asked, nothing answered": async (f) => {
    expect(await f.unchanged(() => ask(f))).toEqual([]);
    expect(await f.unchanged(() => completeStraight(f))).toEqual([]);
  },
});

conformance("enqueueStraight declines", {
  "what is not plain": async (f) => {
    await handOutOne(f, "first");
    const unusual: TaskOverrides[] = [
      { priority: 1 },
      { priority: -1 },
      { externalId: "order" },
      { retentionMs: 1 },
      { dueAtMs: f.now + 1 },
    ];
    for (const overrides of unusual) {
      expect(await f.unchanged(() => declines(f, item(f, "a", overrides))), JSON.stringify(overrides)).toEqual([true]);
    }
    await handOutOne(f, "a", { dueAtMs: f.now });
  },

  "where something waits": async (f) => {
    await f.add("waiting");
    expect(await f.unchanged(() => declines(f, item(f, "a")))).toEqual([true]);
    await f.lease();
    await handOutOne(f, "a");
  },

  "in a paused topic": async (f) => {
    await f.store.configure(TOPIC, { paused: true });
    expect(await f.unchanged(() => declines(f, item(f, "a")))).toEqual([true]);
    await f.store.configure(TOPIC, { paused: false });
    await handOutOne(f, "a");
  },

  "where a session is not open at that epoch, or not any more": async (f) => {
    await handOutOne(f, "first");
    const refuses = async (...takers: readonly SessionRef[]) => {
      for (const taker of takers) {
        expect(await f.unchanged(() => declines(f, item(f, "a", { taker }))), JSON.stringify(taker)).toEqual([true]);
      }
    };
    const { id } = f.worker;
    await refuses({ id, epoch: 2 }, { id, epoch: 0 }, { id: sessionId("unknown"), epoch: 1 });
    const { secret } = newSession(id, []);
    await f.store.resumeSession({ id, secret }, { broker: "b", address: "x", expiresAtMs: f.now + 15_000 });
    await refuses({ id, epoch: 1 });
    await handOutOne(f, "b", { taker: { id, epoch: 2 } });
    const other = await f.open("worker-2");
    await handOutOne(f, "c", { taker: other });
    await f.expire(other.id, { charge: "none" });
    await f.lease(1, { id, epoch: 2 });
    await refuses(other);
    const third = await f.open("worker-3");
    await f.store.closeSession(third);
    await refuses(third);
  },

  "without leaving a trace of a topic that does not exist": async (f) => {
    expect(await f.unchanged(() => declines(f, item(f, "a", { topic: OTHER })))).toEqual([true]);
    expect(await f.unchanged(() => declines(f, item(f, "a", { priority: 1 })))).toEqual([true]);
    expect(await allPages((query) => f.store.topics(query))).toEqual([]);
    expect((await f.store.describe([OTHER]))[0]?.stats).toMatchObject({ enqueued: 0, started: 0, leased: 0, bytes: 0 });
  },

  "what comes behind a declined task of its topic, and leaves no trace of it": async (f) => {
    const both = await f.open("worker-2", [TOPIC, OTHER]);
    await handOut(f, item(f, "first"), item(f, "first", { topic: OTHER, taker: both }));
    const call = [
      item(f, "a"),
      item(f, "b", { priority: 1 }),
      item(f, "c", { topic: OTHER, taker: both }),
      item(f, "d"),
      item(f, "e", { topic: OTHER, taker: both }),
      item(f, "f", { taker: both }),
    ];
    const declined = await declines(f, ...call);
    expect([declined[1], declined[3], declined[5]]).toEqual([true, true, true]);
    const there = async (topic: TopicName) =>
      idsOf(await allPages((query) => f.store.list(topic, { ...query, state: "leased" })));
    const expected = (topic: TopicName) => call.filter((one, index) => one.topic === topic && !declined[index]);
    for (const topic of [TOPIC, OTHER]) {
      const ids = expected(topic).map(({ task }) => task.id);
      expect((await there(topic)).sort()).toEqual([...ids, "first"].sort());
      expect((await f.stats(topic)).enqueued).toBe(ids.length + 1);
    }
  },
});

conformance("a lease that went straight", {
  "is completed once, and that is known for the window": async (f) => {
    const lease = await handOutOne(f, "a");
    await finish(f, lease);
    expect(await f.get("a")).toBeUndefined();
    expect(await f.stats()).toMatchObject({ enqueued: 1, started: 1, completed: 1, leased: 0, bytes: 0, deleted: 0 });
    expect(await f.unchanged(() => completeStraight(f, lease))).toEqual([false]);
    expect(await f.complete(refOf(lease))).toEqual(["completed"]);
    f.advance(2 * f.endedWindowMs + 1);
    expect(await f.complete(refOf(lease))).toEqual(["lease_lost"]);
  },

  "is completed ordinarily as well": async (f) => {
    const lease = await handOutOne(f, "a");
    expect(await f.complete(refOf(lease))).toEqual(["completed"]);
    expect(await f.unchanged(() => completeStraight(f, lease))).toEqual([false]);
  },

  "is not completed by a wrong token, session, id or topic": async (f) => {
    const [a, b] = await handOut(f, item(f, "a"), item(f, "b"));
    assert(a !== undefined && b !== undefined);
    const wrong = [
      { ...a, token: FOREIGN_TOKEN },
      { ...a, token: b.token },
      { ...a, session: sessionId("worker-2") },
      { ...a, id: taskId("unknown") },
      { ...a, topic: OTHER },
    ];
    for (const lease of wrong) expect(await f.unchanged(() => completeStraight(f, lease))).toEqual([false]);
    expect(await f.unchanged(() => completeStraight(f, ...wrong))).toEqual(wrong.map(() => false));
    const mixed = await completeStraight(f, { ...b, token: FOREIGN_TOKEN }, a);
    expect(mixed[0]).toBe(false);
    expect((await f.stats()).leased).toBe(mixed[1] ? 1 : 2);
  },

  "expires with its session, charged": async (f) => {
    const lease = await handOutOne(f, "a");
    const { expired } = await f.expire(f.worker.id);
    expect(expired).toEqual([{ id: "a", externalId: "", outcome: "expired", failures: 0, lostLeases: 1 }]);
    expect(await f.get("a")).toMatchObject({ state: "ready", lostLeases: 1, error: "the worker died" });
    expect(await f.unchanged(() => completeStraight(f, lease))).toEqual([false]);
    expect(await f.stats()).toMatchObject({ ready: 1, leased: 0, expired: 1 });
  },

  "is released with its session uncharged, when it was undelivered or nobody is to blame": async (f) => {
    const [a, b] = await handOut(f, item(f, "a"), item(f, "b"));
    assert(a !== undefined && b !== undefined);
    await f.expire(f.worker.id, { undelivered: [a.token] });
    expect(await f.get("a")).toMatchObject({ state: "ready", lostLeases: 0 });
    expect(await f.get("b")).toMatchObject({ state: "ready", lostLeases: 1 });
    const other = await f.open("worker-2", [TOPIC]);
    await f.lease(2, other);
    const c = await handOutOne(f, "c", { taker: other });
    await f.expire(other.id, { charge: "none" });
    expect(await f.ids("ready")).toEqual(["a", "b", "c"]);
    expect(await f.unchanged(() => completeStraight(f, c))).toEqual([false]);
  },

  "fails as any does, and is lost by that": async (f) => {
    const [a, b] = await handOut(f, item(f, "a"), item(f, "b"));
    assert(a !== undefined && b !== undefined);
    expect(await f.retry(a, 1000)).toBe("retried");
    expect(await f.bury(b)).toBe("buried");
    expect(await f.get("a")).toMatchObject({ state: "scheduled", failures: 1, error: "it broke" });
    expect(await f.get("b")).toMatchObject({ state: "dead", failures: 1, deadReason: "retries_exhausted" });
    expect(await f.unchanged(() => completeStraight(f, a, b))).toEqual([false, false]);
  },

  "is released to its place, and is another lease the next time": async (f) => {
    const lease = await handOutOne(f, "a");
    expect(await f.release(lease)).toEqual(["released"]);
    const next = await f.leaseOne();
    expect(next.token > lease.token).toBe(true);
    expect(await f.unchanged(() => completeStraight(f, lease))).toEqual([false]);
    await finish(f, next);
    expect(await f.stats()).toMatchObject({ started: 2, released: 1, completed: 1, leased: 0 });
  },

  "tells its progress, and is completed all the same": async (f) => {
    const lease = await handOutOne(f, "a");
    const progress = { fraction: 0.5, message: "half" };
    expect(await f.store.progress(TOPIC, [{ ...refOf(lease), progress }])).toEqual(["held"]);
    expect(await f.get("a")).toMatchObject({ state: "leased", progress });
    await finish(f, lease);
    expect(await f.get("a")).toBeUndefined();
    expect(await f.stats()).toMatchObject({ completed: 1, leased: 0, bytes: 0 });
  },

  "may be asked to be cancelled, and is completed all the same": async (f) => {
    const [a, b] = await handOut(f, item(f, "a"), item(f, "b"));
    assert(a !== undefined && b !== undefined);
    const asked = { kind: "cancel_requested", session: f.worker.id };
    expect(await f.cancel("a", "b")).toEqual([
      { ...asked, token: a.token },
      { ...asked, token: b.token },
    ]);
    await finish(f, a);
    expect(await f.release(b)).toEqual(["aborted"]);
    expect(await f.unchanged(() => completeStraight(f, a, b))).toEqual([false, false]);
    expect(await f.stats()).toMatchObject({ completed: 1, aborted: 1, leased: 0 });
  },
});

conformance("completeStraight", {
  "a lease that came the ordinary way is completed, or left alone": async (f) => {
    const lease = await f.leased("a");
    const [done] = await completeStraight(f, lease);
    expect(await f.state("a")).toBe(done ? undefined : "leased");
    expect(await f.complete(refOf(lease))).toEqual(["completed"]);
    expect(await f.stats()).toMatchObject({ completed: 1, leased: 0, bytes: 0 });
  },

  "a task that is kept, or has an external id, is left alone": async (f) => {
    const kept = await f.leased("a", { retentionMs: 1000 });
    const named = await f.leased("b", { externalId: "order" });
    expect(await f.unchanged(() => completeStraight(f, kept, named))).toEqual([false, false]);
    expect(await f.complete(refOf(kept), refOf(named))).toEqual(["completed", "completed"]);
  },

  "what is lost does not keep others from being completed": async (f) => {
    const both = await f.open("worker-2", [TOPIC, OTHER]);
    const items = [item(f, "a"), item(f, "b", { topic: OTHER, taker: both }), item(f, "c")];
    const leases = (await handOut(f, ...items)).map((lease, index) => ({
      ...lease,
      topic: topicOf(items, index),
    }));
    const [a, b, c] = leases;
    assert(a !== undefined && b !== undefined && c !== undefined);
    await f.release(a);
    const [first, ...rest] = await completeStraight(f, a, b, c);
    expect(first).toBe(false);
    expect(await f.ids("ready")).toEqual(["a"]);
    expect((await f.stats(OTHER)).leased).toBe(rest[0] ? 0 : 1);
    expect((await f.stats()).leased).toBe(rest[1] ? 0 : 1);
  },
});
