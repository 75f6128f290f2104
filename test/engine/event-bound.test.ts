/** Events on a broker that makes more of them than may be told. */
import { describe, expect, test } from "vitest";
import { LIMITS } from "../../server/domain/limits.js";
import type { EventType, TaskqueueEvent } from "../../server/engine/events.js";
import type { Watcher, WatchFilter } from "../../server/engine/watcher.js";
import { settle } from "../support/clock.js";
import { type LeaseStream, TestEngine } from "../support/engine.js";
import { topicName } from "../support/task-factory.js";

const MAILS = topicName("mails");
const PER_SECOND = 100;

const filter = (wanted: Partial<Record<keyof WatchFilter, readonly string[]>> = {}): WatchFilter => ({
  topics: new Set(wanted.topics),
  taskIds: new Set(wanted.taskIds),
  externalIds: new Set(wanted.externalIds),
  types: new Set(wanted.types as readonly EventType[] | undefined),
});

function read(watcher: Watcher): { events: TaskqueueEvent[]; cursor: string; dropped: boolean } {
  const events: TaskqueueEvent[] = [];
  for (let dropped = false; ; ) {
    const page = watcher.take();
    events.push(...page.events);
    dropped ||= page.dropped;
    if (page.events.length === 0) return { events, cursor: page.cursor, dropped };
  }
}

const start = (perSecond = PER_SECOND) => TestEngine.start({ options: { eventsPerSecond: perSecond } });

/** Enqueues 50 tasks every 10 ms, for as long. */
async function flood(engine: TestEngine, ms: number, name = "task"): Promise<void> {
  for (let turn = 0; turn < ms / 10; turn += 1) {
    await engine.enqueue(Array.from({ length: 50 }, (_, index) => `${name}-${turn}-${index}`));
    await engine.clock.advance(10);
  }
}

/** Lets the log's turn end, and the events be read: by other brokers they are read as they wait. */
const rest = (engine: TestEngine) => engine.clock.advance(2_500);

async function work(worker: LeaseStream): Promise<void> {
  await worker.read();
  worker.complete(...[...worker.held.values()].map(({ id }) => id));
  worker.credit(50);
}

describe("beyond the bound", () => {
  test("no more is appended than it says, and the watcher is told that it missed some", async () => {
    await using engine = await start();
    const watcher = await engine.broker.watch(filter(), "");
    await flood(engine, 4_000);
    await rest(engine);
    const { events, dropped } = read(watcher);
    expect(events.length).toBeGreaterThan(3 * PER_SECOND);
    expect(events.length).toBeLessThanOrEqual(5 * PER_SECOND);
    expect(dropped).toBe(true);
    expect(engine.broker.eventsDropped).toBe(400 * 50 - events.length);
  });

  test("the events told are whole stories, once the broker knows how much there is", async () => {
    await using engine = await start(500);
    const watcher = await engine.broker.watch(filter(), "");
    const worker = await engine.attach({ slots: 50 });
    const types = new Map<string, EventType[]>();
    for (let turn = 0; turn < 400; turn += 1) {
      await engine.enqueue(Array.from({ length: 30 }, (_, index) => `task-${turn}-${index}`));
      await work(worker);
      await engine.clock.advance(10);
    }
    await work(worker);
    await rest(engine);
    for (const { taskId = "", type } of read(watcher).events) types.set(taskId, [...(types.get(taskId) ?? []), type]);
    const late = [...types].filter(([id]) => Number(id.split("-")[1]) >= 150).map(([, told]) => told.join());
    expect(late.length).toBeGreaterThan(100);
    const whole = late.filter((told) => told === "TASK_ENQUEUE,TASK_START,TASK_COMPLETION").length;
    expect(whole / late.length).toBeGreaterThan(0.95);
  });

  test("rare events are told all the same", async () => {
    await using engine = await start();
    const watcher = await engine.broker.watch(filter(), "");
    const failures = await engine.broker.watch(filter({ types: ["TASK_FAILURE"] }), "");
    await engine.enqueue(["fails"], {}, MAILS);
    const worker = await engine.attach({ subscriptions: [{ topic: MAILS, concurrency: 0, weight: 1 }] });
    await worker.read();
    await flood(engine, 1_000);
    worker.fail("fails", { doNotRetry: true });
    await flood(engine, 500, "more");
    await rest(engine);
    const isFailure = ({ type }: TaskqueueEvent) => type === "TASK_FAILURE";
    expect(read(watcher).events.filter(isFailure)).toMatchObject([{ taskId: "fails" }]);
    // Of the kind it asked for this one missed none.
    expect(read(failures)).toMatchObject({ events: [{ taskId: "fails" }], dropped: false });
  });

  test("a quiet topic is told whole, and its watchers missed nothing", async () => {
    await using engine = await start();
    const watcher = await engine.broker.watch(filter({ topics: ["mails"] }), "");
    for (let turn = 0; turn < 50; turn += 1) {
      await flood(engine, 100, `flood-${turn}`);
      await engine.enqueue([`mail-${turn}`], {}, MAILS);
    }
    await rest(engine);
    // The first ones may come while nobody knows yet how much there is to tell.
    const ids = read(watcher).events.map(({ taskId }) => taskId);
    expect(ids.slice(-30)).toEqual(Array.from({ length: 30 }, (_, index) => `mail-${20 + index}`));
    await engine.enqueue(["mail"], {}, MAILS);
    await flood(engine, 500, "late");
    await rest(engine);
    expect(read(watcher)).toMatchObject({ events: [{ taskId: "mail" }], dropped: false });
  });

  test("tasks that a watcher of this broker asked for by id are told, and it missed nothing", async () => {
    await using engine = await start();
    const other = await engine.another();
    await flood(engine, 200, "before");
    const wanted = ["task-30-7", "task-60-49"];
    const watcher = await engine.broker.watch(filter({ taskIds: wanted }), "");
    const far = await other.broker.watch(filter({ taskIds: wanted }), "");
    await flood(engine, 1_000);
    await rest(engine);
    const { events, dropped } = read(watcher);
    expect(events.map(({ taskId }) => taskId)).toEqual(wanted);
    expect(dropped).toBe(false);
    // Another broker cannot vouch for it.
    expect(read(far).dropped).toBe(true);
    engine.broker.unwatch(watcher);
    await other.stop();
  });

  test("a watcher that asks by id is told of what was dropped before it asked", async () => {
    await using engine = await start();
    const early = await engine.broker.watch(filter(), "");
    const { cursor } = read(early);
    await flood(engine, 500);
    const watcher = await engine.broker.watch(filter({ taskIds: ["task-30-7"] }), cursor);
    await rest(engine);
    expect(read(watcher).dropped).toBe(true);
  });
});

describe("what was dropped", () => {
  test("is told soon when nothing else happens", async () => {
    await using engine = await start();
    const watcher = await engine.broker.watch(filter(), "");
    await engine.enqueue(Array.from({ length: 500 }, (_, index) => `task-${index}`));
    await settle();
    const first = read(watcher);
    const appended = engine.rig.calls("appendEvents");
    await engine.clock.advance(200);
    expect(first.dropped || read(watcher).dropped).toBe(true);
    await engine.clock.advance(10_000);
    expect(engine.rig.calls("appendEvents") - appended).toBeLessThanOrEqual(1);
  });

  test("is told to those who come after a cursor, on any broker", async () => {
    await using engine = await start();
    const other = await engine.another();
    const first = await engine.broker.watch(filter(), "");
    const { cursor } = read(first);
    engine.broker.unwatch(first);
    await flood(engine, 500);
    await rest(engine);
    for (const broker of [engine.broker, other.broker]) {
      const again = await broker.watch(filter(), cursor);
      const page = read(again);
      expect(page.events.length).toBeGreaterThan(0);
      expect(page.dropped).toBe(true);
      // From the end on there is nothing to tell.
      const later = await broker.watch(filter(), page.cursor);
      await rest(engine);
      expect(read(later)).toMatchObject({ events: [], dropped: false });
    }
    await other.stop();
  });

  test("is told when the log was away, and it is not asked without end", async () => {
    await using engine = await start();
    const watcher = await engine.broker.watch(filter(), "");
    engine.rig.goAway("appendEvents");
    await engine.enqueue(["lost"]);
    await engine.clock.advance(5_000);
    expect(engine.rig.calls("appendEvents")).toBeLessThan(10);
    expect(read(watcher)).toMatchObject({ events: [], dropped: false });
    engine.rig.comeBack();
    await engine.clock.advance(1_500);
    expect(read(watcher)).toMatchObject({ events: [], dropped: true });
    await engine.enqueue(["told"]);
    await rest(engine);
    expect(read(watcher)).toMatchObject({ events: [{ taskId: "told" }], dropped: false });
  });

  test("keeps no broker from stopping while the log is away", async () => {
    const engine = await start();
    await engine.broker.watch(filter(), "");
    engine.rig.goAway("appendEvents");
    await flood(engine, 100);
    await engine.stop();
    expect(engine.rig.calls("appendEvents")).toBeLessThan(10);
  });
});

describe("watchers together", () => {
  test("have a bounded number of events, of which each sees the same; rare ones and narrow filters come first", async () => {
    const engine = await start(0);
    const count = 200;
    const all: Watcher[] = [];
    for (let index = 0; index < count; index += 1) all.push(await engine.broker.watch(filter(), ""));
    const narrow = await engine.broker.watch(filter({ topics: ["mails"] }), "");
    await engine.enqueue(["fails"], {}, MAILS);
    const worker = await engine.attach({ subscriptions: [{ topic: MAILS, concurrency: 0, weight: 1 }] });
    await worker.read();
    await flood(engine, 1_000);
    worker.fail("fails", { doNotRetry: true });
    await flood(engine, 1_000, "more");
    await rest(engine);
    const share = LIMITS.watchedEventsPerSecond / (count + 1);
    const [first, ...others] = all.map(read);
    expect(first?.events.length).toBeLessThanOrEqual(5 * share);
    expect(first?.events.length).toBeGreaterThan(share);
    expect(first?.events.filter(({ type }) => type === "TASK_FAILURE").length).toBe(1);
    expect(first?.dropped).toBe(true);
    for (const page of others) expect(page).toEqual(first);
    const { events, dropped } = read(narrow);
    expect(events.map(({ type }) => type)).toEqual(["TASK_ENQUEUE", "TASK_START", "TASK_FAILURE"]);
    expect(dropped).toBe(false);
    await engine.stop();
  });
});
