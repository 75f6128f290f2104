/** Tasks that went straight to a worker: nothing but their leases tells that their ids are in use. */
import { expect, test } from "vitest";
import type { TopicName } from "../../../../server/domain/ids.js";
import { nameKey } from "../../../../server/store/embedded/keys.js";
import { VERBS } from "../../../../server/store/embedded/verbs.js";
import { encodeRecord } from "../../../../server/store/record.js";
import type { TopicLeaseRef } from "../../../../server/store/store.js";
import { openEmbeddedState } from "../../../support/embedded-state.js";
import { NOW, newSession, newTask, sessionId, taskId, topicName } from "../../../support/task-factory.js";

const TOPIC = topicName("clicks");
const OTHER = topicName("orders");
const WINDOW_MS = 30_000;
const session = { id: sessionId("worker-1"), epoch: 1 };

function openState() {
  const opened = openEmbeddedState();
  const { state } = opened;
  VERBS.openSession(state, newSession(session.id, [TOPIC, OTHER]));
  const enqueue = (ids: readonly string[], { limit = ids.length, now = NOW } = {}) => {
    const tasks = ids.map((id) => newTask(id));
    const records = tasks.map((task) => ({ ...task, record: encodeRecord(task.head, task.spec) }));
    const demands = limit > 0 ? [{ session, limit, bytesMax: 10_000 }] : [];
    const options = { now, endedWindowMs: WINDOW_MS, tasksMax: 0, bytesMax: 0, demands };
    const answer = VERBS.enqueue(state, TOPIC, records, options);
    if (answer.kind === "full") throw new Error("the topic has no bounds");
    return answer;
  };
  /** One task of each id, in the topic named with it. */
  const enqueueStraight = (ids: readonly (readonly [TopicName, string])[], now = NOW) => {
    const tasks = ids.map(([topic, id]) => ({ topic, ...newTask(id) }));
    const records = tasks.map(({ head, spec }) => encodeRecord(head, spec));
    const takers = ids.map(() => session);
    const leased = VERBS.enqueueStraight(state, tasks, records, takers, { now, endedWindowMs: WINDOW_MS });
    return leased.flatMap((lease, index) =>
      lease === undefined ? [] : [{ topic: ids[index]?.[0] ?? TOPIC, ...lease }],
    );
  };
  const completeStraight = (leases: readonly TopicLeaseRef[], now = NOW) =>
    VERBS.completeStraight(state, leases, { now, endedWindowMs: WINDOW_MS });
  const scrub = () =>
    VERBS.scrub(state, TOPIC, { now: NOW, endedWindowMs: WINDOW_MS, repair: false, limit: 1_000 }).problems;
  const hasStatus = (id: string, topic = TOPIC) => {
    const { number } = state.topics.find(topic);
    return state.tables.status.get(nameKey(number, taskId(id))) !== undefined;
  };
  return {
    state,
    enqueue,
    enqueueStraight,
    completeStraight,
    scrub,
    hasStatus,
    /** As if the store was opened anew. */
    reload() {
      state.topics.save();
      state.topics.forget();
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

test("the ids of tasks that went straight are known, to whatever call, also after the topic was loaded anew", async () => {
  await using f = openState();
  const { created, leased } = f.enqueue(["b", "a", "b"]);
  expect(created).toEqual([true, true, false]);
  expect(leased.map(({ id }) => id)).toEqual(["b", "a"]);
  expect([f.hasStatus("a"), f.hasStatus("b")]).toEqual([false, false]);
  for (const limit of [2, 0]) expect(f.enqueue(["a", "b"], { limit })).toMatchObject({ created: [false, false] });
  f.reload();
  for (const limit of [2, 0]) expect(f.enqueue(["a", "b"], { limit })).toMatchObject({ created: [false, false] });
  expect(f.state.topics.find(TOPIC).figures).toMatchObject({ enqueued: 2, started: 2, leased: 2, ready: 0 });
  expect(f.scrub()).toEqual([]);
});

test("what ends such a lease gives the id a status", async () => {
  await using f = openState();
  const { leased } = f.enqueue(["a", "b", "c"]);
  const [a, b, c] = leased;
  if (a === undefined || b === undefined || c === undefined) throw new Error("three were leased");
  const ending = { now: NOW, endedWindowMs: WINDOW_MS };
  VERBS.complete(f.state, TOPIC, [a], ending);
  VERBS.release(f.state, TOPIC, [b], ending);
  VERBS.fail(f.state, TOPIC, [{ ...c, error: "x", next: { kind: "bury", reason: "do_not_retry" } }], ending);
  expect(["a", "b", "c"].map((id) => f.hasStatus(id))).toEqual([true, true, true]);
  f.reload();
  expect(f.enqueue(["a", "b", "c"])).toMatchObject({ created: [false, false, false], leased: [{ id: "b" }] });
  expect(f.scrub()).toEqual([]);
});

test("an id whose window is over goes straight again, and what it was is forgotten", async () => {
  await using f = openState();
  const [first] = f.enqueue(["a"]).leased;
  if (first === undefined) throw new Error("one was leased");
  VERBS.complete(f.state, TOPIC, [first], { now: NOW, endedWindowMs: WINDOW_MS });
  expect(f.enqueue(["a"], { now: NOW + WINDOW_MS - 1 }).created).toEqual([false]);
  const later = { now: NOW + WINDOW_MS, endedWindowMs: WINDOW_MS };
  const [again] = f.enqueue(["a"], { now: later.now }).leased;
  if (again === undefined) throw new Error("one was leased");
  expect(VERBS.complete(f.state, TOPIC, [first], later).outcomes).toEqual(["lease_lost"]);
  VERBS.prune(f.state, TOPIC, { ...later, limit: 10 });
  expect(f.enqueue(["a"], { now: later.now }).created).toEqual([false]);
  expect(VERBS.complete(f.state, TOPIC, [again], later).outcomes).toEqual(["completed"]);
  expect(VERBS.complete(f.state, TOPIC, [again], later).outcomes).toEqual(["completed"]);
  expect(f.scrub()).toEqual([]);
});

test("tasks of many topics go straight in one call, and are known like others, also after their topics were loaded anew", async () => {
  await using f = openState();
  const ids = [
    [TOPIC, "b"],
    [OTHER, "a"],
    [TOPIC, "c"],
  ] as const;
  expect(f.enqueueStraight(ids).map(({ topic, id }) => [topic, id])).toEqual(ids);
  for (const [topic, id] of ids) expect(f.hasStatus(id, topic)).toBe(false);
  f.reload();
  expect(f.enqueueStraight(ids)).toEqual([]);
  expect(f.enqueue(["b", "c"])).toMatchObject({ created: [false, false] });
  expect(f.state.topics.find(TOPIC).figures).toMatchObject({ enqueued: 2, started: 2, leased: 2, ready: 0 });
  expect(f.scrub()).toEqual([]);
});

test("a task that is declined takes with it what is behind it in its topic, and nothing of other topics", async () => {
  await using f = openState();
  f.enqueueStraight([[TOPIC, "a"]]);
  const leased = f.enqueueStraight([
    [TOPIC, "b"],
    [TOPIC, "a"],
    [OTHER, "a"],
    [TOPIC, "c"],
    [OTHER, "b"],
    [TOPIC, "d"],
  ]);
  expect(leased.map(({ topic, id }) => [topic, id])).toEqual([
    [TOPIC, "b"],
    [OTHER, "a"],
    [OTHER, "b"],
  ]);
  expect(f.state.topics.find(TOPIC).figures).toMatchObject({ enqueued: 2, started: 2, leased: 2, places: 2 });
});

test("tasks of one topic that follow each other share a row of leases, and leave it together", async () => {
  await using f = openState();
  const leased = f.enqueueStraight([
    [TOPIC, "a"],
    [TOPIC, "b"],
    [OTHER, "c"],
    [TOPIC, "d"],
  ]);
  const rows = () => f.state.tables.leased.keys(Buffer.of(0), Buffer.of(255), 10).length;
  expect(rows()).toBe(3);
  expect(f.completeStraight(leased.slice(0, 2))).toEqual([true, true]);
  expect(rows()).toBe(2);
  f.reload();
  expect(f.completeStraight(leased)).toEqual([false, false, true, true]);
  expect(rows()).toBe(0);
});

test("ids that ended in calls of many topics are forgotten once their window is over, by such a call or by any topic's prune", async () => {
  await using f = openState();
  f.completeStraight(
    f.enqueueStraight([
      [TOPIC, "a"],
      [OTHER, "b"],
    ]),
  );
  const soon = { now: NOW + WINDOW_MS - 1, endedWindowMs: WINDOW_MS };
  VERBS.prune(f.state, OTHER, { ...soon, limit: 10 });
  f.completeStraight(f.enqueueStraight([[OTHER, "c"]], soon.now), soon.now);
  expect([f.hasStatus("a"), f.hasStatus("b", OTHER)]).toEqual([true, true]);
  const later = NOW + WINDOW_MS;
  f.completeStraight(f.enqueueStraight([[OTHER, "d"]], later), later);
  expect([f.hasStatus("a"), f.hasStatus("b", OTHER), f.hasStatus("c", OTHER)]).toEqual([false, false, true]);
  VERBS.prune(f.state, topicName("unknown"), { now: later + WINDOW_MS, endedWindowMs: WINDOW_MS, limit: 10 });
  expect(["c", "d"].map((id) => f.hasStatus(id, OTHER))).toEqual([false, false]);
  expect(f.state.tables.ended.keys(Buffer.of(0), Buffer.of(255), 10)).toEqual([]);
});

test("an id that is in use again, or ended again, outlives what its first end wrote down", async () => {
  await using f = openState();
  f.completeStraight(
    f.enqueueStraight([
      [TOPIC, "a"],
      [TOPIC, "b"],
    ]),
  );
  const later = NOW + WINDOW_MS;
  const again = f.enqueueStraight(
    [
      [TOPIC, "a"],
      [TOPIC, "b"],
    ],
    later,
  );
  expect(again).toHaveLength(2);
  f.completeStraight(again.slice(0, 1), later);
  f.completeStraight(again.slice(1), later + 1);
  expect(f.enqueueStraight([[TOPIC, "a"]], later + 1)).toEqual([]);
  expect(f.enqueue(["a", "b"], { now: later + 1 })).toMatchObject({ created: [false, false] });
});

test("the epoch of a session that leased here is not the one that memory had before it was resumed, ended or closed", async () => {
  await using f = openState();
  const opens = (epoch: number, id: string) =>
    VERBS.enqueueStraight(
      f.state,
      [{ topic: TOPIC, ...newTask(id) }],
      [encodeRecord(newTask(id).head, newTask(id).spec)],
      [{ ...session, epoch }],
      { now: NOW, endedWindowMs: WINDOW_MS },
    )[0] !== undefined;
  expect([opens(1, "a"), opens(2, "b")]).toEqual([true, false]);
  const by = { broker: "b", address: "x", expiresAtMs: NOW + 1 };
  VERBS.resumeSession(f.state, { id: session.id, secret: newSession(session.id, []).secret }, by);
  expect([opens(1, "c"), opens(2, "d")]).toEqual([false, true]);
  VERBS.closeSession(f.state, { ...session, epoch: 2 });
  expect(opens(2, "e")).toBe(false);
});
