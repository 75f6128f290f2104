/** A handler that takes six hours, on a clock that the test moves: nobody else gets its task. */
import { expect, test } from "vitest";
import { type LeaseStream, TestEngine } from "../support/engine.js";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const GRACE_MS = 2_000;

/** The defaults of a broker, but for duties that have nothing to do with it and would cost the test its time. */
const OPTIONS = { sweepMs: 10 * MINUTE_MS, scrubMs: 0 };

/** Time passes, and the workers' processes answer heartbeats, as they do while a handler runs. */
async function pass(engine: TestEngine, ms: number, workers: () => readonly LeaseStream[]): Promise<void> {
  const { heartbeatMs } = engine.broker.options;
  for (let passed = 0; passed < ms; passed += heartbeatMs) {
    await engine.clock.advance(heartbeatMs);
    for (const worker of workers()) (await worker.read()).say({ received: worker.delivery });
  }
}

test("one attempt keeps its lease for six hours, through a lost stream and a store outage, and ends with its token", async () => {
  await using engine = await TestEngine.start({ options: OPTIONS });
  const other = await engine.another();
  await engine.enqueue(["long"]);
  let worker = await (await engine.attach({ worker: "patient" })).read();
  const { token, attempt } = worker.task("long");
  expect(attempt).toBe(1);
  // Somebody else waits for work all the while.
  const idle = await engine.attach({ worker: "idle" });
  const streams = [worker];
  const workers = () => [worker, idle];

  await pass(engine, 2 * HOUR_MS, workers);
  await worker.lose();
  await engine.clock.advance(GRACE_MS / 2);
  worker = await worker.resume(other);
  streams.push(worker);
  await pass(engine, 2 * HOUR_MS, workers);
  engine.rig.goAway();
  other.rig.goAway();
  await pass(engine, 5 * MINUTE_MS, workers);
  engine.rig.comeBack();
  other.rig.comeBack();
  await pass(engine, 2 * HOUR_MS, workers);

  expect(await engine.task("long")).toMatchObject({ state: "leased", failures: 0, lostLeases: 0 });
  expect(worker.task("long").token).toBe(token);
  expect(idle.delivered).toEqual([]);
  expect(streams.flatMap(({ lost, cancels }) => [...lost, ...cancels])).toEqual([]);
  const report = worker.complete("long");
  await pass(engine, MINUTE_MS, workers);
  expect(worker.settled).toContain(report);
  expect(worker.lost).toEqual([]);
  expect(await engine.stats()).toMatchObject({ started: 1, completed: 1, expired: 0, released: 0, leased: 0 });
  await other.stop();
}, 120_000);

test("a worker that falls silent after an hour loses its task to another one", async () => {
  await using engine = await TestEngine.start({ options: OPTIONS });
  await engine.enqueue(["long"]);
  const worker = await (await engine.attach({ worker: "patient" })).read();
  const idle = await engine.attach({ worker: "idle" });
  await pass(engine, HOUR_MS, () => [worker, idle]);
  await pass(engine, MINUTE_MS, () => [idle]);
  expect(idle.delivered).toEqual(["long"]);
  expect(idle.task("long").attempt).toBe(2);
});
