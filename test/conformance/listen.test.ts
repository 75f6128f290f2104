import { expect } from "vitest";
import { newTask, newTasks, topicName } from "../support/task-factory.js";
import { conformance, type Fixture } from "./suite.js";

const OTHER = topicName("other");
const READY = { kind: "ready", topic: "clicks" };
const promote = (f: Fixture) => f.store.promote(f.topic, { now: f.now, limit: 100 });

conformance("listen", {
  "`ready` comes when the input queue was empty and is no longer, and not again": async (f) => {
    expect(await f.wakes(() => f.enqueue(newTasks(3)))).toEqual([READY]);
    expect(await f.wakes(() => f.add("a"))).toEqual([]);
    expect(await f.wakes(() => f.enqueue(newTasks(3)))).toEqual([]);
    await f.lease(10);
    expect(await f.wakes(() => f.add("b"))).toEqual([READY]);
  },

  "`ready` does not come when a demand in the same step takes everything": async (f) => {
    const enqueue = (ids: string[]) =>
      f.store.enqueue(
        f.topic,
        ids.map((id) => newTask(id)),
        { ...f.enqueuing, demands: [f.demand(2)] },
      );
    expect(await f.wakes(() => enqueue(["a", "b"]))).toEqual([]);
    expect(await f.wakes(() => enqueue(["c", "d", "e"]))).toEqual([READY]);
  },

  "`ready` comes however a task gets ready: retry, release, expire, requeue": async (f) => {
    const retried = await f.leased("a");
    expect(await f.wakes(() => f.retry(retried, 0))).toEqual([READY]);
    const released = await f.leaseOne();
    expect(await f.wakes(() => f.release(released))).toEqual([READY]);
    const buried = await f.leaseOne();
    expect(await f.wakes(() => f.bury(buried))).toEqual([]);
    expect(await f.wakes(() => f.requeue("a"))).toEqual([READY]);
    await f.lease(1);
    expect(await f.wakes(() => f.expire(f.worker.id))).toEqual([READY]);
  },

  "several tasks that get ready at once wake once": async (f) => {
    await f.enqueue(newTasks(5));
    const leases = await f.lease(5);
    expect(await f.wakes(() => f.release(...leases))).toEqual([READY]);
  },

  "`due` comes when the earliest due moment moves forward, and tells it": async (f) => {
    const due = (ms: number) => ({ kind: "due", topic: "clicks", atMs: f.now + ms });
    const add = (ms: number) => f.add(`t${ms}`, { dueAtMs: f.now + ms });
    expect(await f.wakes(() => add(500))).toEqual([due(500)]);
    expect(await f.wakes(() => add(600))).toEqual([]);
    expect(await f.wakes(() => add(400))).toEqual([due(400)]);
    const batch = [300, 200, 350].map((ms) => newTask(`t${ms}`, { dueAtMs: f.now + ms }));
    expect(await f.wakes(() => f.enqueue(batch))).toEqual([due(200)]);
  },

  "`due` comes by a retry too": async (f) => {
    const [a, b] = [await f.leased("a"), await f.leased("b")];
    expect(await f.wakes(() => f.retry(a, 1000))).toEqual([{ kind: "due", topic: "clicks", atMs: f.now + 1000 }]);
    expect(await f.wakes(() => f.retry(b, 2000))).toEqual([]);
  },

  "a promotion wakes with `ready`, and what is due later with nothing": async (f) => {
    await f.enqueue([newTask("a", { dueAtMs: f.now + 1 }), newTask("b", { dueAtMs: f.now + 2 })]);
    expect(await f.wakes(() => promote(f))).toEqual([]);
    f.advance(1);
    expect(await f.wakes(() => promote(f))).toEqual([READY]);
    f.advance(1);
    expect(await f.wakes(() => promote(f))).toEqual([]);
  },

  "both come when a call changes both": async (f) => {
    const tasks = [newTask("now"), newTask("later", { dueAtMs: f.now + 5 })];
    const wakes = await f.wakes(() => f.enqueue(tasks));
    expect(wakes).toHaveLength(2);
    expect(wakes).toEqual(expect.arrayContaining([READY, { kind: "due", topic: "clicks", atMs: f.now + 5 }]));
  },

  "`cancel` names the lease whose task is to be cancelled": async (f) => {
    const { session, token } = await f.leased("a");
    await f.add("waiting");
    const wakes = await f.wakes(() => f.cancel("waiting", "a", "unknown"));
    expect(wakes).toEqual([{ kind: "cancel", topic: "clicks", session, token }]);
  },

  "`settings` comes with every configuration, and `ready` when there is something to do": async (f) => {
    const settings = { kind: "settings", topic: "clicks" };
    const configure = (paused: boolean) => f.wakes(() => f.store.configure(f.topic, { paused }));
    expect(await configure(false)).toEqual([settings]);
    await f.add("a");
    expect(await configure(true)).toEqual([settings]);
    expect(await configure(false)).toEqual([settings, READY]);
  },

  "what ends tasks, or only reads, wakes nobody": async (f) => {
    await f.enqueue(newTasks(9, { retentionMs: 1 }));
    const lease = await f.leaseOne();
    const wakes = await f.wakes(async () => {
      await f.lease(2);
      await f.complete(lease);
      await f.remove("t0003");
      await f.store.purge(f.topic, "completed", 9);
      await f.store.prune(f.topic, { ...f.ending, limit: 9 });
      await f.store.held(f.topic, f.worker.id);
      await f.picture();
      await f.lease(9);
    });
    expect(wakes).toEqual([]);
  },

  "a message names its own topic": async (f) => {
    await f.add("a");
    expect(await f.wakes(() => f.enqueue([newTask("a")], OTHER))).toEqual([{ kind: "ready", topic: "other" }]);
  },

  "a message follows its change": async (f) => {
    const ready: Promise<number>[] = [];
    const stop = f.store.listen((wake) => {
      if (wake.kind === "ready") ready.push(f.stats().then((stats) => stats.ready));
    });
    await f.wakes(() => f.enqueue(newTasks(7)));
    stop();
    expect(await Promise.all(ready)).toEqual([7]);
  },

  "all listeners hear; one that stopped hears nothing more": async (f) => {
    const heard = { first: 0, second: 0 };
    const stopFirst = f.store.listen(() => (heard.first += 1));
    const stopSecond = f.store.listen(() => (heard.second += 1));
    await f.wakes(() => f.add("a"));
    expect(heard.first).toBeGreaterThan(0);
    expect(heard.second).toBe(heard.first);
    stopFirst();
    const before = heard.first;
    await f.lease(1);
    await f.wakes(() => f.add("b"));
    stopSecond();
    expect(heard.first).toBe(before);
    expect(heard.second).toBeGreaterThan(before);
  },
});
