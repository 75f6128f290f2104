/**
 * One crew at work, and one outage after the other: brokers killed, brokers
 * restarted in turn, Redis frozen, Redis restarted. Workers, producers and the
 * brokers that nobody touched go on by themselves; no processor is entered
 * twice, no enqueue fails, and in the end everything that was accepted is done.
 *
 * Every process is real and has its defaults; so patience is what users get:
 * 2 s of grace, 15 s of a session. TASKQUEUE_TEST_RATE is how many tasks are
 * enqueued in a second, TASKQUEUE_TEST_ROUNDS how often each thing happens,
 * TASKQUEUE_TEST_FREEZE_MS how long Redis stands still.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pause, systemClock } from "../../server/lib/clock.js";
import { RedisServer } from "../support/redis.js";
import { Crew, tellFigures } from "./fixtures/crew.js";
import { sharedMs } from "./fixtures/crew-child.js";

const RATE = Number(process.env.TASKQUEUE_TEST_RATE ?? 300);
const ROUNDS = Number(process.env.TASKQUEUE_TEST_ROUNDS ?? 1);
/** So many tasks done are work that goes on. */
const COUNT = 100;
const FREEZE_MS = Number(process.env.TASKQUEUE_TEST_FREEZE_MS ?? 5_000);
const WORKERS = ["worker-1", "worker-2"];
const TIMEOUT_MS = 60_000 + ROUNDS * (30_000 + FREEZE_MS);

let redis: RedisServer;
let crew: Crew;
/** How long producers took to get rid of what had piled up, in the outage under way. */
const caughtUpMs: number[] = [];

beforeAll(async () => {
  redis = await RedisServer.start();
  crew = await Crew.start(2, ["--redis", redis.url]);
  // At any time some tens of processors are in the middle of three seconds of work.
  await crew.goToWork({ perSecond: RATE, longEvery: 25, longMs: 3_000 });
}, 60_000);

afterAll(async () => {
  await crew?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
});

/** What an outage must not cause; all of it counted from the beginning of the test. */
interface Harm {
  readonly failedEnqueues: readonly string[];
  readonly ranAgain: readonly [id: string, runs: number][];
  readonly calledOff: readonly string[];
  readonly lost: readonly string[];
}

const NO_HARM: Harm = { failedEnqueues: [], ranAgain: [], calledOff: [], lost: [] };

/** `happen` resolves with how long it took work to go on, once or several times. */
async function outage(name: string, happen: () => Promise<number[]>): Promise<void> {
  const account = crew.account.read();
  const before = { refused: account.refused.length, aborted: account.aborted.length, lost: account.lost.length };
  const repeated = new Set(account.repeated.map(([id]) => id));
  const accepted = new Set(account.accepted.keys());
  caughtUpMs.length = 0;
  const fromMs = sharedMs();
  const resumedMs = await happen();
  await crew.progresses(COUNT);
  const toMs = sharedMs();
  account.read();
  const harm: Harm = {
    failedEnqueues: account.refused.slice(before.refused),
    ranAgain: account.repeated.filter(([id]) => !repeated.has(id)),
    calledOff: account.aborted.slice(before.aborted),
    lost: account.lost.slice(before.lost),
  };
  const slowest = [...account.accepted].filter(([id]) => !accepted.has(id)).map(([, ms]) => ms);
  tellFigures(name, {
    tasks: account.accepted.size - accepted.size,
    ranAgain: harm.ranAgain.length,
    failedEnqueues: harm.failedEnqueues.length,
    leasesLost: harm.lost.length,
    longestTimeWithoutACompletionMs: account.longestPauseMs(fromMs, toMs),
    slowestEnqueueMs: Math.max(0, ...slowest),
    allWorkersWentOnAfterMs: resumedMs.map(Math.round).join("/"),
    ...(caughtUpMs.length > 0 && { producersCaughtUpAfterMs: caughtUpMs.map(Math.round).join("/") }),
  });
  expect(harm).toEqual(NO_HARM);
}

/** Redis is back: so is work, and what producers could not get rid of meanwhile has its answer. */
async function workGoesOnSoon(): Promise<number> {
  const sinceMs = sharedMs();
  const tookMs = await crew.workGoesOn(sinceMs, COUNT);
  expect(tookMs).toBeLessThan(5_000);
  caughtUpMs.push(await crew.producersCatchUp(sinceMs));
  return tookMs;
}

async function inRounds(happen: () => Promise<number[]>): Promise<number[]> {
  const all: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) all.push(...(await happen()));
  return all;
}

function expectMoved(connectionsBefore: ReadonlyMap<string, number>): void {
  for (const worker of WORKERS) {
    const since = crew.account.read().connections.get(worker)?.slice(connectionsBefore.get(worker)) ?? [];
    expect(since.length, `${worker} had to connect anew`).toBeGreaterThan(0);
    expect(
      since.every(({ resumed }) => resumed),
      `${worker} took up its session`,
    ).toBe(true);
  }
}

function connections(): Map<string, number> {
  return new Map(WORKERS.map((worker) => [worker, crew.account.read().connections.get(worker)?.length ?? 0]));
}

describe("under load", () => {
  test("a broker is killed, and then the other one", { timeout: TIMEOUT_MS }, async () => {
    const before = connections();
    await outage("a broker killed", () =>
      inRounds(async () => {
        const resumedMs: number[] = [];
        // Whoever survived the first kill is at the other broker afterwards: the second one hits everybody.
        for (const broker of crew.brokers) {
          const killedMs = sharedMs();
          await broker.process.kill();
          // What was on its way from the dead broker does not count as work that went on.
          resumedMs.push(await crew.workGoesOn(killedMs + 20, COUNT));
          await broker.restart();
        }
        return resumedMs;
      }),
    );
    expectMoved(before);
  });

  test("both brokers are restarted, one after the other", { timeout: TIMEOUT_MS }, async () => {
    const before = connections();
    await outage("a rolling restart", () =>
      inRounds(async () => {
        const resumedMs: number[] = [];
        for (const broker of crew.brokers) {
          const fromMs = sharedMs();
          expect(await broker.process.stop({ timeoutMs: 20_000 })).toEqual({ code: 0, signal: null });
          await broker.restart();
          resumedMs.push(await crew.workGoesOn(fromMs, COUNT));
        }
        return resumedMs;
      }),
    );
    expectMoved(before);
  });

  test("Redis stands still", { timeout: TIMEOUT_MS }, () =>
    outage(`Redis frozen for ${FREEZE_MS} ms`, () =>
      inRounds(async () => {
        redis.pause();
        await pause(systemClock, FREEZE_MS);
        redis.resume();
        return [await workGoesOnSoon()];
      }),
    ),
  );

  test("Redis is restarted", { timeout: TIMEOUT_MS }, () =>
    outage("Redis restarted", () =>
      inRounds(async () => {
        await redis.stop();
        await pause(systemClock, 1_000);
        await redis.restart();
        return [await workGoesOnSoon()];
      }),
    ),
  );

  test("after all that, everything is done once, and all processes live", { timeout: TIMEOUT_MS }, async () => {
    await crew.finish();
    const { accepted, entries } = crew.account;
    expect([...accepted.keys()].filter((id) => entries.get(id)?.length !== 1)).toEqual([]);
    const { stats } = await crew.client.stats();
    expect(stats).toMatchObject({ enqueued: accepted.size, completed: accepted.size, expired: 0 });
    // Those that were leased as their broker died, and had not reached a worker.
    expect(stats.started).toBe(accepted.size + stats.released);
    for (const { process } of crew.brokers) {
      expect(process.running).toBe(true);
      expect(process.output).not.toMatch(/this is a bug|not consistent|INTERNAL/);
    }
    tellFigures("after the outages", {
      tasks: accepted.size,
      releasedUndelivered: stats.released,
      expired: stats.expired,
    });
  });
});
