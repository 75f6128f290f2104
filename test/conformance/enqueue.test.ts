import { expect } from "vitest";
import { encodeRecord } from "../../server/store/record.js";
import { NOW, newTask, newTasks, taskId, topicName } from "../support/task-factory.js";
import { conformance, enqueued, idsOf } from "./suite.js";

const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, index) => index);

conformance("enqueue", {
  "a task that is due at once is ready": async (f) => {
    expect(await f.enqueue([newTask("a")])).toMatchObject({ created: [true], leased: [], ready: 1, lostSessions: [] });
    expect(await f.get("a")).toMatchObject({ id: "a", state: "ready", failures: 0, lostLeases: 0, error: "" });
    expect(await f.stats()).toMatchObject({ enqueued: 1, ready: 1, scheduled: 0 });
  },

  "a task that is due later is scheduled, to the millisecond": async (f) => {
    await f.enqueue([newTask("now", { dueAtMs: f.now }), newTask("later", { dueAtMs: f.now + 1 })]);
    expect(await f.state("now")).toBe("ready");
    expect(await f.get("later")).toMatchObject({ state: "scheduled", dueAtMs: f.now + 1 });
    expect(await f.stats()).toMatchObject({ ready: 1, scheduled: 1, nextDueMs: f.now + 1 });
  },

  "the whole head comes back as it was given": async (f) => {
    const head = {
      enqueuedAtMs: NOW - 7,
      priority: -3,
      externalId: "order 4711",
      retentionMs: 86_400_000,
      numRetries: 1_000_000,
      timeoutMs: 24 * 86_400_000,
      backoff: { initialMs: 0, factor: 1.1, maxMs: 2_073_600_000, jitter: 0.3 },
    };
    await f.add("full", head);
    await f.add("bare");
    await f.add("zeros", { numRetries: 0, timeoutMs: 0, priority: 0 });
    expect((await f.get("full"))?.head).toEqual(head);
    expect((await f.get("bare"))?.head).toEqual({ enqueuedAtMs: NOW, priority: 0, externalId: "", retentionMs: 0 });
    expect((await f.get("zeros"))?.head).toMatchObject({ numRetries: 0, timeoutMs: 0 });
    expect((await f.lease(3)).find((leased) => leased.id === "full")?.head).toEqual(head);
  },

  "a spec may hold every byte value, nothing at all, or look like a record": async (f) => {
    const specs = { all: ALL_BYTES, none: new Uint8Array(0), record: Buffer.from("\n\tx=y\n\0\r\n") };
    for (const [id, spec] of Object.entries(specs)) await f.add(id, { spec, externalId: "x" });
    for (const leased of await f.lease(3)) {
      const spec = specs[leased.id as keyof typeof specs];
      expect(Buffer.from(leased.spec)).toEqual(Buffer.from(spec));
      const [record] = await f.store.get(f.topic, [leased.id]);
      expect(Buffer.from(record?.spec ?? [])).toEqual(Buffer.from(spec));
    }
  },

  "a spec of 1 MiB comes back whole": async (f) => {
    const spec = Buffer.alloc(1024 * 1024, ALL_BYTES);
    const leased = await f.leased("large", { spec });
    expect(spec.equals(leased.spec)).toBe(true);
    expect(leased.bytes).toBe(encodeRecord(newTask("large").head, spec).length);
    expect(await f.stats()).toMatchObject({ bytes: leased.bytes });
  },

  "an external id may hold any text": async (f) => {
    const texts = ["ключ 鍵 🗝", "p=1,x=2", '"quoted" \\ back', "{brace}", "é".repeat(127), " "];
    for (const [index, externalId] of texts.entries()) await f.add(`t${index}`, { externalId });
    for (const [index, externalId] of texts.entries()) {
      const page = await f.store.list(f.topic, { externalId, limit: 10 });
      expect(page.rows.map((row) => [row.id, row.head.externalId])).toEqual([[`t${index}`, externalId]]);
    }
  },

  "ids may look like anything a name may": async (f) => {
    const ids = [
      "__proto__",
      "constructor",
      "0",
      "-1",
      "007",
      "1e3",
      "a:b",
      "a:b:c",
      "/",
      "a/../b",
      "~",
      "=",
      "A",
      "a",
    ];
    await f.enqueue(ids.map((id) => newTask(id)));
    expect(await f.ids("ready")).toEqual(ids);
    expect(idsOf(await f.lease(100))).toEqual(ids);
  },

  "ids and topics do not run into each other": async (f) => {
    const topics = ["a", "a:b", "a:b:c", "A", "a/b", "_"].map(topicName);
    for (const topic of topics) await f.enqueue([newTask("x", { spec: topic }), newTask("b:x")], topic);
    for (const topic of topics) {
      expect(Buffer.from((await f.store.get(topic, [taskId("x")]))[0]?.spec ?? []).toString()).toBe(topic);
      expect((await f.stats(topic)).ready).toBe(2);
    }
    await f.store.remove(topicName("a"), [taskId("b:x")]);
    expect((await f.stats(topicName("a:b"))).ready).toBe(2);
  },

  "an id that exists in any state is left as it is": async (f) => {
    const dead = await f.leased("dead");
    await f.bury(dead);
    await f.complete(await f.leased("completed", { retentionMs: 1000 }));
    await f.add("cancelled", { retentionMs: 1000 });
    await f.cancel("cancelled");
    await f.leased("leased");
    await f.add("scheduled", { dueAtMs: f.now + 1 });
    await f.add("ready");
    const ids = ["dead", "completed", "cancelled", "leased", "scheduled", "ready"];
    const again = ids.map((id) => newTask(id, { spec: "other", priority: -1, externalId: "other" }));
    await f.unchanged(async () => expect((await f.enqueue(again)).created).toEqual(ids.map(() => false)));
  },

  "an id that occurs twice in a call is created once, as it was first": async (f) => {
    const tasks = [newTask("a", { spec: "1" }), newTask("b"), newTask("a", { spec: "2" })];
    expect((await f.enqueue(tasks)).created).toEqual([true, true, false]);
    expect(await f.get("a")).toMatchObject({ spec: "bytes 1" });
    expect(await f.stats()).toMatchObject({ enqueued: 2, ready: 2 });
  },

  "old and new ids mix in one call": async (f) => {
    await f.add("b");
    expect((await f.enqueue([newTask("a"), newTask("b"), newTask("c")])).created).toEqual([true, false, true]);
    expect(await f.ids("ready")).toEqual(["b", "a", "c"]);
  },

  "an id that ended is recognised until its window is over, and forgotten after two": async (f) => {
    await f.complete(await f.leased("completed"));
    await f.add("cancelled");
    await f.cancel("cancelled");
    const aborted = await f.leased("aborted");
    await f.cancel("aborted");
    await f.release(aborted);
    const tasks = ["completed", "cancelled", "aborted"].map((id) => newTask(id));
    expect((await f.enqueue(tasks)).created).toEqual([false, false, false]);
    f.advance(f.endedWindowMs - 1);
    expect((await f.enqueue(tasks)).created).toEqual([false, false, false]);
    f.advance(f.endedWindowMs + 1);
    expect((await f.enqueue(tasks)).created).toEqual([true, true, true]);
  },

  "ids that ended at different times are forgotten each in its time": async (f) => {
    const stepMs = f.endedWindowMs / 3;
    for (let step = 0; step < 12; step += 1) {
      const ends = Array.from({ length: step }, (_, index) => ({ id: `t${index}`, agoMs: (step - index) * stepMs }));
      for (const { id, agoMs } of ends) {
        if (agoMs < f.endedWindowMs) expect((await f.enqueue([newTask(id)])).created).toEqual([false]);
      }
      const gone = ends.filter(({ agoMs }) => agoMs >= 2 * f.endedWindowMs);
      const created = (await f.enqueue(gone.map(({ id }) => newTask(id)))).created;
      expect(created).toEqual(gone.map(() => true));
      await f.remove(...gone.map(({ id }) => id));
      await f.complete(await f.leased(`t${step}`));
      f.advance(stepMs);
    }
  },

  "with a window of 0 an ended id is forgotten at once": async (f) => {
    const off = { ...f.enqueuing, endedWindowMs: 0 };
    await f.store.enqueue(f.topic, [newTask("a"), newTask("b")], off);
    const [a] = await f.lease();
    await f.store.complete(f.topic, a === undefined ? [] : [a], off);
    await f.store.cancel(f.topic, [taskId("b")], off);
    const again = await f.store.enqueue(f.topic, [newTask("a"), newTask("b")], off);
    expect(enqueued(again).created).toEqual([true, true]);
  },

  "a kept task is recognised however old, and once pruned by its window": async (f) => {
    await f.complete(await f.leased("long", { retentionMs: 10 * f.endedWindowMs }));
    await f.complete(await f.leased("short", { retentionMs: 1 }));
    const prune = () => f.store.prune(f.topic, { ...f.ending, limit: 100 });
    f.advance(1);
    expect(await prune()).toMatchObject({ pruned: 1 });
    expect(await f.state("short")).toBeUndefined();
    expect((await f.enqueue([newTask("short"), newTask("long")])).created).toEqual([false, false]);
    f.advance(9 * f.endedWindowMs);
    await prune();
    expect((await f.enqueue([newTask("short"), newTask("long")])).created).toEqual([true, false]);
  },

  "a bound on tasks holds for the whole call, at the limit and one beyond": async (f) => {
    const bounded = { ...f.enqueuing, tasksMax: 3 };
    await f.add("a");
    const refused = await f.unchanged(() => f.store.enqueue(f.topic, newTasks(3), bounded));
    expect(refused).toMatchObject({ kind: "full", tasks: 1 });
    expect(enqueued(await f.store.enqueue(f.topic, newTasks(2), bounded)).created).toEqual([true, true]);
    expect(await f.store.enqueue(f.topic, [newTask("z")], bounded)).toMatchObject({ kind: "full", tasks: 3 });
  },

  "a bound on tasks counts every state": async (f) => {
    await f.bury(await f.leased("dead"));
    await f.complete(await f.leased("completed", { retentionMs: 1000 }));
    await f.add("cancelled", { retentionMs: 1000 });
    await f.cancel("cancelled");
    await f.leased("leased");
    await f.add("scheduled", { dueAtMs: f.now + 1 });
    const enqueue = (tasksMax: number) => f.store.enqueue(f.topic, [newTask("x")], { ...f.enqueuing, tasksMax });
    expect(await enqueue(5)).toMatchObject({ kind: "full", tasks: 5 });
    expect(await enqueue(6)).toMatchObject({ kind: "enqueued" });
  },

  "a bound on bytes holds for the whole call, at the limit and one beyond": async (f) => {
    const tasks = [newTask("a", { spec: "x".repeat(100) }), newTask("b", { spec: "y".repeat(200), externalId: "é" })];
    const bytes = tasks.reduce((sum, { head, spec }) => sum + encodeRecord(head, spec).length, 0);
    const enqueue = (bytesMax: number) => f.store.enqueue(f.topic, tasks, { ...f.enqueuing, bytesMax });
    expect(await f.unchanged(() => enqueue(bytes - 1))).toEqual({ kind: "full", tasks: 0, bytes: 0 });
    expect(await enqueue(bytes)).toMatchObject({ kind: "enqueued" });
    expect(await f.stats()).toMatchObject({ bytes });
    const more = await f.store.enqueue(f.topic, [newTask("c")], { ...f.enqueuing, bytesMax: bytes });
    expect(more).toEqual({ kind: "full", tasks: 2, bytes });
  },

  "a full topic recognises what it knows": async (f) => {
    await f.add("a");
    await f.complete(await f.leased("ended"));
    const full = { ...f.enqueuing, tasksMax: 1, bytesMax: 1 };
    const known = enqueued(await f.store.enqueue(f.topic, [newTask("a"), newTask("ended")], full));
    expect(known.created).toEqual([false, false]);
    const mixed = await f.store.enqueue(f.topic, [newTask("a"), newTask("b")], full);
    expect(mixed).toMatchObject({ kind: "full" });
  },

  "only new tasks count towards a bound, and each once": async (f) => {
    await f.add("a");
    const tasks = [newTask("a"), newTask("b"), newTask("b"), newTask("a")];
    expect(await f.store.enqueue(f.topic, tasks, { ...f.enqueuing, tasksMax: 2 })).toMatchObject({
      created: [false, true, false, false],
    });
  },

  "a refused call does not create the topic": async (f) => {
    const topic = topicName("refused");
    await f.store.enqueue(topic, [newTask("a"), newTask("b")], { ...f.enqueuing, tasksMax: 1 });
    expect((await f.store.topics({ limit: 10 })).rows).toEqual([]);
    expect(await f.store.get(topic, [taskId("a")])).toEqual([undefined]);
  },

  "a refused call serves no demands": async (f) => {
    await f.add("a");
    const options = { ...f.enqueuing, tasksMax: 1, demands: [f.demand(5)] };
    await f.unchanged(() => f.store.enqueue(f.topic, [newTask("b")], options));
  },

  "demands are served in the same step, from old and new tasks by place": async (f) => {
    await f.enqueue([newTask("old"), newTask("last", { priority: 9 })]);
    const tasks = [newTask("new"), newTask("first", { priority: -1 }), newTask("later", { dueAtMs: f.now + 1 })];
    const answer = enqueued(await f.store.enqueue(f.topic, tasks, { ...f.enqueuing, demands: [f.demand(3)] }));
    expect(idsOf(answer.leased)).toEqual(["first", "old", "new"]);
    expect(answer).toMatchObject({ created: [true, true, true], ready: 1, lostSessions: [] });
    expect(await f.state("new")).toBe("leased");
  },

  "demands are served also when nothing is new": async (f) => {
    await f.add("a");
    const options = { ...f.enqueuing, demands: [f.demand(1)] };
    const answer = enqueued(await f.store.enqueue(f.topic, [newTask("a")], options));
    expect(idsOf(answer.leased)).toEqual(["a"]);
    expect(answer.created).toEqual([false]);
  },

  "an enqueue to a paused topic is accepted, and hands out nothing": async (f) => {
    await f.store.configure(f.topic, { paused: true });
    const answer = await f.store.enqueue(f.topic, [newTask("a")], { ...f.enqueuing, demands: [f.demand(1)] });
    expect(enqueued(answer)).toMatchObject({ created: [true], leased: [], ready: 0, lostSessions: [] });
    expect(await f.stats()).toMatchObject({ ready: 1 });
  },

  "a call takes 1000 tasks and keeps their order": async (f) => {
    const tasks = newTasks(1000);
    expect((await f.enqueue(tasks)).created).toEqual(tasks.map(() => true));
    expect((await f.enqueue(tasks)).created).toEqual(tasks.map(() => false));
    expect(idsOf(await f.lease(1000))).toEqual(idsOf(tasks));
  },

  "calls at the same time lose nothing and create an id once": async (f) => {
    const calls = Array.from({ length: 10 }, (_, call) => f.enqueue([...newTasks(20), newTask(`own-${call}`)]));
    const created = (await Promise.all(calls)).flatMap((answer) => answer.created);
    expect(created.filter(Boolean).length).toBe(30);
    expect(await f.stats()).toMatchObject({ enqueued: 30, ready: 30 });
  },
});
