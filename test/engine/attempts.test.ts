import { describe, expect, test } from "vitest";
import type { TaskId } from "../../server/domain/ids.js";
import { type LeaseStream, TestEngine, TOPIC } from "../support/engine.js";
import { taskId } from "../support/task-factory.js";

const CANCEL_GRACE_MS = 5_000;
const idsOf = (...ids: string[]): TaskId[] => ids.map(taskId);

/** Lets time pass for a worker that is alive, and has read what it was sent. */
async function live(worker: LeaseStream, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 1_000) {
    worker.say({ received: worker.delivery });
    await worker.engine.clock.advance(Math.min(left, 1_000));
  }
  worker.say({ received: worker.delivery });
  await worker.read();
}

describe("the timeout of an attempt", () => {
  test("asks the worker to stop, and its report counts", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["slow"], { timeoutMs: 3_000, numRetries: 1 });
    const worker = await (await engine.attach()).read();
    const { token } = worker.task("slow");
    await live(worker, 2_999);
    expect(worker.cancels).toEqual([]);
    await live(worker, 1);
    expect(worker.cancels).toEqual([{ token, reason: "timeout" }]);
    worker.fail("slow");
    await worker.read();
    expect(worker.lost).toEqual([]);
    expect(await engine.task("slow")).toMatchObject({ state: "scheduled", failures: 1, error: "slow broke" });
  });

  test("ends the attempt of a worker that does not stop, as failed", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["slow"], { timeoutMs: 3_000 });
    const worker = await (await engine.attach()).read();
    const { token } = worker.task("slow");
    await live(worker, 3_000 + CANCEL_GRACE_MS - 1);
    expect((await engine.task("slow"))?.state).toBe("leased");
    await live(worker, 1);
    expect(worker.lost).toEqual([token]);
    expect(await engine.task("slow")).toMatchObject({
      state: "dead",
      failures: 1,
      lostLeases: 0,
      error: "the attempt took longer than its timeout of 3000 ms",
    });
    // It comes too late, and hears so again.
    worker.report({ completed: [{ token }] });
    expect((await worker.read()).lost).toEqual([token, token]);
  });

  test("charges nothing to a task that the worker never got", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["slow"], { timeoutMs: 3_000 });
    const frozen = await engine.attach({ slots: 1 });
    await frozen.read();
    await engine.clock.advance(3_000 + CANCEL_GRACE_MS);
    await frozen.read();
    expect(frozen.delivered).toEqual(["slow"]);
    expect(await engine.task("slow")).toMatchObject({ state: "ready", failures: 0, lostLeases: 0 });
  });

  test("is the topic's where the task says nothing, and 0 means none", async () => {
    await using engine = await TestEngine.start();
    await engine.broker.configure(TOPIC, (settings) => ({ ...settings, timeoutMs: 2_000 }));
    await engine.enqueue(["by-topic"]);
    await engine.enqueue(["none"], { timeoutMs: 0 });
    const worker = await (await engine.attach()).read();
    await live(worker, 2_000);
    expect(worker.cancels.map(({ token }) => token)).toEqual([worker.task("by-topic").token]);
    await live(worker, 30_000);
    expect([...worker.held.values()].map((task) => task.id)).toEqual(["none"]);
  });

  test("goes on counting when the worker resumes on another broker", async () => {
    await using engine = await TestEngine.start();
    const other = await engine.another();
    await engine.enqueue(["slow"], { timeoutMs: 4_000 });
    const worker = await (await engine.attach()).read();
    await live(worker, 3_000);
    await worker.lose();
    const again = await worker.resume(other);
    await live(again, 999);
    expect(again.cancels).toEqual([]);
    await live(again, 1);
    expect(again.cancels).toEqual([{ token: again.task("slow").token, reason: "timeout" }]);
    await other.stop();
  });

  test("that is over while the report waits for the store changes nothing, and costs nothing", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["done"], { timeoutMs: 1_000 });
    const worker = await (await engine.attach()).read();
    engine.rig.goAway("complete");
    worker.complete("done");
    const before = engine.clock.fired;
    await live(worker, 30_000);
    expect((engine.clock.fired - before) / 30).toBeLessThan(10);
    expect(worker.cancels).toEqual([]);
    engine.rig.comeBack();
    await live(worker, 3_000);
    expect(worker.settled).toEqual([1]);
    expect((await engine.stats()).completed).toBe(1);
  });
});

describe("cancelling a leased task", () => {
  test("asks the worker, whose failure then ends it as cancelled", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"], { numRetries: 5, retentionMs: 60_000 });
    const worker = await (await engine.attach()).read();
    const { token } = worker.task("a");
    const [outcome] = await engine.broker.cancel(TOPIC, idsOf("a"));
    expect(outcome).toMatchObject({ kind: "cancel_requested", session: worker.session.ref.id });
    await worker.read();
    expect(worker.cancels).toEqual([{ token, reason: "cancelled" }]);
    worker.fail("a");
    await worker.read();
    expect(worker.settled).toEqual([1]);
    expect(await engine.task("a")).toMatchObject({ state: "cancelled", failures: 0 });
    expect(await engine.stats()).toMatchObject({ aborted: 1, cancelledKept: 1, leased: 0 });
  });

  test("works from a broker that does not hold the stream", async () => {
    await using engine = await TestEngine.start();
    const other = await engine.another();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    await other.broker.cancel(TOPIC, idsOf("a"));
    await worker.read();
    expect(worker.cancels.map(({ reason }) => reason)).toEqual(["cancelled"]);
    await other.stop();
  });

  test("is told once, however often it is asked for", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    for (let time = 0; time < 3; time += 1) await engine.broker.cancel(TOPIC, idsOf("a"));
    expect((await worker.read()).cancels.length).toBe(1);
  });

  test("ends the lease of a worker that ignores it, after the grace", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["deaf"]);
    const worker = await (await engine.attach()).read();
    const { token } = worker.task("deaf");
    await engine.broker.cancel(TOPIC, idsOf("deaf"));
    await live(worker, CANCEL_GRACE_MS - 1);
    expect((await engine.task("deaf"))?.state).toBe("leased");
    await live(worker, 1);
    expect(worker.lost).toEqual([token]);
    expect(await engine.task("deaf")).toBeUndefined();
    expect(await engine.stats()).toMatchObject({ aborted: 1, leased: 0 });
  });

  test("does not undo a completion", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"], { retentionMs: 60_000 });
    const worker = await (await engine.attach()).read();
    await engine.broker.cancel(TOPIC, idsOf("a"));
    await worker.read();
    worker.complete("a");
    await worker.read();
    expect((await engine.task("a"))?.state).toBe("completed");
  });

  test("asked for while the worker's stream was lost is told when it comes back", async () => {
    await using engine = await TestEngine.start();
    const other = await engine.another();
    await engine.enqueue(["a", "b"]);
    const worker = await (await engine.attach()).read();
    worker.say({ received: worker.delivery });
    await worker.lose();
    await engine.broker.cancel(TOPIC, idsOf("a"));
    const again = await (await worker.resume(other)).read();
    expect(again.cancels).toEqual([{ token: again.task("a").token, reason: "cancelled" }]);
    await live(again, CANCEL_GRACE_MS);
    expect(again.lost).toEqual([[...worker.held.values()].find((task) => task.id === "a")?.token]);
    expect(await engine.task("a")).toBeUndefined();
    expect((await engine.task("b"))?.state).toBe("leased");
    await other.stop();
  });

  test("whose message was lost is told after a resync", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach()).read();
    engine.rig.mute();
    await engine.broker.cancel(TOPIC, idsOf("a"));
    expect((await worker.read()).cancels).toEqual([]);
    engine.rig.wake({ kind: "resync" });
    expect((await worker.read()).cancels.length).toBe(1);
  });

  test("of a task whose worker dies cancels it, uncharged", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"], { retentionMs: 60_000 });
    const worker = await (await engine.attach()).read();
    worker.say({ received: worker.delivery });
    await engine.broker.cancel(TOPIC, idsOf("a"));
    await worker.lose();
    await engine.clock.advance(4_000);
    expect(await engine.task("a")).toMatchObject({ state: "cancelled", lostLeases: 0 });
  });
});

test("cancelling what waits takes effect at once, and says what it found", async () => {
  await using engine = await TestEngine.start();
  await engine.enqueue(["ready"]);
  await engine.enqueue(["scheduled"], { dueAtMs: engine.clock.now() + 60_000 });
  const outcomes = await engine.broker.cancel(TOPIC, idsOf("ready", "scheduled", "unknown", "ready"));
  expect(outcomes.map(({ kind }) => kind)).toEqual(["done", "done", "not_found", "not_found"]);
  expect(await engine.stats()).toMatchObject({ cancelled: 2, ready: 0, scheduled: 0 });
});
