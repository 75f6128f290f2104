import { describe, expect, test } from "vitest";
import { TestEngine, TOPIC } from "../support/engine.js";
import { newTask, topicName } from "../support/task-factory.js";

const OTHER = topicName("mails");
const MINUTE = 60_000;

describe("the promoter", () => {
  test("makes scheduled tasks ready at their moment, not before", async () => {
    await using engine = await TestEngine.start();
    const worker = await engine.attach();
    await engine.enqueue(["late"], { dueAtMs: engine.clock.now() + 7_777 });
    await engine.enqueue(["early"], { dueAtMs: engine.clock.now() + 500 });
    await engine.clock.advance(499);
    expect((await worker.read()).delivered).toEqual([]);
    await engine.clock.advance(1);
    expect((await worker.read()).delivered).toEqual(["early"]);
    await engine.clock.advance(7_276);
    expect((await worker.read()).delivered).toEqual(["early"]);
    await engine.clock.advance(1);
    expect((await worker.read()).delivered).toEqual(["early", "late"]);
  });

  test("hands out what fell due by priority and place", async () => {
    await using engine = await TestEngine.start();
    const dueAtMs = engine.clock.now() + 1_000;
    await engine.enqueue(["second"], { dueAtMs });
    await engine.enqueue(["third"], { dueAtMs });
    await engine.enqueue(["first"], { dueAtMs, priority: -1 });
    await engine.clock.advance(1_000);
    expect((await (await engine.attach()).read()).delivered).toEqual(["first", "second", "third"]);
  });

  test("works through more than one call takes", async () => {
    await using engine = await TestEngine.start();
    const dueAtMs = engine.clock.now() + 1_000;
    for (let batch = 0; batch < 3; batch += 1) {
      await engine.enqueue(
        Array.from({ length: 800 }, (_, index) => `b${batch}-${index}`),
        { dueAtMs },
      );
    }
    await engine.clock.advance(1_100);
    expect(await engine.stats()).toMatchObject({ scheduled: 0, ready: 2_400 });
  });

  test("finds tasks that were scheduled before this broker started", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["old"], { dueAtMs: engine.clock.now() + 30_000 });
    await engine.stop();
    const next = await TestEngine.start({ clock: engine.clock, backend: engine.backend });
    await next.clock.advance(30_000);
    expect((await next.task("old"))?.state).toBe("ready");
    await next.stop();
  });

  test("goes on with every topic after a store that failed", async () => {
    await using engine = await TestEngine.start({ options: { sweepMs: 60_000 } });
    const topics = Array.from({ length: 5 }, (_, index) => topicName(`topic-${index}`));
    for (const topic of topics) await engine.enqueue(["a"], { dueAtMs: engine.clock.now() + 1_000 }, topic);
    engine.rig.goAway("promote");
    await engine.clock.advance(3_000);
    engine.rig.comeBack();
    await engine.clock.advance(1_500);
    for (const topic of topics) expect((await engine.task("a", topic))?.state, topic).toBe("ready");
    expect(engine.complaints.length).toBeLessThan(10);
  });
});

describe("the pruner", () => {
  test("forgets kept tasks when their retention is over", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"], { retentionMs: 2 * MINUTE });
    const worker = await (await engine.attach()).read();
    worker.complete("a");
    await engine.clock.advance(0);
    await worker.goodbye();
    await engine.clock.advance(2 * MINUTE - 1_000);
    expect((await engine.task("a"))?.state).toBe("completed");
    await engine.clock.advance(10_000);
    expect(await engine.task("a")).toBeUndefined();
    expect((await engine.stats()).completedKept).toBe(0);
  });

  test("forgets cancelled tasks too, and those kept since before this broker started", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a", "b"], { retentionMs: MINUTE });
    await engine.broker.cancel(TOPIC, [newTask("a").id, newTask("b").id]);
    await engine.stop();
    const next = await TestEngine.start({ clock: engine.clock, backend: engine.backend });
    await next.clock.advance(2 * MINUTE);
    expect((await next.stats()).cancelledKept).toBe(0);
    await next.stop();
  });

  test("lets an id be used again after its window, and not before", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    worker.complete("a");
    await worker.read();
    await worker.goodbye();
    await engine.clock.advance(29_000);
    expect(await engine.enqueue(["a"])).toEqual([false]);
    await engine.clock.advance(60_000);
    expect(await engine.enqueue(["a"])).toEqual([true]);
  });

  test("comes to rest when nothing is left to forget", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    worker.complete("a");
    await worker.read();
    await worker.goodbye();
    await engine.clock.advance(3 * MINUTE);
    const before = engine.rig.calls("prune");
    await engine.clock.advance(10 * MINUTE);
    expect(engine.rig.calls("prune") - before).toBe(0);
  });

  test("goes on with every topic after a store that failed", async () => {
    await using engine = await TestEngine.start();
    for (const topic of [TOPIC, OTHER]) {
      await engine.enqueue(["a"], { retentionMs: 1_000 }, topic);
      await engine.broker.cancel(topic, [newTask("a").id]);
    }
    engine.rig.goAway("prune");
    await engine.clock.advance(40_000);
    engine.rig.comeBack();
    await engine.clock.advance(2_500);
    for (const topic of [TOPIC, OTHER]) expect((await engine.stats(topic)).cancelledKept, topic).toBe(0);
  });
});

describe("the reaper", () => {
  test("works off a mass death at a bounded rate, and to the end", async () => {
    await using engine = await TestEngine.start();
    const count = 50;
    await engine.enqueue(Array.from({ length: count }, (_, index) => `t${index}`));
    for (let index = 0; index < count; index += 1) {
      const worker = await (await engine.attach({ slots: 1 })).read();
      worker.say({ received: worker.delivery });
      await worker.lose();
    }
    expect((await engine.stats()).leased).toBe(count);
    await engine.clock.advance(2_500);
    expect(await engine.stats()).toMatchObject({ leased: 0, ready: count, expired: count });
    expect((await engine.broker.listWorkers({ limit: 100 })).rows).toEqual([]);
  });

  test("finishes what a broker began that died on the way", async () => {
    await using engine = await TestEngine.start();
    const other = await engine.another();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    worker.say({ received: worker.delivery });
    engine.rig.goAway("expire");
    other.rig.goAway();
    await worker.lose();
    await engine.clock.advance(5_000);
    expect((await engine.task("a"))?.state).toBe("leased");
    await expect(worker.resume()).rejects.toMatchObject({ code: "SESSION_LOST" });
    other.rig.comeBack();
    await engine.clock.advance(20_000);
    expect(await engine.task("a")).toMatchObject({ state: "ready", lostLeases: 1 });
    await other.stop();
  });

  test("ends more leases than one call takes", async () => {
    await using engine = await TestEngine.start();
    for (let batch = 0; batch < 3; batch += 1) {
      await engine.enqueue(Array.from({ length: 900 }, (_, index) => `b${batch}-${index}`));
    }
    const worker = await (await engine.attach({ slots: 10_000 })).read();
    expect(worker.held.size).toBe(2_700);
    worker.say({ received: worker.delivery });
    await worker.lose();
    await engine.clock.advance(4_000);
    expect(await engine.stats()).toMatchObject({ ready: 2_700, expired: 2_700, leased: 0 });
  });

  test("goes by the lost-lease limit of a topic it has never served", async () => {
    await using engine = await TestEngine.start();
    await engine.broker.configure(TOPIC, (settings) => ({ ...settings, lostLeasesMax: 1 }));
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    worker.say({ received: worker.delivery });
    // This broker dies; the one that reaps has never heard of the topic.
    engine.rig.goAway();
    await engine.stop();
    const next = await TestEngine.start({ clock: engine.clock, backend: engine.backend });
    await next.clock.advance(30_000);
    expect(await next.task("a")).toMatchObject({ state: "dead", deadReason: "lost_leases" });
    await next.stop();
  });
});

describe("the keeper", () => {
  test("renews all sessions in one call, whatever they hold", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(Array.from({ length: 200 }, (_, index) => `t${index}`));
    for (let index = 0; index < 20; index += 1) await (await engine.attach()).read();
    const before = engine.rig.calls("renewSessions");
    await engine.clock.advance(10_500);
    const calls = engine.rig.calls("renewSessions") - before;
    expect(calls).toBeGreaterThanOrEqual(1);
    expect(calls).toBeLessThanOrEqual(3);
  });

  test("ends the stream of a session that the store no longer knows", async () => {
    await using engine = await TestEngine.start();
    const worker = await engine.attach();
    await engine.backend.closeSession(worker.session.ref);
    await engine.clock.advance(6_000);
    expect(worker.ended).toBe("session_moved");
  });
});

describe("a person", () => {
  test("requeues dead tasks, which run again with all their retries", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a", "b"]);
    const worker = await (await engine.attach()).read();
    worker.fail("a");
    worker.fail("b");
    await worker.read();
    const { outcomes, more } = await engine.broker.requeue(TOPIC, { oldestDead: 1 });
    expect(outcomes.map(({ kind }) => kind)).toEqual(["done"]);
    expect(more).toBe(true);
    worker.credit(10);
    expect((await worker.read()).task("a").attempt).toBe(1);
  });

  test("deletes and purges, but never what a worker holds", async () => {
    await using engine = await TestEngine.start();
    const worker = await engine.attach({ slots: 1 });
    await engine.enqueue(["held"]);
    await engine.enqueue(["b", "c", "d"]);
    await worker.read();
    const outcomes = await engine.broker.remove(TOPIC, [newTask("held").id, newTask("b").id, newTask("x").id]);
    expect(outcomes.map(({ kind }) => kind)).toEqual(["wrong_state", "done", "not_found"]);
    expect(await engine.broker.purge(TOPIC, "ready", 1)).toEqual({ deleted: 1, more: true });
    expect(await engine.broker.purge(TOPIC, "ready", 10)).toEqual({ deleted: 1, more: false });
    expect(await engine.stats()).toMatchObject({ leased: 1, ready: 0, deleted: 3 });
  });
});
