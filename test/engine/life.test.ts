import { describe, expect, test } from "vitest";
import { Broker, type BrokerHealth } from "../../server/engine/broker.js";
import { ModelStore } from "../differential/model.js";
import { ManualClock, settle } from "../support/clock.js";
import { type LeaseStream, TestEngine } from "../support/engine.js";

/** A broker with everything going on at once. */
async function busy(): Promise<{ engine: TestEngine; workers: LeaseStream[] }> {
  const engine = await TestEngine.start();
  await engine.enqueue(["a", "b", "c", "d"], { timeoutMs: 60_000, numRetries: 3 });
  await engine.enqueue(["later"], { dueAtMs: engine.clock.now() + 30_000 });
  const workers = [await engine.attach({ slots: 2 }), await engine.attach({ slots: 2 })];
  for (const worker of workers) await worker.read();
  await engine.broker.watch({ topics: new Set(), taskIds: new Set(), externalIds: new Set(), types: new Set() }, "");
  workers[0]?.fail("a");
  await engine.clock.advance(500);
  return { engine, workers };
}

describe("stop", () => {
  test("leaves no timer behind, ends all streams, and leaves the leases to their workers", async () => {
    const { engine, workers } = await busy();
    expect(engine.clock.pending).toBeGreaterThan(0);
    await engine.stop();
    expect(engine.clock.pending).toBe(0);
    expect(workers.map((worker) => worker.ended)).toEqual(["draining", "draining"]);
    expect(await engine.stats()).toMatchObject({ leased: 3, released: 0, expired: 0 });
    const calls = engine.rig.calls();
    await engine.clock.advance(60_000);
    expect(engine.rig.calls() - calls).toBe(0);
  });

  test("a second time, and before a start, is fine", async () => {
    const { engine } = await busy();
    await engine.stop();
    await engine.broker.stop();
    const idle = new Broker({ store: new ModelStore(), clock: new ManualClock() });
    await idle.stop();
    expect(idle.health).toBe("stopped");
  });

  test("stores what workers reported before it", async () => {
    const { engine, workers } = await busy();
    workers[0]?.complete("b");
    workers[1]?.complete("c", "d");
    await engine.stop();
    expect(await engine.stats()).toMatchObject({ completed: 3, leased: 0 });
  });

  test("does not wait for a store that is away, and claims nothing about it", async () => {
    const { engine, workers } = await busy();
    engine.rig.goAway();
    await engine.clock.advance(10_000);
    expect(engine.broker.health).toBe("store_away");
    const worker = workers[1];
    worker?.complete("c", "d");
    await engine.clock.advance(100);
    await engine.stop();
    expect(engine.clock.pending).toBe(0);
    expect((await worker?.read())?.settled).toEqual([]);
    expect((await engine.stats()).completed).toBe(0);
  });

  test("comes to an end when the store goes away at that very moment", async () => {
    const { engine, workers } = await busy();
    engine.rig.goAway();
    workers[1]?.complete("c");
    await settle();
    expect(engine.broker.health).toBe("serving");
    let stopped = false;
    const stopping = engine.broker.stop().then(() => {
      stopped = true;
    });
    await engine.clock.advance(30_000);
    expect(stopped).toBe(true);
    await stopping;
    expect(engine.clock.pending).toBe(0);
  });

  test("during a goodbye that waits for the store comes to an end, and so does the goodbye", async () => {
    const { engine, workers } = await busy();
    engine.rig.goAway();
    const left = workers[1]?.goodbye().then(
      () => "done",
      () => "refused",
    );
    await engine.clock.advance(5_000);
    await engine.stop();
    expect(engine.clock.pending).toBe(0);
    expect(["done", "refused"]).toContain(await left);
  });

  test("lets workers resume elsewhere for as long as a session lives", async () => {
    const { engine, workers } = await busy();
    const other = await engine.another();
    await engine.stop();
    await engine.clock.advance(10_000);
    const worker = workers[1];
    const again = await worker?.resume(other);
    again?.complete("c", "d");
    expect((await again?.read())?.settled).toEqual([1]);
    await other.stop();
  });

  test("ends a session that was being opened meanwhile", async () => {
    const engine = await TestEngine.start();
    const opened = engine.rig.hold("openSession");
    const attached = engine.attach().then(
      () => "attached",
      (error: { code: string }) => error.code,
    );
    await settle();
    await engine.stop();
    opened();
    expect(await attached).toBe("DRAINING");
    expect(engine.broker.workers.sessions.size).toBe(0);
    expect(engine.clock.pending).toBe(0);
  });
});

describe("drain", () => {
  test("refuses producers and new workers, tells the others, and takes their reports", async () => {
    const { engine, workers } = await busy();
    const told: BrokerHealth[] = [];
    engine.broker.onHealth((health) => told.push(health));
    engine.broker.drain(20_000);
    expect(told).toEqual(["draining"]);
    const draining = { code: "DRAINING", retryDelayMs: 0 };
    await expect(engine.enqueue(["x"])).rejects.toMatchObject(draining);
    await expect(engine.attach()).rejects.toMatchObject({ code: "DRAINING" });
    const everything = { topics: new Set(""), taskIds: new Set(""), externalIds: new Set(""), types: new Set<never>() };
    await expect(async () => engine.broker.watch(everything, "")).rejects.toMatchObject(draining);
    const worker = workers[1];
    await worker?.read();
    expect(worker?.drains).toEqual([20_000]);
    worker?.complete("c");
    expect((await worker?.read())?.settled).toEqual([1]);
    await engine.stop();
    expect(told).toEqual(["draining", "stopped"]);
  });

  test("hands nothing out any more, so that it ends when what workers hold is done", async () => {
    await using engine = await TestEngine.start();
    const worker = await (await engine.attach()).read();
    await engine.enqueue(["held"]);
    await worker.read();
    const other = await engine.another();
    engine.broker.drain(20_000);
    await other.enqueue(["new"]);
    await settle();
    worker.complete("held");
    expect((await worker.read()).delivered).toEqual(["held"]);
    expect(await engine.stats()).toMatchObject({ completed: 1, ready: 1, leased: 0 });
    await engine.stop();
    const again = await (await worker.resume(other)).read();
    expect(again.delivered).toEqual(["new"]);
    await other.stop();
  });

  test("gives back what the store leases to a worker that was asked to leave meanwhile", async () => {
    await using engine = await TestEngine.start();
    const worker = await (await engine.attach()).read();
    const other = await engine.another();
    const enqueued = other.enqueue(["between"]);
    engine.broker.drain(20_000);
    await enqueued;
    await settle();
    await worker.read();
    expect(worker.delivered).toEqual([]);
    expect([...engine.broker.workers.sessions].map(({ heldCount }) => heldCount)).toEqual([0]);
    expect(await engine.stats()).toMatchObject({ ready: 1, leased: 0 });
    await other.stop();
  });
});

describe("health", () => {
  test("tells the truth about the store, and says so when it changes", async () => {
    await using engine = await TestEngine.start();
    const told: BrokerHealth[] = [];
    const unlisten = engine.broker.onHealth((health) => told.push(health));
    engine.rig.goAway();
    await engine.clock.advance(2_000);
    expect(engine.broker.health).toBe("store_away");
    engine.rig.comeBack();
    await engine.clock.advance(2_000);
    expect(told).toEqual(["store_away", "serving"]);
    unlisten();
  });

  test("a broker starts while its store is away, and serves once it is there", async () => {
    const clock = new ManualClock();
    const backend = new ModelStore();
    const engine = await TestEngine.start({ clock, backend });
    engine.rig.goAway();
    await clock.advance(3_000);
    await expect(engine.attach()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    engine.rig.comeBack();
    await clock.advance(3_000);
    expect(await engine.enqueue(["a"])).toEqual([true]);
    expect((await (await engine.attach()).read()).delivered).toEqual(["a"]);
    await engine.stop();
  });
});
