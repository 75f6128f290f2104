import assert from "node:assert";
import { describe, expect, test } from "vitest";
import { subscription, TestEngine, TOPIC } from "../support/engine.js";
import { newTask, topicName } from "../support/task-factory.js";

const OTHER = topicName("mails");

describe("no wake-up is lost", () => {
  test("a task that becomes ready between a question and its answer is handed out", async () => {
    await using engine = await TestEngine.start();
    const worker = await engine.attach();
    await worker.read();
    const answer = engine.rig.hold("lease");
    engine.rig.wake({ kind: "ready", topic: TOPIC });
    await worker.read();
    // The store has said "nothing there", and the broker does not know it yet.
    await engine.backend.enqueue(TOPIC, [newTask("late")], {
      now: engine.clock.now(),
      endedWindowMs: 0,
      tasksMax: 0,
      bytesMax: 0,
    });
    answer();
    expect((await worker.read()).delivered).toEqual(["late"]);
  });

  test("a task enqueued elsewhere reaches a waiting worker at once, without a timer", async () => {
    await using engine = await TestEngine.start();
    const other = await engine.another();
    const worker = await (await engine.attach()).read();
    await other.enqueue(["far"]);
    expect((await worker.read()).delivered).toEqual(["far"]);
    await other.stop();
  });

  test("a lost wake-up is made good by the sweep", async () => {
    const deaf = await TestEngine.start({ options: { sweepMs: 5_000 } });
    await using engine = deaf;
    const worker = await (await engine.attach()).read();
    // Nobody hears of it: enqueued by a broker that died before its message went out.
    engine.rig.mute();
    await engine.backend.enqueue(TOPIC, [newTask("quiet")], {
      now: engine.clock.now(),
      endedWindowMs: 0,
      tasksMax: 0,
      bytesMax: 0,
    });
    expect((await worker.read()).delivered).toEqual([]);
    await engine.clock.advance(6_000);
    expect((await worker.read()).delivered).toEqual(["quiet"]);
  });

  test("after a resync the broker looks at everything again", async () => {
    await using engine = await TestEngine.start();
    const worker = await (await engine.attach()).read();
    engine.rig.mute();
    await engine.backend.enqueue(TOPIC, [newTask("quiet")], {
      now: engine.clock.now(),
      endedWindowMs: 0,
      tasksMax: 0,
      bytesMax: 0,
    });
    engine.rig.wake({ kind: "resync" });
    expect((await worker.read()).delivered).toEqual(["quiet"]);
  });

  test("a paused topic hands out nothing, and goes on when it is resumed", async () => {
    await using engine = await TestEngine.start();
    await engine.broker.configure(TOPIC, (settings) => ({ ...settings, paused: true }));
    const worker = await engine.attach();
    await engine.enqueue(["a", "b"]);
    expect((await worker.read()).delivered).toEqual([]);
    await engine.broker.configure(TOPIC, (settings) => ({ ...settings, paused: false }));
    expect((await worker.read()).delivered).toEqual(["a", "b"]);
  });

  test("a worker that attaches finds what was there before it", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["old"]);
    const later = await engine.another();
    expect((await (await later.attach()).read()).delivered).toEqual(["old"]);
    await later.stop();
  });

  test("a lease whose answer was lost is found and handed back, and runs again uncharged", async () => {
    await using engine = await TestEngine.start();
    const worker = await engine.attach({ slots: 1 });
    await worker.read();
    engine.rig.loseAnswers("lease", "enqueueStraight");
    await expect(engine.enqueue(["a"])).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    engine.rig.comeBack();
    await engine.clock.advance(500);
    await worker.read();
    expect(worker.delivered).toEqual(["a"]);
    expect(await engine.task("a")).toMatchObject({ state: "leased", failures: 0, lostLeases: 0 });
    expect(await engine.stats()).toMatchObject({ started: 2, released: 1, leased: 1 });
  });

  test("a lease whose answer is still to come is left alone when another answer was lost", async () => {
    await using engine = await TestEngine.start();
    const worker = await (await engine.attach({ slots: 5 })).read();
    const answer = engine.rig.hold("enqueueStraight");
    const enqueued = engine.enqueue(["slow"]);
    await engine.clock.advance(0);
    engine.rig.loseAnswers("lease");
    await engine.backend.enqueue(TOPIC, [newTask("lost")], {
      now: engine.clock.now(),
      endedWindowMs: 0,
      tasksMax: 0,
      bytesMax: 0,
    });
    await engine.clock.advance(0);
    engine.rig.comeBack();
    await engine.clock.advance(1_000);
    answer();
    await enqueued;
    await engine.clock.advance(1_000);
    await worker.read();
    expect(worker.delivered.toSorted()).toEqual(["lost", "slow"]);
    worker.complete("slow", "lost");
    expect((await worker.read()).lost).toEqual([]);
    expect(await engine.stats()).toMatchObject({ completed: 2, released: 1 });
  });

  test("a lease whose end the store forgot is handed back when the store comes back", async () => {
    await using engine = await TestEngine.start();
    const worker = await (await engine.attach({ slots: 5 })).read();
    await engine.enqueue(["a"]);
    await worker.read();
    worker.complete("a");
    await worker.read();
    // As if the completion of this one had been stored, and lost with the store's last second.
    await engine.backend.enqueue(TOPIC, [newTask("b")], {
      now: engine.clock.now(),
      endedWindowMs: 0,
      tasksMax: 0,
      bytesMax: 0,
      demands: [{ session: worker.session.ref, limit: 1, bytesMax: 1 }],
    });
    expect((await engine.task("b"))?.state).toBe("leased");
    engine.rig.wake({ kind: "resync" });
    await worker.read();
    expect(worker.delivered).toEqual(["a", "b"]);
    expect(await engine.stats()).toMatchObject({ released: 1, expired: 0, leased: 1 });
  });

  test("a worker is told of a lease that the store forgot when the store comes back", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["kept", "forgotten"]);
    const worker = await (await engine.attach({ slots: 2 })).read();
    const { id, token } = worker.task("forgotten");
    const [lease] = [...worker.session.held].filter((held) => held.id === id);
    assert(lease);
    await engine.backend.release(TOPIC, [lease], { now: engine.clock.now(), endedWindowMs: 0 });
    engine.rig.wake({ kind: "resync" });
    await worker.read();
    expect(worker.lost).toEqual([token]);
    expect([...worker.held.values()].map((task) => task.id)).toContain("kept");
  });

  test("leasing goes on after a store that failed a while", async () => {
    await using engine = await TestEngine.start();
    const worker = await engine.attach();
    await worker.read();
    engine.rig.goAway("lease");
    await engine.backend.enqueue(TOPIC, [newTask("a")], {
      now: engine.clock.now(),
      endedWindowMs: 0,
      tasksMax: 0,
      bytesMax: 0,
    });
    await engine.clock.advance(1_000);
    expect(engine.rig.calls("lease")).toBeLessThan(20);
    engine.rig.comeBack();
    await engine.clock.advance(200);
    expect((await worker.read()).delivered).toEqual(["a"]);
  });
});

describe("an idle system", () => {
  test("asks for no tasks: neither cold lanes nor workers without credit cost a call", async () => {
    await using engine = await TestEngine.start();
    const topics = Array.from({ length: 50 }, (_, index) => topicName(`topic-${index}`));
    for (let index = 0; index < 20; index += 1) {
      const worker = await engine.attach({ subscriptions: topics.map((topic) => subscription(topic)) });
      await worker.read();
    }
    const full = await engine.attach({ slots: 0, subscriptions: [subscription(OTHER)] });
    await engine.enqueue(["waits"], {}, OTHER);
    await engine.clock.advance(1_000);
    const before = engine.rig.calls("lease");
    const beforeAll = engine.rig.calls();
    for (let second = 0; second < 60; second += 1) {
      await engine.clock.advance(1_000);
      for (const session of engine.broker.workers.sessions) session.heard();
    }
    expect(engine.rig.calls("lease") - before).toBe(0);
    // Pulses, renewals, and the slow walk: whatever the number of topics and workers.
    expect((engine.rig.calls() - beforeAll) / 60).toBeLessThan(4);
    full.credit(1);
    expect((await full.read()).delivered).toEqual(["waits"]);
  });

  test("costs no more while a task is scheduled for years ahead", async () => {
    await using engine = await TestEngine.start();
    const year = 365 * 24 * 60 * 60 * 1_000;
    await engine.enqueue(["far"], { dueAtMs: engine.clock.now() + 5 * year });
    await engine.clock.advance(10_000);
    const before = engine.rig.calls();
    await engine.clock.advance(60_000);
    expect((engine.rig.calls() - before) / 60).toBeLessThan(4);
    expect(engine.rig.calls("promote")).toBe(0);
  });

  test("keeps no lane of a topic that nobody uses any more", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    await engine.clock.advance(120_000);
    const leases = engine.rig.calls("lease");
    await engine.enqueue(["b"]);
    const worker = await engine.attach();
    expect((await worker.read()).delivered).toEqual(["a", "b"]);
    expect(engine.rig.calls("lease") - leases).toBeLessThan(4);
  });
});

describe("enqueue", () => {
  test("hands the task to a waiting worker in the same store call", async () => {
    await using engine = await TestEngine.start();
    const worker = await (await engine.attach()).read();
    const before = engine.rig.calls("lease");
    await engine.enqueue(["a"]);
    expect((await worker.read()).delivered).toEqual(["a"]);
    expect(engine.rig.calls("lease") - before).toBe(0);
  });

  test("many callers share few store calls, and each gets its own answers", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["t5"]);
    const before = engine.rig.calls("enqueue");
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) => engine.enqueue([`t${index}`, `u${index}`])),
    );
    expect(engine.rig.calls("enqueue") - before).toBe(2);
    expect(answers.map((created) => created.join())).toEqual(
      answers.map((_, index) => (index === 5 ? "false,true" : "true,true")),
    );
  });

  test("keeps the order of one producer, whatever the batches", async () => {
    await using engine = await TestEngine.start();
    const ids = Array.from({ length: 2_500 }, (_, index) => `t${String(index).padStart(4, "0")}`);
    await Promise.all(ids.map((id) => engine.enqueue([id])));
    const worker = await engine.attach({ slots: 10_000 });
    await worker.read();
    expect(worker.delivered).toEqual(ids);
  });

  test("answers tasks of several topics in the order of the request", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["b"], {}, OTHER);
    const tasks = [
      { ...newTask("a"), topic: TOPIC },
      { ...newTask("b"), topic: OTHER },
      { ...newTask("c"), topic: TOPIC },
      { ...newTask("d"), topic: OTHER },
    ];
    expect(await engine.broker.enqueue(tasks)).toEqual([true, false, true, true]);
  });

  test("a large request that does not fit does not make a small one be refused", async () => {
    await using engine = await TestEngine.start();
    await engine.broker.configure(TOPIC, (settings) => ({ ...settings, tasksMax: 3 }));
    const large = engine.enqueue(["a", "b", "c", "d"]);
    const small = engine.enqueue(["e"]);
    await expect(large).rejects.toMatchObject({ code: "TOPIC_FULL", retryDelayMs: 1_000 });
    expect(await small).toEqual([true]);
    expect((await engine.stats()).enqueued).toBe(1);
  });

  test.each(["enqueue", "enqueueStraight"] as const)(
    "what waits for a slow store is bounded, and more is refused with a delay: %s",
    async (verb) => {
      await using engine = await TestEngine.start();
      if (verb === "enqueueStraight") await (await engine.attach({ slots: 100_000 })).read();
      await engine.enqueue(["first"]);
      const answer = engine.rig.hold(verb);
      const waiting = Array.from({ length: 23 }, (_, batch) =>
        engine.enqueue(Array.from({ length: 1_000 }, (_, index) => `${batch}-${index}`)).then(
          () => "accepted",
          (error: { code: string; retryDelayMs: number }) => `${error.code} ${error.retryDelayMs}`,
        ),
      );
      await engine.clock.advance(0);
      answer();
      const outcomes = await Promise.all(waiting);
      expect(outcomes.slice(0, 20).every((outcome) => outcome === "accepted")).toBe(true);
      expect(outcomes.at(-1)).toBe("STORE_FULL 500");
    },
  );

  test("says that the store is away, and does not wait for it", async () => {
    await using engine = await TestEngine.start();
    engine.rig.goAway();
    await expect(engine.enqueue(["a"])).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    engine.rig.comeBack();
    expect(await engine.enqueue(["a"])).toEqual([true]);
  });
});
