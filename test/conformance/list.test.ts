import { expect } from "vitest";
import { TASK_STATES, type TaskState } from "../../server/domain/states.js";
import { allPages } from "../support/snapshot.js";
import { newTask, newTasks, topicName } from "../support/task-factory.js";
import { conformance, type Fixture, idsOf, refOf } from "./suite.js";

const PREFIXES = ["a", "b", "c", "d", "e"];
const retentionMs = 1000;

/** 2,500 tasks in a state: 500 per prefix, prefix by prefix, a millisecond between every two prefixes. */
async function fill(f: Fixture, state: TaskState): Promise<void> {
  const due = state === "scheduled" ? f.now + 60_000 : 0;
  for (const [index, prefix] of PREFIXES.entries()) {
    // Two prefixes share each moment, so that equal moments straddle pages.
    const dueAtMs = due === 0 ? 0 : due - Math.floor(index / 2);
    await f.enqueue(newTasks(500, { retentionMs, dueAtMs }, prefix));
    f.advance(index % 2);
    if (state === "cancelled") await f.cancel(...idsOf(newTasks(500, {}, prefix)));
    if (state === "scheduled" || state === "ready" || state === "cancelled") continue;
    const leases = await f.lease(500);
    if (state === "completed") await f.complete(...leases);
    if (state !== "dead") continue;
    const next = { kind: "bury", reason: "do_not_retry" } as const;
    await f.store.fail(
      f.topic,
      leases.map((lease) => ({ ...refOf(lease), error: "", next })),
      f.ending,
    );
  }
}

/** How `fill` must be listed. */
function expectedIds(state: TaskState): string[] {
  const prefixes = state === "scheduled" ? ["e", "c", "d", "a", "b"] : PREFIXES;
  return prefixes.flatMap((prefix) => idsOf(newTasks(500, {}, prefix)));
}

const paging = Object.fromEntries(
  TASK_STATES.map((state) => [
    `2500 ${state} tasks are paged through, each once and in order`,
    async (f: Fixture) => {
      await fill(f, state);
      for (const limit of [1000, 333]) expect(await f.ids(state, limit)).toEqual(expectedIds(state));
    },
  ]),
);

conformance("list", {
  ...paging,

  "an empty state is one empty page": async (f) => {
    for (const state of TASK_STATES) expect(await f.store.list(f.topic, { state, limit: 10 })).toEqual({ rows: [] });
    expect(await f.store.list(f.topic, { externalId: "e", limit: 10 })).toEqual({ rows: [] });
    expect((await f.store.topics({ limit: 10 })).rows).toEqual([]);
  },

  "the last page says so, even when it is full": async (f) => {
    await f.enqueue(newTasks(4));
    const first = await f.store.list(f.topic, { state: "ready", limit: 2 });
    expect(first.next).toBeTypeOf("string");
    const second = await f.store.list(f.topic, { state: "ready", limit: 2, after: first.next ?? "" });
    expect(idsOf(second.rows)).toEqual(["t0002", "t0003"]);
    expect(second.next).toBeUndefined();
  },

  "ready tasks come by place": async (f) => {
    await f.enqueue([newTask("z"), newTask("y", { priority: 1 }), newTask("x", { priority: -1 }), newTask("a")]);
    expect(await f.ids("ready", 1)).toEqual(["x", "z", "a", "y"]);
  },

  "scheduled tasks come by due moment, then place": async (f) => {
    const [soon, late] = [f.now + 1, f.now + 2];
    await f.enqueue([newTask("z", { dueAtMs: late }), newTask("y", { dueAtMs: soon, priority: 1 })]);
    await f.enqueue([newTask("x", { dueAtMs: soon }), newTask("w", { dueAtMs: late, priority: -1 })]);
    expect(await f.ids("scheduled", 1)).toEqual(["x", "y", "w", "z"]);
  },

  "leased tasks come by session, then id": async (f) => {
    const sessions = [await f.open("B"), await f.open("a"), await f.open("A")];
    await f.enqueue(["m", "c", "Z", "b", "0", "z"].map((id) => newTask(id)));
    for (const session of [...sessions, ...sessions]) await f.lease(1, session);
    expect((await f.all("leased", 1)).map((task) => `${task.lease?.session} ${task.id}`)).toEqual([
      "A Z",
      "A z",
      "B b",
      "B m",
      "a 0",
      "a c",
    ]);
  },

  "ended tasks come by the moment they ended, then place": async (f) => {
    await f.enqueue([newTask("d"), newTask("c", { priority: 1 }), newTask("b"), newTask("a", { priority: -1 })]);
    const leases = await f.lease(4);
    const bury = async (id: string) => {
      for (const lease of leases) if (lease.id === id) await f.bury(lease);
    };
    for (const id of ["c", "b"]) await bury(id);
    f.advance(1);
    for (const id of ["d", "a"]) await bury(id);
    expect(await f.ids("dead", 1)).toEqual(["b", "c", "a", "d"]);
  },

  "an external id is listed in every state, in order of id": async (f) => {
    const externalId = "order 1";
    await f.bury(await f.leased("z-dead", { externalId }));
    await f.complete(await f.leased("completed", { externalId, retentionMs }));
    await f.add("B-cancelled", { externalId, retentionMs });
    await f.cancel("B-cancelled");
    await f.leased("leased", { externalId });
    await f.add("a-scheduled", { externalId, dueAtMs: f.now + 1 });
    await f.add("0-ready", { externalId });
    await f.add("other", { externalId: "order 10" });
    await f.add("none");
    const list = (limit: number, state?: TaskState) =>
      allPages((page) => f.store.list(f.topic, { ...page, externalId, ...(state && { state }), limit }));
    const ids = ["0-ready", "B-cancelled", "a-scheduled", "completed", "leased", "z-dead"];
    for (const limit of [100, 6, 5, 1]) expect(idsOf(await list(limit))).toEqual(ids);
    expect((await list(100)).map((row) => row.state)).toEqual(ids.map((id) => id.split("-").at(-1)));
    for (const state of TASK_STATES) expect((await list(1, state)).map((row) => row.state)).toEqual([state]);
  },

  "an external id forgets tasks that are gone": async (f) => {
    const externalId = "e";
    await f.complete(await f.leased("completed", { externalId }));
    await f.complete(await f.leased("pruned", { externalId, retentionMs: 1 }));
    await f.add("cancelled", { externalId });
    await f.cancel("cancelled");
    await f.bury(await f.leased("removed", { externalId }));
    await f.bury(await f.leased("purged", { externalId }));
    await f.remove("removed");
    await f.store.purge(f.topic, "dead", 10);
    const aborted = await f.leased("aborted", { externalId });
    await f.cancel("aborted");
    await f.release(aborted);
    f.advance(1);
    await f.store.prune(f.topic, { ...f.ending, limit: 10 });
    expect(await f.store.list(f.topic, { externalId, limit: 10 })).toEqual({ rows: [] });
  },

  "2500 tasks of one external id are paged through": async (f) => {
    for (const prefix of PREFIXES) await f.enqueue(newTasks(500, { externalId: "e" }, prefix));
    await f.enqueue(newTasks(500, { externalId: "f" }, "f"));
    const rows = await allPages((query) => f.store.list(f.topic, { ...query, externalId: "e" }), 700);
    expect(idsOf(rows)).toEqual(expectedIds("ready"));
  },

  "tasks that stay are seen exactly once while others come and go": async (f) => {
    await f.enqueue(newTasks(100));
    const seen: string[] = [];
    let after: string | undefined;
    for (let page = 0; ; page += 1) {
      const { rows, next } = await f.store.list(f.topic, { state: "ready", limit: 10, ...(after && { after }) });
      seen.push(...idsOf(rows));
      if (next === undefined) break;
      after = next;
      // What was seen goes, the cursor's own task too; the end loses a task; new ones come in front.
      await f.remove(...idsOf(rows), `t00${99 - page}`);
      await f.enqueue([newTask(`front-${page}`, { priority: -1 })]);
    }
    expect(seen).toEqual(idsOf(newTasks(91)));
  },

  "a cursor goes on after tasks that were put at its own moment": async (f) => {
    const dueAtMs = f.now + 5;
    await f.enqueue(newTasks(3, { dueAtMs }));
    const page = await f.store.list(f.topic, { state: "scheduled", limit: 2 });
    await f.enqueue([newTask("before", { dueAtMs: f.now + 4 }), newTask("after", { dueAtMs })]);
    const rest = await f.store.list(f.topic, { state: "scheduled", limit: 9, after: page.next ?? "" });
    expect(idsOf(rest.rows)).toEqual(["t0002", "after"]);
  },

  "a cursor of another query is refused": async (f) => {
    await f.enqueue(newTasks(3, { externalId: "e" }));
    await f.enqueue(newTasks(3, { externalId: "e", dueAtMs: f.now + 1 }, "s"));
    const list = (query: object, after?: string) =>
      f.store.list(f.topic, { limit: 1, ...query, ...(after && { after }) });
    const queries = [{ state: "ready" }, { state: "scheduled" }, { externalId: "e" }, { externalId: "f" }];
    const cursors = await Promise.all(queries.map(async (query) => (await list(query)).next ?? ""));
    for (const [made, cursor] of cursors.entries()) {
      for (const [used, query] of queries.entries()) {
        if (made === used || cursor === "") continue;
        await expect(list(query, cursor)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      }
    }
  },

  "a cursor it did not make is refused": async (f) => {
    await f.enqueue(newTasks(3));
    const garbage = ["x", "0", "-1", "{}", "[]", "null", "ready", "ready:", "AAAA", "é", "\0", "%", "=".repeat(500)];
    for (const after of garbage) {
      for (const query of [{ state: "ready" }, { externalId: "e" }, { state: "dead" }] as const) {
        const page = f.store.list(f.topic, { ...query, limit: 1, after });
        await expect(page, JSON.stringify(after)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      }
    }
  },

  "topics are listed apart": async (f) => {
    const other = topicName("clicks:ready");
    await f.enqueue([newTask("a", { externalId: "e" })]);
    await f.enqueue([newTask("b", { externalId: "e" })], other);
    expect(idsOf((await f.store.list(other, { externalId: "e", limit: 9 })).rows)).toEqual(["b"]);
    expect(idsOf((await f.store.list(other, { state: "ready", limit: 9 })).rows)).toEqual(["b"]);
    expect(await f.ids("ready")).toEqual(["a"]);
  },

  "specs and results travel with the rows": async (f) => {
    const lease = refOf(await f.leased("a", { spec: "the spec", retentionMs }));
    await f.store.complete(f.topic, [{ ...lease, result: Buffer.from("the result") }], f.ending);
    const [row] = (await f.store.list(f.topic, { state: "completed", limit: 1 })).rows;
    expect(Buffer.from(row?.spec ?? []).toString()).toBe("the spec");
    expect(Buffer.from(row?.result ?? []).toString()).toBe("the result");
  },
});
