/**
 * A handler that takes six hours by the clock of a broker process and its
 * store: the session of its worker is renewed all the while, its lease stays,
 * and it completes with the token that it began with.
 */
import { Client, defineTopic, Worker } from "@taskqueue/sdk";
import { expect, test } from "vitest";
import { runSource } from "../support/process.js";
import { until } from "../support/until.js";
import { tellFigures } from "./fixtures/crew.js";
import { sharedMs } from "./fixtures/crew-child.js";

const MINUTE_MS = 60_000;
const HOURS = 6;
const HOUR_MS = 60 * MINUTE_MS;
/** Ten seconds for six hours. */
const SPEED = 2_160;
/** Much shorter than the task, and long enough for a machine that is busy with something else. */
const SESSION_MS = 2 * HOUR_MS;
const HEARTBEAT_MS = 20 * MINUTE_MS;

const long = defineTopic<[]>("long");

/** Until the session of the patient worker would end. */
async function expiresInMs(client: Client): Promise<number> {
  for await (const { worker, expiresInMs: ms = 0 } of client.admin.listWorkers()) if (worker === "patient") return ms;
  throw new Error("the worker is no more");
}

test("a session is renewed for six hours, and an attempt keeps its lease", async () => {
  const args = [SPEED, SESSION_MS, HEARTBEAT_MS].map(String);
  await using broker = await runSource("test/e2e/fixtures/fast-broker.ts", args);
  const [, address = ""] = await broker.waitForLine(/^listens on (.*)$/);
  await using client = new Client({ address });
  let finish = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const runs: { worker: string; token: string; attempt: number }[] = [];
  const events: string[] = [];
  const startWorker = async (name: string) => {
    const worker = new Worker({ address, name, concurrency: 1, onEvent: ({ type }) => events.push(`${name} ${type}`) });
    worker.register(long, async (_, task) => {
      runs.push({ worker: name, token: task.leaseToken, attempt: task.attempt });
      await finished;
    });
    await worker.start();
    return worker;
  };
  await using patient = await startWorker("patient");
  await client.enqueue(long, [], { id: "six-hours", retentionMs: 24 * HOUR_MS });
  await until("it runs", () => runs.length === 1);
  // From here on somebody else waits for it.
  await using idle = await startWorker("idle");

  const task = () => client.admin.getTask(long, "six-hours");
  const before = await task();
  const startedMs = sharedMs();
  let renewals = 0;
  let lastMs = 0;
  const states = new Set<string | undefined>();
  // One hour more than it has to be: the worker begins some time after the broker.
  const isOver = new RegExp(`^hour ${HOURS + 1}$`, "m");
  const look = async () => {
    const over = isOver.test(broker.output);
    states.add((await task())?.state);
    const nowMs = await expiresInMs(client);
    if (nowMs > lastMs) renewals += 1;
    lastMs = nowMs;
    return over;
  };
  await until(`${HOURS + 1} hours have passed`, look, { timeoutMs: 30_000, pauseMsMax: 100 });
  const tookMs = sharedMs() - startedMs;
  expect([...states]).toEqual(["leased"]);
  finish();
  const { stats } = await until("it is completed", async () => {
    const report = await client.stats();
    return report.stats.completed === 1 ? report : undefined;
  });
  expect(stats).toMatchObject({ started: 1, expired: 0, released: 0, retried: 0, failed: 0 });
  expect(runs).toEqual([{ worker: "patient", attempt: 1, token: expect.any(String) }]);
  expect(events.filter((event) => /lost|disconnected/.test(event))).toEqual([]);
  const after = await task();
  expect(after).toMatchObject({ state: "completed", attempt: 1, lostLeases: 0 });
  const ranMs = Number(after?.finishedAt) - Number(before?.startedAt);
  expect(ranMs).toBeGreaterThanOrEqual(HOURS * HOUR_MS);
  expect(renewals).toBeGreaterThan(ranMs / SESSION_MS);
  tellFigures("a six-hour lease", {
    heldHours: ranMs / HOUR_MS,
    sessionHours: SESSION_MS / HOUR_MS,
    renewalsSeen: renewals,
    realMs: tookMs,
  });
  await Promise.all([patient.close(), idle.close()]);
  expect(await broker.stop()).toEqual({ code: 0, signal: null });
});
