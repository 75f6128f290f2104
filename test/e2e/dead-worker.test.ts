/**
 * How soon the tasks of a worker that was killed run elsewhere, with the
 * broker's defaults. TASKQUEUE_TEST_ROUNDS sets how many workers are killed.
 */
import { defineTopic } from "@taskqueue/sdk";
import { expect, test } from "vitest";
import { percentile } from "../bench/statistics.js";
import { RedisServer } from "../support/redis.js";
import { until } from "../support/until.js";
import { Crew, tellFigures } from "./fixtures/crew.js";
import { sharedMs } from "./fixtures/crew-child.js";

const ROUNDS = Number(process.env.TASKQUEUE_TEST_ROUNDS ?? 2);
const HELD = 25;

test(
  "the 25 tasks of a worker that was killed run on another one within three seconds",
  async () => {
    await using redis = await RedisServer.start();
    await using crew = await Crew.start(2, ["--redis", redis.url]);
    const { account } = crew;
    const topics = Array.from({ length: ROUNDS }, (_, round) => `round-${round}`);
    for (const topic of topics)
      await crew.addWorker(`victim-${topic}`, { topics: [topic], concurrency: HELD, hoards: true });
    for (const topic of topics) {
      const ids = Array.from({ length: HELD }, (_, index) => ({ args: [0] as [number], id: `${topic}-${index}` }));
      await crew.client.enqueueMany(defineTopic<[ms: number]>(topic), ids);
    }
    await until("the victims run all tasks", () => account.read().entries.size === ROUNDS * HELD, {
      timeoutMs: 10_000,
    });
    // Only now there is somebody else: none of the tasks can have begun there.
    await crew.addWorker("heir", { topics });

    const tookMs: number[] = [];
    for (const topic of topics) {
      const ids = Array.from({ length: HELD }, (_, index) => `${topic}-${index}`);
      for (const id of ids) expect(account.entries.get(id)).toMatchObject([{ worker: `victim-${topic}`, attempt: 1 }]);
      const killedMs = sharedMs();
      await crew.workers.get(`victim-${topic}`)?.kill();
      const ranAgain = () => account.read() && ids.every((id) => account.entries.get(id)?.length === 2);
      await until("they run again", ranAgain, { timeoutMs: 20_000 });
      for (const id of ids) {
        const [first, second] = account.entries.get(id) ?? [];
        expect(second).toMatchObject({ worker: "heir" });
        expect(second?.token).not.toBe(first?.token);
        tookMs.push((second?.atMs ?? Number.NaN) - killedMs);
      }
    }
    tookMs.sort((a, b) => a - b);
    const [p50, p99] = [percentile(tookMs, 0.5), percentile(tookMs, 0.99)];
    tellFigures("a worker killed", {
      rounds: ROUNDS,
      tasks: tookMs.length,
      p50Ms: p50,
      p99Ms: p99,
      lastMs: tookMs.at(-1) ?? 0,
    });
    expect(tookMs[0]).toBeGreaterThan(1_500);
    expect(p99).toBeLessThanOrEqual(3_000);
    const { stats } = await until("all is done", async () => {
      const report = await crew.client.stats();
      return report.stats.completed === ROUNDS * HELD ? report : undefined;
    });
    expect(stats).toMatchObject({
      expired: ROUNDS * HELD,
      failed: 0,
      deadQueueSize: 0,
      inputQueueSize: 0,
      workQueueSize: 0,
    });
  },
  60_000 + ROUNDS * 10_000,
);
