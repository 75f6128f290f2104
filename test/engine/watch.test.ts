import { describe, expect, test } from "vitest";
import { LIMITS } from "../../server/domain/limits.js";
import type { EventType, TaskqueueEvent } from "../../server/engine/events.js";
import { encodeEvents } from "../../server/engine/events.js";
import type { Watcher, WatchFilter } from "../../server/engine/watcher.js";
import { settle } from "../support/clock.js";
import { TestEngine, TOPIC } from "../support/engine.js";
import { newTask, topicName } from "../support/task-factory.js";
import { until } from "../support/until.js";

const OTHER = topicName("mails");

interface Filters {
  readonly topics?: readonly string[];
  readonly taskIds?: readonly string[];
  readonly externalIds?: readonly string[];
  readonly types?: readonly EventType[];
}

const filter = ({ topics = [], taskIds = [], externalIds = [], types = [] }: Filters = {}): WatchFilter => ({
  topics: new Set(topics),
  taskIds: new Set(taskIds),
  externalIds: new Set(externalIds),
  types: new Set(types),
});

/** Everything a watcher has to tell by now. */
async function read(watcher: Watcher): Promise<{ events: TaskqueueEvent[]; cursor: string; dropped: boolean }> {
  await settle();
  const events: TaskqueueEvent[] = [];
  let dropped = false;
  for (;;) {
    const page = watcher.take();
    events.push(...page.events);
    dropped ||= page.dropped;
    if (page.events.length === 0) return { events, cursor: page.cursor, dropped };
  }
}

const brief = (events: readonly TaskqueueEvent[]) => events.map(({ type, taskId }) => `${type} ${taskId}`);

describe("a watcher", () => {
  test("sees the life of a task in order, with what belongs to each event", async () => {
    await using engine = await TestEngine.start();
    const watcher = await engine.broker.watch(filter(), "");
    const worker = await engine.attach();
    await engine.enqueue(["a"], { externalId: "order-7", numRetries: 1 });
    await worker.read();
    await engine.clock.advance(250);
    worker.report({
      progress: [{ token: worker.task("a").token, progress: { fraction: 0.5, message: "half" } }],
    });
    await settle();
    worker.fail("a", { retryDelayMs: 10 });
    await engine.clock.advance(10);
    worker.credit(10);
    await worker.read();
    worker.complete("a");
    await worker.read();
    const { events, dropped } = await read(watcher);
    expect(dropped).toBe(false);
    expect(events).toMatchObject([
      { type: "TASK_ENQUEUE" },
      { type: "TASK_START", attempt: 1 },
      { type: "TASK_PROGRESS", attempt: 1, durationMs: 250, progress: { fraction: 0.5, message: "half" } },
      { type: "TASK_RETRY", attempt: 2, durationMs: 250, error: "a broke" },
      { type: "TASK_START", attempt: 2 },
      { type: "TASK_COMPLETION", attempt: 2, durationMs: 0 },
    ]);
    for (const event of events) {
      expect(event).toMatchObject({ topic: "clicks", taskId: "a", externalId: "order-7", broker: "broker-1" });
      if (event.type !== "TASK_ENQUEUE") expect(event.worker).toBe("worker-1");
    }
  });

  test("sees enqueue, start and completion of every task in that order, however many at once", async () => {
    await using engine = await TestEngine.start();
    const watcher = await engine.broker.watch(filter(), "");
    const workers = [
      await engine.attach({ slots: 3 }),
      await engine.attach({ slots: 4 }),
      await engine.attach({ slots: 5 }),
    ];
    const seen = new Map<string, string[]>();
    for (let round = 0; round < 60; round += 1) {
      for (let task = 0; task < 5; task += 1) void engine.enqueue([`r${round}-${task}`]);
      await settle(round % 3);
      for (const worker of workers) {
        await worker.read();
        worker.complete(...[...worker.held.values()].map(({ id }) => id));
        worker.credit(5);
      }
      for (const { type, taskId = "" } of (await read(watcher)).events) {
        seen.set(taskId, [...(seen.get(taskId) ?? []), type]);
      }
    }
    const orders = new Set([...seen.values()].filter((types) => types.length === 3).map((types) => types.join()));
    expect([...orders]).toEqual(["TASK_ENQUEUE,TASK_START,TASK_COMPLETION"]);
    expect(seen.size).toBe(300);
  });

  test("sees what people and failing workers do", async () => {
    await using engine = await TestEngine.start();
    const watcher = await engine.broker.watch(filter(), "");
    const worker = await engine.attach({ slots: 4 });
    await engine.enqueue(["dies", "back", "stopped", "lost"]);
    await engine.enqueue(["waits", "deleted"]);
    await worker.read();
    worker.fail("dies");
    worker.release("back");
    await engine.broker.cancel(
      TOPIC,
      ["stopped", "waits"].map((id) => newTask(id).id),
    );
    await worker.read();
    worker.fail("stopped");
    await worker.read();
    await engine.broker.requeue(TOPIC, { oldestDead: 10 });
    await engine.broker.remove(TOPIC, [newTask("deleted").id]);
    await worker.lose();
    await engine.clock.advance(4_000);
    const { events } = await read(watcher);
    const told = brief(events).filter((line) => !/ENQUEUE|START/.test(line));
    expect(told.toSorted()).toEqual([
      "TASK_CANCEL stopped",
      "TASK_CANCEL waits",
      "TASK_DELETE deleted",
      "TASK_EXPIRE lost",
      "TASK_FAILURE dies",
      "TASK_RELEASE back",
      "TASK_REQUEUE dies",
    ]);
  });

  test("sees only what passes every kind of its filter", async () => {
    await using engine = await TestEngine.start();
    const watchers = {
      topic: await engine.broker.watch(filter({ topics: ["mails"] }), ""),
      id: await engine.broker.watch(filter({ taskIds: ["a", "c"] }), ""),
      external: await engine.broker.watch(filter({ externalIds: ["x"] }), ""),
      type: await engine.broker.watch(filter({ types: ["TASK_START"] }), ""),
      both: await engine.broker.watch(filter({ topics: ["clicks"], externalIds: ["x"] }), ""),
    };
    const worker = await (await engine.attach()).read();
    await engine.enqueue(["a"], { externalId: "x" });
    await engine.enqueue(["b"]);
    await engine.enqueue(["c"], { externalId: "x" }, OTHER);
    await worker.read();
    const told = async (watcher: Watcher) => brief((await read(watcher)).events);
    expect(await told(watchers.topic)).toEqual(["TASK_ENQUEUE c"]);
    expect(await told(watchers.id)).toEqual(["TASK_ENQUEUE a", "TASK_START a", "TASK_ENQUEUE c"]);
    expect(await told(watchers.external)).toEqual(["TASK_ENQUEUE a", "TASK_START a", "TASK_ENQUEUE c"]);
    expect(await told(watchers.type)).toEqual(["TASK_START a", "TASK_START b"]);
    expect(await told(watchers.both)).toEqual(["TASK_ENQUEUE a", "TASK_START a"]);
  });

  test("sees what other brokers do", async () => {
    await using engine = await TestEngine.start();
    const other = await engine.another();
    const watcher = await engine.broker.watch(filter(), "");
    await other.clock.advance(2_000);
    await other.enqueue(["far"]);
    await engine.clock.advance(3_000);
    const { events } = await read(watcher);
    expect(events).toMatchObject([{ type: "TASK_ENQUEUE", taskId: "far", broker: "broker-2" }]);
    await other.stop();
  });

  test("that reads too slowly is told so, and goes on from now", async () => {
    await using engine = await TestEngine.start({ options: { eventsPerSecond: 0 } });
    const watcher = await engine.broker.watch(filter(), "");
    const many = LIMITS.watcherEventsMax / 1_000 + 1;
    for (let batch = 0; batch < many; batch += 1) {
      await engine.enqueue(Array.from({ length: 1_000 }, (_, index) => `b${batch}-${index}`));
      await settle();
    }
    const { dropped } = await read(watcher);
    expect(dropped).toBe(true);
    await engine.enqueue(["after"]);
    const next = await read(watcher);
    expect(next.dropped).toBe(false);
    expect(brief(next.events)).toEqual(["TASK_ENQUEUE after"]);
  });

  test("takes pages that fit a message, each with the cursor to go on from", async () => {
    await using engine = await TestEngine.start({ options: { eventsPerSecond: 0 } });
    const watcher = await engine.broker.watch(filter(), "");
    for (let batch = 0; batch < 4; batch += 1) {
      await engine.enqueue(Array.from({ length: 1_000 }, (_, index) => `b${batch}-${index}`));
      await settle();
    }
    const first = watcher.take();
    expect(first.events.length).toBeGreaterThan(0);
    expect(first.events.length).toBeLessThanOrEqual(500);
    const resumed = await engine.broker.watch(filter(), first.cursor);
    const rest = (await read(watcher)).events;
    expect(first.events.length + rest.length).toBe(4_000);
    expect(brief((await read(resumed)).events)).toEqual(brief(rest));
  });
});

describe("resuming after a cursor", () => {
  test("repeats nothing and leaves nothing out, whatever happens meanwhile", async () => {
    await using engine = await TestEngine.start();
    const whole = await engine.broker.watch(filter(), "");
    const seen: string[] = [];
    let cursor = (await read(whole)).cursor;
    let count = 0;
    for (let round = 0; round < 20; round += 1) {
      await engine.enqueue([`t${count++}`]);
      await settle(round % 5);
      // Joins while the hub and the log go on.
      const joining = engine.broker.watch(filter(), cursor);
      for (let extra = 0; extra < round % 4; extra += 1) {
        void engine.enqueue([`t${count++}`]);
        await settle(extra);
      }
      const watcher = await joining;
      await engine.enqueue([`t${count++}`]);
      await engine.clock.advance(100);
      const page = await read(watcher);
      expect(page.dropped).toBe(false);
      seen.push(...brief(page.events));
      cursor = page.cursor;
      engine.broker.unwatch(watcher);
    }
    const all = brief((await read(whole)).events);
    expect(all.length).toBe(count);
    expect(seen).toEqual(all);
  });

  test("works when nobody watched in between, as long as the log was kept", async () => {
    await using engine = await TestEngine.start({ options: { events: "always" } });
    const first = await engine.broker.watch(filter(), "");
    const { cursor } = await read(first);
    engine.broker.unwatch(first);
    await engine.enqueue(["missed"]);
    await engine.clock.advance(60_000);
    const again = await engine.broker.watch(filter(), cursor);
    await engine.enqueue(["seen"]);
    expect(brief((await read(again)).events)).toEqual(["TASK_ENQUEUE missed", "TASK_ENQUEUE seen"]);
  });

  test("works on another broker", async () => {
    await using engine = await TestEngine.start();
    const other = await engine.another();
    const first = await engine.broker.watch(filter(), "");
    await engine.enqueue(["one"]);
    const { cursor, events } = await read(first);
    expect(brief(events)).toEqual(["TASK_ENQUEUE one"]);
    await engine.enqueue(["two"]);
    await settle();
    const again = await other.broker.watch(filter(), cursor);
    await engine.enqueue(["three"]);
    await engine.clock.advance(3_000);
    expect(brief((await read(again)).events)).toEqual(["TASK_ENQUEUE two", "TASK_ENQUEUE three"]);
    await other.stop();
  });

  test("is served from the log, not from the broker's memory, when the events since are many megabytes", async () => {
    await using engine = await TestEngine.start();
    const first = await engine.broker.watch(filter(), "");
    const { cursor } = await read(first);
    const error = "x".repeat(40_000);
    const ids = Array.from({ length: 350 }, (_, index) => `task-${index}`);
    for (const taskId of ids) {
      const event: TaskqueueEvent = { type: "TASK_FAILURE", atMs: 0, broker: "b", topic: "clicks", taskId, error };
      await engine.backend.appendEvents(encodeEvents({ events: [event] }));
    }
    const seen: TaskqueueEvent[] = [];
    await until("the hub has read them all", async () => {
      await engine.clock.advance(2_000);
      seen.push(...(await read(first)).events);
      return seen.length === ids.length;
    });
    const reads = engine.rig.calls("readEvents");
    const again = await engine.broker.watch(filter(), cursor);
    // A page is 100 entries. Were all of them remembered, the first would do.
    expect(engine.rig.calls("readEvents") - reads).toBeGreaterThan(1);
    const { events, dropped } = await read(again);
    expect(events.map(({ taskId }) => taskId)).toEqual(ids);
    expect(dropped).toBe(false);
  });

  test("says that events are missing when the log no longer reaches back", async () => {
    await using engine = await TestEngine.start();
    const first = await engine.broker.watch(filter(), "");
    await engine.enqueue(["one"]);
    const { cursor } = await read(first);
    const event: TaskqueueEvent = { type: "TASK_ENQUEUE", atMs: 0, broker: "b", topic: "clicks", taskId: "x" };
    for (let index = 0; index < LIMITS.eventLogMax + 10; index += 1) {
      await engine.backend.appendEvents(encodeEvents({ events: [event] }));
    }
    const again = await engine.broker.watch(filter(), cursor);
    expect((await read(again)).dropped).toBe(true);
  });

  test("after a cursor of a log that is no more says so, and goes on from now", async () => {
    await using engine = await TestEngine.start();
    const watcher = await engine.broker.watch(filter(), "999999");
    expect(await read(watcher)).toMatchObject({ events: [], dropped: true });
    await engine.enqueue(["now"]);
    expect(brief((await read(watcher)).events)).toEqual(["TASK_ENQUEUE now"]);
  });

  test("is refused for a cursor that is none", async () => {
    await using engine = await TestEngine.start();
    await expect(engine.broker.watch(filter(), "nonsense")).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      field: "after",
    });
  });
});

describe("the log", () => {
  test("is not written while nobody watches", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    await settle();
    expect(engine.rig.calls("appendEvents")).toBe(0);
    const watcher = await engine.broker.watch(filter(), "");
    await engine.enqueue(["b"]);
    await settle();
    expect(engine.rig.calls("appendEvents")).toBe(1);
    engine.broker.unwatch(watcher);
    await engine.clock.advance(20_000);
    const before = engine.rig.calls("appendEvents");
    const reads = engine.rig.calls("readEvents");
    await engine.enqueue(["c"]);
    await engine.clock.advance(20_000);
    expect(engine.rig.calls("appendEvents")).toBe(before);
    expect(engine.rig.calls("readEvents")).toBe(reads);
  });

  test("takes many events in few calls", async () => {
    await using engine = await TestEngine.start();
    await engine.broker.watch(filter(), "");
    await Promise.all(Array.from({ length: 1_000 }, (_, index) => engine.enqueue([`t${index}`])));
    await settle();
    expect(engine.rig.calls("appendEvents")).toBeLessThan(5);
  });

  test("that is away slows no task, and watchers go on when it is back", async () => {
    await using engine = await TestEngine.start();
    const watcher = await engine.broker.watch(filter(), "");
    engine.rig.goAway("appendEvents", "readEvents", "announceWatch");
    const worker = await engine.attach();
    await engine.enqueue(["a"]);
    await worker.read();
    worker.complete("a");
    expect((await worker.read()).settled).toEqual([1]);
    await engine.clock.advance(5_000);
    engine.rig.comeBack();
    await engine.clock.advance(3_000);
    await engine.enqueue(["b"]);
    expect(brief((await read(watcher)).events)).toContain("TASK_ENQUEUE b");
  });

  test("bounds the number of watchers, and takes one more when one left", async () => {
    await using engine = await TestEngine.start();
    const watchers: Watcher[] = [];
    for (let index = 0; index < LIMITS.watchersMax; index += 1) {
      watchers.push(await engine.broker.watch(filter(), ""));
    }
    await expect(engine.broker.watch(filter(), "")).rejects.toMatchObject({ code: "TOO_MANY_WATCHERS" });
    const [first] = watchers;
    if (first) engine.broker.unwatch(first);
    await engine.broker.watch(filter(), "");
  });
});
