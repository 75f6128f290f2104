/** What a scrub does about damage, which here is done to the tables by hand. */
import { expect, test } from "vitest";
import type { Change } from "../../../../server/store/embedded/change.js";
import { externalKey, nameKey, topicBounds } from "../../../../server/store/embedded/keys.js";
import { VERBS } from "../../../../server/store/embedded/verbs.js";
import { encodeRecord } from "../../../../server/store/record.js";
import type { ScrubProblem } from "../../../../server/store/store.js";
import { openEmbeddedState } from "../../../support/embedded-state.js";
import { NOW, newSession, newTask, newTasks, sessionId, topicName } from "../../../support/task-factory.js";

const TOPIC = topicName("clicks");
const ending = { now: NOW, endedWindowMs: 30_000 };
const session = { id: sessionId("worker-1"), epoch: 1 };

/** One completed task that is kept, one leased, two ready, one scheduled. */
function openState() {
  const opened = openEmbeddedState();
  const { state } = opened;
  VERBS.openSession(state, newSession(session.id, [TOPIC]));
  const kept = newTask("kept", { retentionMs: 60_000, externalId: "order", priority: -1 });
  const tasks = [kept, ...newTasks(3), newTask("later", { dueAtMs: NOW + 5000 })];
  const records = tasks.map((task) => ({ ...task, record: encodeRecord(task.head, task.spec) }));
  VERBS.enqueue(state, TOPIC, records, { ...ending, tasksMax: 0, bytesMax: 0 });
  const demands = [{ session, limit: 2, bytesMax: 1_000_000 }];
  const { leased } = VERBS.lease(state, TOPIC, demands, { now: NOW });
  VERBS.complete(state, TOPIC, leased.slice(0, 1), ending);
  const damage = (how: (change: Change) => void) => state.change(TOPIC, how);
  const walk = (repair: boolean) => {
    const problems: ScrubProblem[] = [];
    for (let after: string | undefined; ; ) {
      const call = { ...ending, repair, limit: 3, ...(after === undefined ? {} : { after }) };
      const piece = VERBS.scrub(state, TOPIC, call);
      problems.push(...piece.problems);
      if (piece.next === undefined) return problems;
      after = piece.next;
    }
  };
  const finds = (...expected: readonly object[]) => {
    const told = walk(false);
    for (const problem of expected)
      expect(told).toContainEqual(expect.objectContaining({ ...problem, repaired: false }));
    const mended = walk(true);
    for (const problem of expected)
      expect(mended).toContainEqual(expect.objectContaining({ ...problem, repaired: true }));
    // What a repair moved, the figures follow in the next walk.
    walk(true);
    expect(walk(false)).toEqual([]);
  };
  return {
    damage,
    finds,
    walk,
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

test("an undamaged topic has no problems", async () => {
  await using f = openState();
  expect(f.walk(true)).toEqual([]);
});

test("a status without its task is removed", async () => {
  await using f = openState();
  f.damage(({ tables, topic }) => {
    const { start, end } = topicBounds(topic.number);
    for (const key of tables.ready.keys(start, end, 10)) tables.ready.remove(key);
    for (const key of tables.parked.keys(start, end, 10)) tables.parked.remove(key);
  });
  f.finds(
    { kind: "ghost_entry", id: "t0001" },
    { kind: "ghost_entry", id: "later" },
    { kind: "ghost_entry", id: "kept" },
    { kind: "wrong_retention" },
    { kind: "wrong_index", id: "kept" },
    { kind: "wrong_count" },
    { kind: "wrong_bytes" },
  );
});

test("tasks that are not found by their ids are found again", async () => {
  await using f = openState();
  f.damage(({ tables, topic }) => {
    for (const id of ["t0001", "later", "kept"]) tables.status.remove(nameKey(topic.number, id));
  });
  f.finds({ kind: "stray_task", id: "t0001" }, { kind: "stray_task", id: "later" }, { kind: "stray_task", id: "kept" });
});

test("a task in two states keeps the one in which it is least lost", async () => {
  await using f = openState();
  f.damage(({ tables, topic }) => {
    const { start, end } = topicBounds(topic.number);
    const [row] = tables.ready.rows(start, end, 1);
    const length = row?.value.readUInt16BE() ?? 0;
    const body = row?.value.subarray(2, 2 + length) ?? Buffer.alloc(0);
    const [parked = Buffer.alloc(0)] = tables.parked.keys(start, end, 1);
    tables.parked.put(Buffer.concat([parked.subarray(0, 5), Buffer.alloc(6), body.subarray(2, 12)]), body);
  });
  f.finds({ kind: "two_states", id: "t0001" });
});

test("leases of a session whose record was lost are released", async () => {
  await using f = openState();
  f.damage(({ tables }) => void tables.session.remove(Buffer.from(session.id)));
  f.finds({ kind: "orphan_lease", id: "t0000" });
});

test("indexes and retentions are put right", async () => {
  await using f = openState();
  f.damage(({ tables, topic }) => {
    tables.external.remove(externalKey(topic.number, "order", "kept"));
    tables.external.put(externalKey(topic.number, "order", "t0001"), Buffer.of(0));
    const { start, end } = topicBounds(topic.number);
    for (const key of tables.retention.keys(start, end, 10)) tables.retention.remove(key);
  });
  f.finds(
    { kind: "wrong_index", id: "kept" },
    { kind: "wrong_index", id: "t0001" },
    { kind: "wrong_retention", id: "kept" },
  );
});

test("wrong figures are set, when the topic held still", async () => {
  await using f = openState();
  f.damage(({ topic }) => {
    topic.figures.bytes += 7;
    topic.figures.scheduled += 1;
    topic.figures.released -= 2;
  });
  f.finds({ kind: "wrong_bytes" }, { kind: "wrong_count" });
});
