/** Tasks that went straight to a worker: nothing but their leases tells that their ids are in use. */
import { expect, test } from "vitest";
import { nameKey } from "../../../../server/store/embedded/keys.js";
import { VERBS } from "../../../../server/store/embedded/verbs.js";
import { encodeRecord } from "../../../../server/store/record.js";
import { openEmbeddedState } from "../../../support/embedded-state.js";
import { NOW, newSession, newTask, sessionId, taskId, topicName } from "../../../support/task-factory.js";

const TOPIC = topicName("clicks");
const WINDOW_MS = 30_000;
const session = { id: sessionId("worker-1"), epoch: 1 };

function openState() {
  const opened = openEmbeddedState();
  const { state } = opened;
  VERBS.openSession(state, newSession(session.id, [TOPIC]));
  const enqueue = (ids: readonly string[], { limit = ids.length, now = NOW } = {}) => {
    const tasks = ids.map((id) => newTask(id));
    const records = tasks.map(({ id, head, spec, dueAtMs }) => ({
      id,
      head,
      dueAtMs,
      record: encodeRecord(head, spec),
    }));
    const demands = limit > 0 ? [{ session, limit, bytesMax: 10_000 }] : [];
    const options = { now, endedWindowMs: WINDOW_MS, tasksMax: 0, bytesMax: 0, demands };
    const answer = VERBS.enqueue(state, TOPIC, records, options);
    if (answer.kind === "full") throw new Error("the topic has no bounds");
    return answer;
  };
  const scrub = () =>
    VERBS.scrub(state, TOPIC, { now: NOW, endedWindowMs: WINDOW_MS, repair: false, limit: 1_000 }).problems;
  const hasStatus = (id: string) => {
    const { number } = state.topics.find(TOPIC);
    return state.tables.status.get(nameKey(number, taskId(id))) !== undefined;
  };
  return {
    state,
    enqueue,
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
