import { describe, expect, test } from "vitest";
import { TestEngine, TOPIC } from "../support/engine.js";
import { newTask } from "../support/task-factory.js";

const ids = (count: number) => Array.from({ length: count }, (_, index) => `t${index}`);

describe("settled", () => {
  test("answers an update once all its reports are stored", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(ids(3), { numRetries: 1 });
    const worker = await (await engine.attach()).read();
    const number = worker.report({
      completed: [{ token: worker.task("t0").token }],
      failed: [{ token: worker.task("t1").token, error: "broke" }],
      released: [worker.task("t2").token],
    });
    expect(worker.settled).toEqual([]);
    await worker.read();
    expect(worker.settled.at(-1)).toBe(number);
    expect(await engine.stats()).toMatchObject({ completed: 1, retried: 1, released: 1 });
  });

  test("is cumulative: a later update is not told before an earlier one is stored", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(ids(3), { numRetries: 1 });
    const worker = await (await engine.attach({ slots: 3 })).read();
    const stored = engine.rig.hold("complete");
    worker.complete("t0");
    worker.fail("t1");
    worker.release("t2");
    await worker.read();
    expect(await engine.stats()).toMatchObject({ retried: 1, released: 1 });
    expect(worker.settled).toEqual([]);
    stored();
    await worker.read();
    expect(worker.settled).toEqual([3]);
  });

  test("answers an update that carries a number and no reports, after those before it", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    const stored = engine.rig.hold("complete");
    worker.complete("a");
    worker.report({});
    await worker.read();
    expect(worker.settled).toEqual([]);
    stored();
    expect((await worker.read()).settled).toEqual([2]);
  });

  test("comes for many reports in one update", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(Array.from({ length: 1_000 }, (_, index) => `a${index}`));
    await engine.enqueue(Array.from({ length: 1_000 }, (_, index) => `b${index}`));
    const worker = await (await engine.attach({ slots: 2_000 })).read();
    worker.complete(...worker.delivered);
    expect((await worker.read()).settled).toEqual([1]);
    expect((await engine.stats()).completed).toBe(2_000);
  });
});

describe("a report", () => {
  test("survives a store that is away for a while", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(ids(4), { numRetries: 1 });
    const worker = await (await engine.attach({ slots: 4 })).read();
    engine.rig.goAway();
    worker.complete("t0");
    worker.fail("t1");
    worker.release("t2");
    worker.report({ progress: [{ token: worker.task("t3").token, progress: { fraction: 0.5, message: "half" } }] });
    await engine.clock.advance(10_000);
    expect((await worker.read()).settled).toEqual([]);
    engine.rig.comeBack();
    await engine.clock.advance(5_000);
    expect((await worker.read()).settled.at(-1)).toBe(4);
    expect(await engine.stats()).toMatchObject({ completed: 1, retried: 1, released: 1, leased: 1 });
    expect((await engine.task("t3"))?.progress).toEqual({ fraction: 0.5, message: "half" });
    expect(worker.lost).toEqual([]);
  });

  test("is tried again at the moment the store is back, which may not be there for long", async () => {
    await using engine = await TestEngine.start({ random: () => 0.99 });
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    engine.rig.goAway();
    worker.complete("a");
    await engine.clock.advance(10_050);
    expect(engine.broker.health).toBe("store_away");
    engine.rig.comeBack();
    while (engine.broker.health === "store_away") await engine.clock.advance(1);
    expect((await worker.read()).settled).toEqual([1]);
  });

  test("whose answer was lost is stored once and told as stored", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a", "b"], { numRetries: 3 });
    const worker = await (await engine.attach({ slots: 2 })).read();
    engine.rig.loseAnswers("completeStraight", "complete", "fail");
    worker.complete("a");
    worker.fail("b");
    await engine.clock.advance(500);
    engine.rig.comeBack();
    await engine.clock.advance(3_000);
    await worker.read();
    expect(worker.settled.at(-1)).toBe(2);
    expect(worker.lost).toEqual([]);
    expect(await engine.stats()).toMatchObject({ completed: 1, retried: 1 });
  });

  test("on a lease that is lost is refused, told by its token, and settled", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a", "b"]);
    const worker = await (await engine.attach()).read();
    const { token } = worker.task("a");
    // Somebody ended the session behind the broker's back.
    await engine.backend.expire(TOPIC, worker.session.ref.id, {
      now: engine.clock.now(),
      charge: "lost",
      undelivered: [],
      lostLeasesMax: 3,
      error: "test",
      endedWindowMs: 0,
      limit: 10,
    });
    worker.complete("a");
    await worker.read();
    expect(worker.lost).toEqual([token]);
    expect(worker.settled).toEqual([1]);
    expect((await engine.stats()).completed).toBe(0);
  });

  test("on a lease the worker never held is answered as lost, and nothing changes", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    const number = worker.report({
      completed: [{ token: "00000000999.clicks" }, { token: "nonsense" }],
      failed: [{ token: "", error: "?" }],
      released: ["no.such"],
      renew: ["none"],
      progress: [{ token: "neither", progress: { fraction: 0, message: "" } }],
    });
    await worker.read();
    expect(worker.lost).toEqual(["00000000999.clicks", "nonsense", "", "no.such", "neither", "none"]);
    expect(worker.settled).toEqual([number]);
    expect(await engine.stats()).toMatchObject({ leased: 1, completed: 0 });
  });

  test("made twice is refused the second time", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    const { token } = worker.task("a");
    worker.report({ completed: [{ token }], failed: [{ token, error: "and failed" }], released: [token] });
    await worker.read();
    expect(worker.lost).toEqual([token, token]);
    expect(await engine.stats()).toMatchObject({ completed: 1, failed: 0, released: 0 });
  });

  test("keeps the result for the retention", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["kept"], { retentionMs: 60_000 });
    await engine.enqueue(["gone"]);
    const worker = await (await engine.attach()).read();
    const result = Buffer.from("result");
    worker.report({
      completed: [
        { token: worker.task("kept").token, result },
        { token: worker.task("gone").token, result },
      ],
    });
    await worker.read();
    expect(await engine.task("kept")).toMatchObject({ state: "completed", result });
    expect(await engine.task("gone")).toBeUndefined();
  });

  test("of progress is kept, and renew names what is lost", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a", "b"]);
    const worker = await (await engine.attach()).read();
    const { token } = worker.task("a");
    worker.report({ progress: [{ token, progress: { fraction: 0.25, message: "a quarter" } }] });
    worker.report({ renew: [token, worker.task("b").token] });
    await worker.read();
    expect((await engine.task("a"))?.progress).toEqual({ fraction: 0.25, message: "a quarter" });
    expect(worker.lost).toEqual([]);
    expect(worker.settled.at(-1)).toBe(2);
    await engine.backend.expire(TOPIC, worker.session.ref.id, {
      now: engine.clock.now(),
      charge: "lost",
      undelivered: [],
      lostLeasesMax: 3,
      error: "test",
      endedWindowMs: 0,
      limit: 10,
    });
    worker.report({ renew: [token] });
    expect((await worker.read()).lost).toEqual([token]);
  });
});

describe("a failure", () => {
  test("is retried after its backoff, which really delays", async () => {
    await using engine = await TestEngine.start({ random: () => 0.5 });
    await engine.enqueue(["a"], { numRetries: 3 });
    const worker = await (await engine.attach()).read();
    for (const delayMs of [1_000, 2_000, 4_000]) {
      worker.fail("a");
      worker.credit(10);
      await engine.clock.advance(delayMs - 1);
      expect((await worker.read()).held.size, `before ${delayMs} ms`).toBe(0);
      expect((await engine.task("a"))?.state).toBe("scheduled");
      await engine.clock.advance(1);
      expect((await worker.read()).held.size, `after ${delayMs} ms`).toBe(1);
    }
    expect(worker.task("a").attempt).toBe(4);
    worker.fail("a");
    await worker.read();
    expect(await engine.task("a")).toMatchObject({
      state: "dead",
      failures: 4,
      deadReason: "retries_exhausted",
      error: "a broke",
    });
  });

  test("is dead at once without retries, or when its processor says that trying again is useless", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["none"]);
    await engine.enqueue(["some"], { numRetries: 5 });
    const worker = await (await engine.attach()).read();
    worker.fail("none");
    worker.fail("some", { doNotRetry: true });
    await worker.read();
    expect((await engine.task("none"))?.deadReason).toBe("retries_exhausted");
    expect((await engine.task("some"))?.deadReason).toBe("do_not_retry");
  });

  test("waits as long as its processor asks", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["later"], { numRetries: 1 });
    await engine.enqueue(["now"], { numRetries: 1 });
    const worker = await (await engine.attach()).read();
    worker.fail("later", { retryDelayMs: 10_000 });
    worker.fail("now", { retryDelayMs: 0 });
    worker.credit(10);
    expect([...(await worker.read()).held.values()].map((task) => task.id)).toEqual(["now"]);
    await engine.clock.advance(9_999);
    expect((await worker.read()).held.size).toBe(1);
    await engine.clock.advance(1);
    expect((await worker.read()).held.size).toBe(2);
  });

  test("goes by the topic's settings, where the task says nothing", async () => {
    await using engine = await TestEngine.start();
    await engine.broker.configure(TOPIC, (settings) => ({
      ...settings,
      numRetries: 1,
      backoff: { initialMs: 10_000, factor: 1, maxMs: 10_000, jitter: 0 },
    }));
    await engine.enqueue(["a"]);
    await engine.enqueue(["b"], { numRetries: 0, backoff: { initialMs: 1, factor: 1, maxMs: 1, jitter: 0 } });
    const worker = await (await engine.attach()).read();
    worker.fail("a");
    worker.fail("b");
    await worker.read();
    expect(await engine.task("a")).toMatchObject({ state: "scheduled", dueAtMs: engine.clock.now() + 10_000 });
    expect((await engine.task("b"))?.state).toBe("dead");
  });

  test("a retried task keeps its place among those that are due", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["first"], { numRetries: 1 });
    const worker = await (await engine.attach({ slots: 1 })).read();
    await engine.enqueue(["second", "third"]);
    worker.fail("first", { retryDelayMs: 10 });
    await engine.clock.advance(20);
    worker.credit(3);
    expect((await worker.read()).delivered).toEqual(["first", "first", "second", "third"]);
  });

  test("settings changed on another broker hold here too", async () => {
    await using engine = await TestEngine.start();
    const other = await engine.another();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    await other.broker.configure(TOPIC, (settings) => ({ ...settings, numRetries: 9 }));
    await engine.clock.advance(0);
    worker.fail("a");
    await worker.read();
    expect((await engine.task("a"))?.state).toBe("scheduled");
    await other.stop();
  });
});

test("the books balance: started is what became of every attempt", async () => {
  await using engine = await TestEngine.start();
  await engine.enqueue(ids(8), { numRetries: 1 });
  const worker = await (await engine.attach()).read();
  worker.complete("t0", "t1");
  worker.fail("t2");
  worker.fail("t3", { doNotRetry: true });
  worker.release("t4");
  await engine.broker.cancel(TOPIC, [newTask("t5").id]);
  worker.fail("t5");
  await worker.read();
  const stats = await engine.stats();
  const { started, completed, retried, failed, released, expired, aborted, leased } = stats;
  expect(started).toBe(completed + retried + failed + released + expired + aborted + leased);
  expect(stats).toMatchObject({ completed: 2, retried: 1, failed: 1, released: 1, aborted: 1, leased: 3 });
});
