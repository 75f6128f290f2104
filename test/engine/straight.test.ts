import { describe, expect, test } from "vitest";
import { type LeaseStream, subscription, TestEngine, TOPIC } from "../support/engine.js";
import { newTask, topicName } from "../support/task-factory.js";
import { until } from "../support/until.js";

const OTHER = topicName("mails");
const TOPICS = Array.from({ length: 20 }, (_, index) => topicName(`topic-${index}`));
const DIRECT = { endedWindowMs: 0, tasksMax: 0, bytesMax: 0 };

/** A broker and a worker of it that serves all topics. */
async function start(topics = [TOPIC, OTHER]): Promise<{ engine: TestEngine; worker: LeaseStream }> {
  const engine = await TestEngine.start();
  const worker = await engine.attach({ slots: 100, subscriptions: topics.map((topic) => subscription(topic)) });
  // Until it has asked, a broker does not know that nothing waits.
  await worker.read();
  return { engine, worker };
}

/** Stores a task behind the broker's back, which does not get to know of it. */
async function storeElsewhere(engine: TestEngine, id: string): Promise<void> {
  engine.rig.mute();
  await engine.backend.enqueue(TOPIC, [newTask(id)], { now: engine.clock.now(), ...DIRECT });
}

describe("plain tasks that find nobody waiting and a hungry worker", () => {
  test("share one call of the store, whatever their topics, and so do their completions", async () => {
    const { engine, worker } = await start(TOPICS);
    await using _ = engine;
    const enqueuedAtMs = engine.broker.now();
    const tasks = TOPICS.map((topic, index) => ({ ...newTask(`t${index}`, { enqueuedAtMs }), topic }));
    expect(await engine.broker.enqueue(tasks)).toEqual(TOPICS.map(() => true));
    expect((await worker.read()).delivered).toEqual(tasks.map(({ id }) => id));
    const number = worker.complete(...worker.delivered);
    await until("the report is stored", async () => (await worker.read()).settled.includes(number));
    const calls = (["enqueueStraight", "enqueue", "completeStraight", "complete"] as const).map((verb) =>
      engine.rig.calls(verb),
    );
    expect(calls).toEqual([1, 0, 1, 0]);
    for (const topic of TOPICS) {
      expect(await engine.stats(topic)).toMatchObject({ enqueued: 1, started: 1, completed: 1, leased: 0 });
    }
  });

  test("are on their way to the worker before their producer is told", async () => {
    const { engine, worker } = await start();
    await using _ = engine;
    const order: string[] = [];
    // What the stream has to say is written in the tick after.
    worker.session.outbox.whenFilled(() => process.nextTick(() => order.push("worker")));
    await engine.enqueue(["a"]).then(() => order.push("producer"));
    expect(order).toEqual(["worker", "producer"]);
    expect((await worker.read()).delivered).toEqual(["a"]);
    expect(engine.rig.calls("enqueueStraight")).toBe(1);
  });

  test("go through their lane where there is a bound, an option, or no credit", async () => {
    const { engine, worker } = await start();
    await using _ = engine;
    await engine.broker.configure(TOPIC, () => ({ paused: false, tasksMax: 2 }));
    await engine.enqueue(["bounded"]);
    await worker.read();
    await engine.enqueue(["urgent"], { priority: -1 }, OTHER);
    await worker.read();
    worker.credit(0);
    await engine.enqueue(["waits"], {}, OTHER);
    expect(engine.rig.calls("enqueueStraight")).toBe(0);
    expect((await worker.read()).delivered).toEqual(["bounded", "urgent"]);
    expect(await engine.stats(OTHER)).toMatchObject({ ready: 1, leased: 1 });
    await expect(engine.enqueue(["two", "three"])).rejects.toMatchObject({ code: "TOPIC_FULL" });
  });

  test("are no more than the worker has credit for", async () => {
    const { engine, worker } = await start();
    await using _ = engine;
    worker.say({ slots: 3 });
    await engine.enqueue(["a", "b", "c", "d", "e"]);
    expect((await worker.read()).delivered).toEqual(["a", "b", "c"]);
    worker.complete("a");
    worker.credit(1);
    expect((await worker.read()).delivered).toEqual(["a", "b", "c", "d"]);
    expect(await engine.stats()).toMatchObject({ started: 4, ready: 1 });
  });
});

describe("order", () => {
  test("holds for what the store declines, and for what came behind it in the request", async () => {
    const { engine, worker } = await start();
    await using _ = engine;
    await storeElsewhere(engine, "first");
    worker.say({ slots: 2 });
    await engine.enqueue(["second", "third", "fourth"]);
    expect((await worker.read()).delivered).toEqual(["first", "second"]);
    worker.complete("first", "second");
    worker.credit(10);
    expect((await worker.read()).delivered).toEqual(["first", "second", "third", "fourth"]);
  });

  test("holds for what comes to the lane while others of the topic are on the straight way", async () => {
    const { engine, worker } = await start();
    await using _ = engine;
    await storeElsewhere(engine, "first");
    worker.say({ slots: 0 });
    await worker.read();
    worker.say({ slots: 1 });
    const release = engine.rig.hold("enqueueStraight");
    const second = engine.enqueue(["second"]);
    await until("it is under way", () => engine.rig.calls("enqueueStraight") === 1);
    const others = [engine.enqueue(["third"], { externalId: "x" }), engine.enqueue(["fourth"])];
    await worker.read();
    expect(engine.rig.calls("enqueue")).toBe(0);
    release();
    await Promise.all([second, ...others]);
    worker.credit(10);
    expect((await worker.read()).delivered).toEqual(["first", "second", "third", "fourth"]);
  });

  test("a task with options is not overtaken by a plain one of its request", async () => {
    const { engine, worker } = await start();
    await using _ = engine;
    worker.say({ slots: 1 });
    const enqueuedAtMs = engine.broker.now();
    await engine.broker.enqueue([
      { ...newTask("first", { enqueuedAtMs, externalId: "x" }), topic: TOPIC },
      { ...newTask("mail", { enqueuedAtMs }), topic: OTHER },
      { ...newTask("second", { enqueuedAtMs }), topic: TOPIC },
    ]);
    worker.credit(10);
    const delivered = (await worker.read()).delivered.filter((id) => id !== "mail");
    expect(delivered).toEqual(["first", "second"]);
  });
});

describe("a call of the straight way whose answer is lost", () => {
  test("leaves no lease that nobody knows of, and the producer may repeat", async () => {
    const { engine, worker } = await start();
    await using _ = engine;
    engine.rig.loseAnswers("enqueueStraight");
    await expect(engine.enqueue(["a", "b"])).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    engine.rig.comeBack();
    await engine.clock.advance(6_000);
    expect((await worker.read()).delivered).toEqual(["a", "b"]);
    expect(await engine.enqueue(["a", "b"])).toEqual([false, false]);
    expect(await engine.stats()).toMatchObject({ enqueued: 2, started: 4, released: 2, leased: 2 });
  });

  test("is made up for by the lane, which repeats completions until they are stored", async () => {
    const { engine, worker } = await start();
    await using _ = engine;
    await engine.enqueue(["a", "b"]);
    await worker.read();
    engine.rig.loseAnswers("completeStraight");
    engine.rig.goAway("complete");
    const number = worker.complete("a", "b");
    await worker.read();
    expect(worker.settled).toEqual([]);
    engine.rig.comeBack();
    await engine.clock.advance(1_000);
    expect((await worker.read()).settled).toEqual([number]);
    expect(worker.lost).toEqual([]);
    expect(await engine.stats()).toMatchObject({ completed: 2, leased: 0 });
  });
});

test("a straight task that was cancelled, or whose lease was lost, is completed or told of as any", async () => {
  const { engine, worker } = await start();
  await using _ = engine;
  await engine.enqueue(["lost", "marked"]);
  await worker.read();
  const { session, token } = (await engine.task("lost"))?.lease ?? {};
  if (session === undefined || token === undefined) throw new Error("it is not leased");
  const lease = { id: newTask("lost").id, session, token };
  await engine.backend.release(TOPIC, [lease], { now: engine.clock.now(), endedWindowMs: 0 });
  await engine.backend.cancel(TOPIC, [newTask("marked").id], { now: engine.clock.now(), endedWindowMs: 0 });
  const lostToken = worker.task("lost").token;
  worker.complete("lost", "marked");
  await worker.read();
  expect(worker.lost).toContain(lostToken);
  expect(await engine.stats()).toMatchObject({ completed: 1, released: 1 });
});

test("after the store declined, a topic's tasks go through their lane for a while, and longer each time", async () => {
  const { engine, worker } = await start();
  await using _ = engine;
  engine.rig.mute();
  const tried = async (id: string): Promise<boolean> => {
    const before = engine.rig.calls("enqueueStraight");
    await engine.enqueue([id]);
    worker.complete(...[...(await worker.read()).held.values()].map((task) => task.id));
    await worker.read();
    return engine.rig.calls("enqueueStraight") > before;
  };
  for (const waitMs of [100, 200, 400]) {
    await storeElsewhere(engine, `waits-${waitMs}`);
    expect(await tried(`declined-${waitMs}`), `after ${waitMs / 2} ms`).toBe(true);
    await engine.clock.advance(waitMs - 1);
    expect(await tried(`early-${waitMs}`), `after ${waitMs - 1} ms`).toBe(false);
    await engine.clock.advance(1);
  }
  expect(await tried("straight")).toBe(true);
  await storeElsewhere(engine, "last");
  expect(await tried("declined")).toBe(true);
  await engine.clock.advance(100);
  expect(await tried("again"), "what went straight makes it short again").toBe(true);
});
