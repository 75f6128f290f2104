import { describe, expect, test } from "vitest";
import { subscription, TestEngine, TOPIC } from "../support/engine.js";
import { sessionId, topicName } from "../support/task-factory.js";

const GRACE_MS = 2_000;
const TIMEOUT_MS = 15_000;
const HEARTBEAT_MS = 7_000;
/** How late a heartbeat, and the end of a session that left it unanswered, may be. */
const LATE_MS = HEARTBEAT_MS / 7;

describe("a lost stream", () => {
  test("leaves its leases alone for the grace, then they run elsewhere, charged", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a", "b"]);
    const first = await (await engine.attach({ worker: "first" })).read();
    first.say({ received: first.delivery });
    await first.lose();
    const second = await engine.attach({ worker: "second" });
    await engine.clock.advance(GRACE_MS - 1);
    expect((await second.read()).delivered).toEqual([]);
    await engine.clock.advance(1_100);
    expect((await second.read()).delivered).toEqual(["a", "b"]);
    expect(second.task("a").attempt).toBe(2);
    expect(await engine.task("a")).toMatchObject({ failures: 0, lostLeases: 1 });
    expect((await engine.task("a"))?.error).toMatch(/worker first died or fell silent/);
  });

  test("releases uncharged what was on its way", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["received", "sent"]);
    const worker = await (await engine.attach({ slots: 1 })).read();
    worker.credit(1);
    await worker.read();
    // The second delivery was sent; nothing says that it came in.
    await engine.enqueue(["unsent"]);
    worker.say({ received: 1, slots: 2 });
    await engine.clock.advance(0);
    await worker.lose();
    await engine.clock.advance(GRACE_MS + 1_100);
    expect(await engine.task("received")).toMatchObject({ state: "ready", lostLeases: 1 });
    expect(await engine.task("sent")).toMatchObject({ state: "ready", lostLeases: 0 });
    expect(await engine.task("unsent")).toMatchObject({ state: "ready", lostLeases: 0 });
    expect(await engine.stats()).toMatchObject({ released: 2, expired: 1 });
  });

  test("hands back what the store leased for it while it broke", async () => {
    await using engine = await TestEngine.start();
    const worker = await (await engine.attach()).read();
    const answer = engine.rig.hold("enqueueStraight");
    const enqueued = engine.enqueue(["a"]);
    await engine.clock.advance(0);
    expect((await engine.task("a"))?.state).toBe("leased");
    await worker.lose();
    answer();
    expect(await enqueued).toEqual([true]);
    await engine.clock.advance(0);
    expect(await engine.task("a")).toMatchObject({ state: "ready", lostLeases: 0 });
  });

  test("that cannot be noted times out", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    worker.say({ received: worker.delivery });
    engine.rig.goAway("detachSession");
    await worker.lose();
    engine.rig.comeBack();
    await engine.clock.advance(TIMEOUT_MS + 2_000);
    expect(await engine.task("a")).toMatchObject({ state: "ready", lostLeases: 1 });
  });

  test("with the last lease a task may lose sends it to the dead queue, and says why", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["killer"]);
    for (let round = 0; round < 3; round += 1) {
      const worker = await (await engine.attach()).read();
      expect(worker.task("killer").attempt).toBe(round + 1);
      worker.say({ received: worker.delivery });
      await worker.lose();
      await engine.clock.advance(GRACE_MS + 1_100);
    }
    expect(await engine.task("killer")).toMatchObject({ state: "dead", lostLeases: 3, deadReason: "lost_leases" });
    expect((await engine.task("killer"))?.error).toMatch(/died or fell silent/);
  });
});

describe("goodbye", () => {
  test("hands everything back at once, uncharged, and closes the session", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a", "b", "c"]);
    const first = await (await engine.attach({ slots: 3 })).read();
    first.say({ received: first.delivery });
    first.complete("a");
    await first.goodbye();
    const second = await (await engine.attach()).read();
    expect(second.delivered).toEqual(["b", "c"]);
    expect(second.task("b").attempt).toBe(1);
    expect(await engine.stats()).toMatchObject({ completed: 1, released: 2, expired: 0 });
    expect((await engine.broker.listWorkers({ limit: 10 })).rows.map((row) => row.id)).toEqual([second.session.ref.id]);
    expect((await first.read()).settled).toEqual([1]);
  });

  test("waits for the store, and hands back once it is there again", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    engine.rig.goAway("release");
    const left = worker.goodbye();
    await engine.clock.advance(1_000);
    engine.rig.comeBack();
    await engine.clock.advance(2_000);
    await left;
    expect(await engine.task("a")).toMatchObject({ state: "ready", lostLeases: 0 });
  });

  test("cannot be followed by a resume", async () => {
    await using engine = await TestEngine.start();
    const worker = await (await engine.attach()).read();
    await worker.goodbye();
    await expect(worker.resume()).rejects.toMatchObject({ code: "SESSION_LOST" });
  });
});

describe("resume", () => {
  for (const [where, there] of Object.entries({
    "the same broker": async (engine: TestEngine) => engine,
    "another broker": async (engine: TestEngine) => engine.another(),
  })) {
    test(`on ${where} keeps what the worker holds, and releases what it never received`, async () => {
      await using engine = await TestEngine.start();
      const target = await there(engine);
      await engine.enqueue(["held", "running"]);
      const worker = await (await engine.attach({ slots: 2 })).read();
      worker.say({ received: worker.delivery, slots: 1 });
      await engine.enqueue(["unreceived"]);
      await engine.clock.advance(0);
      await worker.lose();
      await engine.clock.advance(GRACE_MS - 100);
      const again = await worker.resume(target, { slots: 0 });
      await engine.clock.advance(TIMEOUT_MS);
      again.say();
      await again.read();
      expect(again.session.ref).toEqual({ id: worker.session.ref.id, epoch: 2 });
      expect(again.lost).toEqual([]);
      expect(await engine.task("held")).toMatchObject({ state: "leased", lostLeases: 0 });
      expect(await engine.task("unreceived")).toMatchObject({ state: "ready", lostLeases: 0 });
      again.complete("held", "running");
      again.credit(1);
      await again.read();
      expect(again.settled).toEqual([1]);
      expect(again.delivered).toEqual(["unreceived"]);
      expect(await engine.stats()).toMatchObject({ completed: 2, released: 1, expired: 0 });
      if (target !== engine) await target.stop();
    });

    test(`on ${where} while the old stream seems alive ends it as moved`, async () => {
      await using engine = await TestEngine.start();
      const target = await there(engine);
      await engine.enqueue(["a"]);
      const worker = await (await engine.attach({ slots: 1 })).read();
      worker.say({ received: worker.delivery, slots: 5 });
      const again = await worker.resume(target);
      // What becomes ready now goes to the new stream: the old broker can lease nothing more for it.
      await engine.enqueue(["b"]);
      await worker.read();
      await again.read();
      expect(worker.delivered).toEqual(["a"]);
      expect(again.delivered).toEqual(["b"]);
      await engine.clock.advance(6_000);
      expect(worker.ended).toBe("session_moved");
      expect(again.ended).toBeUndefined();
      expect(await engine.task("a")).toMatchObject({ state: "leased", lostLeases: 0 });
      again.complete("a", "b");
      await again.read();
      expect(await engine.stats()).toMatchObject({ completed: 2, released: 0, expired: 0 });
      if (target !== engine) await target.stop();
    });
  }

  test("reports of the old stream that were not settled may be made again", async () => {
    await using engine = await TestEngine.start();
    const other = await engine.another();
    await engine.enqueue(["a", "b"], { numRetries: 1 });
    const worker = await (await engine.attach()).read();
    const [a, b] = [worker.task("a"), worker.task("b")];
    worker.report({ completed: [{ token: a.token }], failed: [{ token: b.token, error: "broke" }] });
    await engine.clock.advance(0);
    // Stored, and the word of it is lost with the stream.
    await worker.lose();
    worker.held.set(a.token, a).set(b.token, b);
    const again = await worker.resume(other);
    again.report({ completed: [{ token: a.token }], failed: [{ token: b.token, error: "broke" }] });
    await again.read();
    expect(again.settled).toEqual([1]);
    expect(await engine.stats()).toMatchObject({ completed: 1, retried: 1, expired: 0 });
    await other.stop();
  });

  test("names the leases that are lost", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    await worker.lose();
    const { id, secret } = worker.session.record;
    const tokens = [worker.task("a").token, "00000000777.clicks"];
    const again = await engine.attach({ resume: { id, secret, tokens } });
    expect((await again.read()).lost).toEqual(["00000000777.clicks"]);
  });

  test("is refused after the grace, with a wrong secret, and for a session nobody knows", async () => {
    await using engine = await TestEngine.start();
    const worker = await (await engine.attach()).read();
    await worker.lose();
    const { id, secret } = worker.session.record;
    const lost = { code: "SESSION_LOST" };
    await expect(engine.attach({ resume: { id, secret: "guess", tokens: [] } })).rejects.toMatchObject(lost);
    const unknown = { id: sessionId("unknown"), secret, tokens: [] };
    await expect(engine.attach({ resume: unknown })).rejects.toMatchObject(lost);
    await engine.clock.advance(GRACE_MS + 1_100);
    await expect(worker.resume()).rejects.toMatchObject(lost);
  });

  test("what a worker held before it resumed is charged when it dies after all", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["killer"]);
    const worker = await (await engine.attach()).read();
    worker.say({ received: worker.delivery });
    await worker.lose();
    const again = await worker.resume();
    await again.lose();
    await engine.clock.advance(GRACE_MS + 1_100);
    expect(await engine.task("killer")).toMatchObject({ state: "ready", lostLeases: 1 });
  });

  test("a broker without the store's answer refuses it, and the worker can try again", async () => {
    await using engine = await TestEngine.start();
    const other = await engine.another();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    await worker.lose();
    other.rig.goAway("held");
    await expect(worker.resume(other)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    other.rig.comeBack();
    const again = await worker.resume(other);
    again.complete("a");
    expect((await again.read()).settled).toEqual([1]);
    await other.stop();
  });
});

describe("a silent worker", () => {
  test("is asked for a sign of life, and given up on when it gives none", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    worker.say({ received: worker.delivery });
    await engine.clock.advance(HEARTBEAT_MS - 1);
    expect((await worker.read()).heartbeats).toEqual([]);
    await engine.clock.advance(LATE_MS);
    expect((await worker.read()).heartbeats).toHaveLength(1);
    await engine.clock.advance(TIMEOUT_MS - LATE_MS);
    expect(worker.ended).toBeUndefined();
    await engine.clock.advance(2 * LATE_MS);
    expect(worker.ended).toBe("silent");
    await engine.clock.advance(GRACE_MS + 1_100);
    expect(await engine.task("a")).toMatchObject({ state: "ready", lostLeases: 1 });
  });

  test("may be stuck for as long as a session lasts, whenever that begins", async () => {
    await using engine = await TestEngine.start();
    for (const quietMs of [0, HEARTBEAT_MS / 2, HEARTBEAT_MS - 1, 1.5 * HEARTBEAT_MS - 1]) {
      const worker = await engine.attach();
      worker.say();
      await engine.clock.advance(quietMs);
      await engine.clock.advance(TIMEOUT_MS);
      expect(worker.ended).toBeUndefined();
      await worker.goodbye();
    }
  });

  test("that holds nothing may be quiet for longer, until it is given a task", async () => {
    await using engine = await TestEngine.start();
    const worker = await engine.attach();
    worker.say();
    await engine.clock.advance(1.5 * HEARTBEAT_MS - 1);
    expect((await worker.read()).heartbeats).toEqual([]);
    worker.say();
    await engine.clock.advance(HEARTBEAT_MS + LATE_MS);
    expect((await worker.read()).heartbeats).toEqual([]);
    await engine.enqueue(["a"]);
    await engine.clock.advance(LATE_MS);
    expect((await worker.read()).heartbeats).toHaveLength(1);
    worker.complete("a");
    await engine.clock.advance(1.5 * HEARTBEAT_MS + LATE_MS);
    expect((await worker.read()).heartbeats).toHaveLength(2);
    // Asked once and given a task: it owes one and the same answer.
    await engine.enqueue(["b"]);
    await engine.clock.advance(TIMEOUT_MS + LATE_MS);
    expect(worker.ended).toBe("silent");
  });

  test("that says something is asked only when it is quiet again", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    for (let round = 0; round < 10; round += 1) {
      await engine.clock.advance(HEARTBEAT_MS / 2);
      worker.say();
    }
    expect((await worker.read()).heartbeats).toEqual([]);
    await engine.clock.advance(HEARTBEAT_MS + LATE_MS);
    expect((await worker.read()).heartbeats).toHaveLength(1);
  });

  test("that answers heartbeats keeps its lease, however long it takes", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["long"]);
    const worker = await (await engine.attach()).read();
    worker.credit(0);
    for (let minute = 0; minute < 30; minute += 1) {
      for (let beat = 0; beat < 6; beat += 1) {
        await engine.clock.advance(10_000);
        worker.say();
      }
    }
    expect(worker.ended).toBeUndefined();
    worker.complete("long");
    expect((await worker.read()).lost).toEqual([]);
    expect((await engine.stats()).completed).toBe(1);
  });

  test("is kept by renewSession from outside its stream", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    const { id, secret } = worker.session.record;
    for (let round = 0; round < 10; round += 1) {
      await engine.clock.advance(5_000);
      expect(await engine.broker.renewSession(id, secret)).toEqual({ expiresInMs: TIMEOUT_MS });
    }
    expect(worker.ended).toBeUndefined();
    // It would take a broker that says nothing for lost.
    expect((await worker.read()).heartbeats).toHaveLength(1);
    await expect(engine.broker.renewSession(id, "guess")).rejects.toMatchObject({ code: "SESSION_LOST" });
    await worker.goodbye();
    await expect(engine.broker.renewSession(id, secret)).rejects.toMatchObject({ code: "SESSION_LOST" });
  });

  test("a broker that stood still itself blames no worker for it", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    worker.credit(0);
    for (const beforeMs of [1_000, HEARTBEAT_MS + LATE_MS]) {
      await engine.clock.advance(beforeMs);
      await engine.clock.freeze(60_000);
      expect(worker.ended).toBeUndefined();
      worker.say();
    }
    await engine.clock.advance(10_000);
    expect(worker.ended).toBeUndefined();
    expect(await engine.task("a")).toMatchObject({ state: "leased", lostLeases: 0 });
  });
});

describe("outages", () => {
  test("of the store cost no worker its leases: sessions are extended before anything is expired", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    worker.credit(0);
    engine.rig.goAway();
    for (let round = 0; round < 12; round += 1) {
      await engine.clock.advance(5_000);
      worker.say();
    }
    expect(engine.broker.health).toBe("store_away");
    engine.rig.comeBack();
    await engine.clock.advance(5_000);
    worker.say();
    await engine.clock.advance(10_000);
    expect(engine.broker.health).toBe("serving");
    expect(worker.ended).toBeUndefined();
    worker.complete("a");
    expect((await worker.read()).settled).toEqual([1]);
    expect(await engine.stats()).toMatchObject({ completed: 1, expired: 0 });
  });

  test("of all brokers leave workers time to come back", async () => {
    const engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    worker.say({ received: worker.delivery });
    // kill -9: nothing is noted anywhere.
    engine.rig.goAway();
    await engine.stop();
    await engine.clock.advance(TIMEOUT_MS + 5_000);
    const next = await TestEngine.start({ clock: engine.clock, backend: engine.backend });
    await next.clock.advance(1_500);
    const again = await worker.resume(next);
    again.complete("a");
    expect((await again.read()).settled).toEqual([1]);
    await next.stop();
  });
});

test("a clock that is set, here or at the store, ends no session", async () => {
  await using engine = await TestEngine.start();
  await engine.enqueue(["a"]);
  const worker = await (await engine.attach()).read();
  worker.credit(0);
  for (const ms of [3_600_000, -1_800_000, 60_000]) {
    engine.clock.step(ms);
    await engine.clock.advance(6_000);
    worker.say();
    expect(worker.ended).toBeUndefined();
    expect(await engine.task("a")).toMatchObject({ state: "leased", lostLeases: 0 });
  }
  worker.complete("a");
  expect((await worker.read()).settled).toEqual([1]);
});

test("a worker is listed with what it said, and its topics count it", async () => {
  await using engine = await TestEngine.start();
  const mails = topicName("mails");
  const worker = await engine.attach({
    worker: "lister",
    slots: 7,
    subscriptions: [subscription(TOPIC, { concurrency: 3 }), subscription(mails, { weight: 2 })],
  });
  const [row] = (await engine.broker.listWorkers({ limit: 10 })).rows;
  expect(row).toMatchObject({ worker: "lister", slots: 7, broker: "broker-1", attached: true });
  expect(await engine.broker.stats(TOPIC)).toMatchObject({ workers: 1, slots: 3 });
  expect(await engine.broker.stats(mails)).toMatchObject({ workers: 1, slots: 7 });
  await worker.lose();
  expect((await engine.broker.listWorkers({ limit: 10 })).rows[0]?.attached).toBe(false);
});
