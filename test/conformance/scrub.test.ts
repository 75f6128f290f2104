import { expect } from "vitest";
import type { ScrubProblem } from "../../server/store/store.js";
import { newTask, newTasks, topicName } from "../support/task-factory.js";
import { conformance, type Fixture, refOf } from "./suite.js";

/** Walks the topic through; gives what was found, and how many pieces it took. */
async function scrub(f: Fixture, { repair = true, limit = 1000, topic = f.topic } = {}) {
  const problems: ScrubProblem[] = [];
  let checked = 0;
  let after: string | undefined;
  for (let pieces = 1; ; pieces += 1) {
    const piece = await f.store.scrub(topic, {
      ...f.ending,
      repair,
      limit,
      ...(after === undefined ? {} : { after }),
    });
    problems.push(...piece.problems);
    checked += piece.checked;
    if (piece.next === undefined) return { problems, checked, pieces };
    expect(pieces).toBeLessThan(10_000);
    after = piece.next;
  }
}

/** Tasks in every state, with everything that can be kept of one. */
async function everyState(f: Fixture): Promise<void> {
  const kept = { externalId: "order 7", retentionMs: 60_000, priority: -1 };
  await f.complete({ ...refOf(await f.leased("completed", kept)), result: Buffer.from("result") } as never);
  await f.bury(await f.leased("dead", kept));
  await f.retry(await f.leased("retried", kept), 5000);
  await f.enqueue([newTask("scheduled", { ...kept, dueAtMs: f.now + 1 }), newTask("cancelled", kept)]);
  await f.cancel("scheduled", "cancelled");
  const running = await f.leased("running", { ...kept, priority: -2 });
  await f.store.progress(f.topic, [{ ...refOf(running), progress: { fraction: 0.5, message: "half" } }]);
  await f.cancel("running");
  await f.lease(1);
  await f.enqueue(newTasks(30, { spec: "x".repeat(300), externalId: "many" }));
  await f.enqueue(newTasks(5, { dueAtMs: f.now + 500 }, "later"));
  await f.enqueue([newTask("large", { spec: "x".repeat(20_000), retentionMs: 5 })]);
  await f.lease(7);
  await f.expire(f.worker.id, { limit: 2 });
}

conformance("scrub", {
  "a topic that does not exist has no problems, and is not created": async (f) => {
    expect(await scrub(f, { topic: topicName("unknown") })).toMatchObject({ problems: [], pieces: 1 });
    expect((await f.store.topics({ limit: 10 })).rows).toEqual([]);
  },

  "tasks in every state are no problem, and are left as they are": async (f) => {
    await everyState(f);
    const answer = await f.unchanged(() => scrub(f));
    expect(answer.problems).toEqual([]);
    expect(answer.checked).toBeGreaterThanOrEqual(40);
  },

  "the pieces of a walk are of the size asked for, about, and find the same": async (f) => {
    await everyState(f);
    const answer = await f.unchanged(() => scrub(f, { limit: 1 }));
    expect(answer.problems).toEqual([]);
    expect(answer.checked).toBeGreaterThanOrEqual(40);
  },

  "what moves while a walk goes on is no problem": async (f) => {
    await everyState(f);
    const options = { ...f.ending, repair: true, limit: 3 };
    const problems: ScrubProblem[] = [];
    for (let after: string | undefined, step = 0; step < 200; step += 1) {
      const piece = await f.store.scrub(f.topic, { ...options, ...(after === undefined ? {} : { after }) });
      problems.push(...piece.problems);
      await f.add(`new-${step}`, { externalId: "new", retentionMs: step % 2 === 0 ? 10 : 0 });
      const session = await f.open(`s-${step}`);
      const [first, second] = await f.lease(2, session);
      if (first !== undefined) await f.complete(first);
      if (second !== undefined) await f.release(second);
      f.advance(20);
      await f.store.promote(f.topic, { now: f.now, limit: 10 });
      await f.store.prune(f.topic, { ...f.ending, limit: 10 });
      await f.expire(session.id);
      await f.store.closeSession(session);
      if (piece.next === undefined) break;
      after = piece.next;
    }
    expect(problems).toEqual([]);
  },

  "leases of a session that was closed without ending them are released uncharged": async (f) => {
    const session = await f.open("lost");
    await f.enqueue([newTask("a"), newTask("b"), newTask("c", { retentionMs: 1000 })]);
    await f.lease(3, session);
    await f.cancel("c");
    await f.store.closeSession(session);
    const told = await scrub(f, { repair: false });
    const orphan = (id: string, repaired: boolean) => expect.objectContaining({ kind: "orphan_lease", id, repaired });
    expect(told.problems).toHaveLength(3);
    expect(told.problems).toEqual(expect.arrayContaining(["a", "b", "c"].map((id) => orphan(id, false))));
    expect(await f.ids("leased")).toHaveLength(3);

    const wakes = await f.wakes(async () => {
      const mended = await scrub(f);
      expect(mended.problems).toEqual(expect.arrayContaining(["a", "b", "c"].map((id) => orphan(id, true))));
    });
    expect(wakes).toContainEqual({ kind: "ready", topic: f.topic });
    expect(await f.ids("ready")).toEqual(["a", "b"]);
    expect(await f.get("a")).toMatchObject({ lostLeases: 0, failures: 0 });
    expect(await f.state("c")).toBe("cancelled");
    expect((await scrub(f)).problems).toEqual([]);
  },

  "leases of a session that is being expired are left to that": async (f) => {
    await f.enqueue(newTasks(3));
    await f.lease(3);
    await f.store.expiredSessions({ now: f.now + 60_000, limit: 10 });
    await f.expire(f.worker.id, { limit: 1 });
    expect((await f.unchanged(() => scrub(f))).problems).toEqual([]);
  },

  "a cursor of something else is refused": async (f) => {
    await f.enqueue(newTasks(3));
    for (const after of ["", "x", Buffer.from('["scrub"]').toString("base64url")]) {
      const refused = f.store.scrub(f.topic, { ...f.ending, repair: true, limit: 1, after });
      await expect(refused).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    }
  },
});
