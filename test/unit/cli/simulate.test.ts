import { describe, expect, test } from "vitest";
import type { RunningBroker } from "../../../server/cli/context.js";
import { fateOf, seeded } from "../../../server/cli/simulate/fate.js";
import { Ledger } from "../../../server/cli/simulate/ledger.js";
import { type Plan, taskIdOf, taskOf } from "../../../server/cli/simulate/plan.js";
import { produce } from "../../../server/cli/simulate/produce.js";
import { statsLine } from "../../../server/cli/simulate/stats-line.js";
import { inGnuForm } from "../../../server/cli/simulate.js";
import type { Config } from "../../../server/config.js";
import { runWith } from "./fake-context.js";

const PLAN: Plan = {
  run: "sim-1",
  address: ["localhost:1"],
  seed: 7,
  topics: ["a", "b"],
  concurrency: 5,
  fillTimeMs: 0,
  runTimeMs: 100,
  numRetries: 2,
  timeoutMs: 0,
  failureRate: 0.2,
  hangRate: 0.1,
  crashRate: 0.1,
  burst: 1,
};

describe("options", () => {
  test("the original's names are taken with one dash, as Go does", () => {
    expect(
      inGnuForm(["simulate", "-c", "5", "-fill-time", "0", "-failure-rate=0.5", "-shutdown-timeout", "-1s", "-h"]),
    ).toEqual(["simulate", "-c", "5", "--fill-time", "0", "--failure-rate=0.5", "--shutdown-timeout", "-1s", "-h"]);
    expect(inGnuForm(["stats", "-topics"])).toEqual(["stats", "-topics"]);
  });

  test("the defaults are the original's", async () => {
    const { stdout } = await runWith(["simulate", "--help"]);
    for (const [flag, byDefault] of [
      ["-c, --concurrency", "5"],
      ["--fill-time", "500ms"],
      ["--run-time", "500ms"],
      ["--log-interval", "1s"],
      ["--poll-interval", "500ms"],
      ["--num-retries", "2"],
      ["--redis-namespace", '"taskqueue_e2e"'],
      ["--redis-db", "0"],
      ["--topics", '["a","b","c"]'],
      ["--failure-rate", "0.05"],
      ["--shutdown-timeout", "-1s"],
    ] as const) {
      const at = stdout.indexOf(`  ${flag} `);
      expect(at, flag).toBeGreaterThan(0);
      expect(stdout.slice(at).split("\n  -")[0]?.replace(/\s+/g, " "), flag).toContain(`(default: ${byDefault})`);
    }
  });

  test.each([
    [["--topics", "a,a"], 'topic "a" already exists'],
    [["--topics", "a,,b"], "topics"],
    [["--failure-rate", "1.1"], "0 to 1"],
    [["--failure-rate", "0.6", "--hang-rate", "0.6"], "add up"],
    [["--crash-rate", "0.1"], "--workers"],
    [["--hang-rate", "0.1", "--timeout", "0"], "--timeout"],
    [["-c", "0"], "whole number"],
    [["--fill-time", "-1s"], "duration"],
    [["--burst", "0"], "whole number"],
    [["--address", "x:1", "--redis", "y:2"], "excludes --address"],
    [["--address", "x:1", "-poll-interval", "1s"], "--poll-interval"],
  ])("%j is refused", async (argv, message) => {
    const { code, stderr, connections } = await runWith(["simulate", ...argv]);
    expect({ code, connections }).toEqual({ code: 2, connections: [] });
    expect(stderr).toContain(message);
  });

  test.each([
    [[], { data: ":memory:", redis: undefined, sweepMs: 500, http: "off", namespace: "taskqueue_e2e" }],
    [["-redis", "host:6379", "-redis-db", "3"], { redis: ["redis://host:6379/3"] }],
    [["--redis", "redis://host/4", "--redis-namespace", "x"], { redis: ["redis://host/4"], namespace: "x" }],
  ])("%j starts a broker of its own", async (argv, expected) => {
    const configs: Config[] = [];
    const startBroker = (config: Config): Promise<RunningBroker> => {
      configs.push(config);
      return Promise.reject(new Error("enough"));
    };
    await runWith(["simulate", ...argv], { startBroker });
    expect(configs).toMatchObject([{ listen: { host: "127.0.0.1", port: 0 }, ...expected }]);
  });
});

describe("fate", () => {
  test("depends on seed, task and attempt alone", () => {
    expect(fateOf(PLAN, "0/1", 1)).toEqual(fateOf(PLAN, "0/1", 1));
    const fates = [fateOf(PLAN, "0/1", 2), fateOf(PLAN, "0/2", 1), fateOf({ ...PLAN, seed: 8 }, "0/1", 1)];
    expect(new Set([fateOf(PLAN, "0/1", 1), ...fates].map(({ runMs }) => runMs)).size).toBe(4);
  });

  test("keeps to the rates, and to the longest run time", () => {
    const ends = { complete: 0, fail: 0, hang: 0, crash: 0 };
    let sum = 0;
    for (let n = 0; n < 20_000; n += 1) {
      const fate = fateOf(PLAN, `0/${n}`, 1);
      ends[fate.end] += 1;
      sum += fate.runMs;
      expect(fate.runMs).toBeLessThan(100);
    }
    expect(ends.fail / 20_000).toBeCloseTo(0.2, 1);
    expect(ends.hang / 20_000).toBeCloseTo(0.1, 1);
    expect(ends.crash / 20_000).toBeCloseTo(0.1, 1);
    expect(sum / 20_000).toBeGreaterThan(48);
    expect(sum / 20_000).toBeLessThan(52);
  });

  test("a run time of 0 is no run time, and rates of 0 never strike", () => {
    const calm = { ...PLAN, runTimeMs: 0, failureRate: 0, hangRate: 0, crashRate: 0 };
    for (let n = 0; n < 1_000; n += 1) expect(fateOf(calm, `0/${n}`, 1)).toEqual({ runMs: 0, end: "complete" });
  });

  test("a sequence has numbers from 0 to below 1", () => {
    const random = seeded("x", 1);
    for (let n = 0; n < 1_000; n += 1) {
      const number = random();
      expect(number).toBeGreaterThanOrEqual(0);
      expect(number).toBeLessThan(1);
    }
  });
});

describe("the books", () => {
  const idOf = ({ producer, number }: { producer: number; number: number }) => taskIdOf("r", producer, number);

  test("a task that was accepted, is not finished and not there is lost", () => {
    const ledger = new Ledger();
    for (let number = 1; number <= 5_000; number += 1) ledger.accept({ producer: 0, number });
    ledger.accept({ producer: 3, number: 1 });
    for (let number = 1; number <= 4_998; number += 1) ledger.finish({ producer: 0, number });
    expect(ledger.lost(new Set(["r-0-4999"]), idOf)).toEqual({ count: 2, examples: ["r-0-5000", "r-3-1"] });
    expect(ledger).toMatchObject({ accepted: 5_001, finished: 4_998, repeated: 0 });
  });

  test("entries may come in any order and more than once", () => {
    const ledger = new Ledger();
    for (let n = 0; n < 200; n += 1) ledger.finish({ producer: 0, number: 1 });
    ledger.accept({ producer: 0, number: 1 });
    ledger.accept({ producer: 0, number: 1 });
    expect(ledger).toMatchObject({ accepted: 1, finished: 1, repeated: 1 });
    expect(ledger.lost(new Set(), idOf).count).toBe(0);
  });

  test("ids tell producer and number, and other runs apart", () => {
    expect(taskOf("sim-a", taskIdOf("sim-a", 3, 44))).toEqual({ producer: 3, number: 44 });
    expect(taskOf("sim-b", taskIdOf("sim-a", 3, 44))).toBeUndefined();
    expect(taskOf("sim-a", "order-1")).toBeUndefined();
  });
});

describe("a producer", () => {
  const clock = { now: () => 0, monotonic: () => 0, after: () => () => {} };

  function client(answer: (id: string) => Promise<void> = async () => {}) {
    const sent: { topic: string; args: unknown; options: object }[] = [];
    let pending = 0;
    let pendingMax = 0;
    const enqueue = async (topic: { name: string }, args: unknown, options: { id?: string } = {}) => {
      sent.push({ topic: topic.name, args, options });
      pending += 1;
      pendingMax = Math.max(pendingMax, pending);
      await answer(options.id ?? "");
      pending -= 1;
      return { id: options.id ?? "", created: true };
    };
    return { sent, enqueue, pendingMax: () => pendingMax };
  }

  test("enqueues its count of numbered tasks, the same ones for the same seed", async () => {
    const [first, second] = [client(), client()];
    const accepted: number[] = [];
    const given = { clock, signal: new AbortController().signal, count: 50 };
    await produce(PLAN, 2, { ...given, client: first, accepted: ({ number }) => accepted.push(number) });
    await produce(PLAN, 2, { ...given, client: second, accepted: () => {} });
    expect(accepted).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
    expect(first.sent).toEqual(second.sent);
    expect(first.sent[0]).toMatchObject({
      args: [2, 1],
      options: { id: "sim-1-2-1", externalId: "sim-1", numRetries: 2 },
    });
    expect(new Set(first.sent.map(({ topic }) => topic))).toEqual(new Set(["a", "b"]));
  });

  test("a burst goes to one topic, and never beyond the count", async () => {
    const fake = client();
    const given = { clock, signal: new AbortController().signal, count: 25, accepted: () => {} };
    await produce({ ...PLAN, burst: 10 }, 0, { ...given, client: fake });
    expect(fake.sent).toHaveLength(25);
    expect(new Set(fake.sent.slice(0, 10).map(({ topic }) => topic)).size).toBe(1);
  });

  test("has a bounded number of enqueues on their way", async () => {
    const fake = client(() => new Promise((resolve) => setImmediate(resolve)));
    const given = { clock, signal: new AbortController().signal, count: 5_000, accepted: () => {} };
    await produce(PLAN, 0, { ...given, client: fake });
    expect(fake.pendingMax()).toBe(2_000);
  });

  test("ends with the first error, and does not count the task", async () => {
    const fake = client((id) => (id.endsWith("-3") ? Promise.reject(new Error("full")) : Promise.resolve()));
    const accepted: number[] = [];
    const given = { clock, signal: new AbortController().signal, count: 1_000_000 };
    const done = produce(PLAN, 0, { ...given, client: fake, accepted: ({ number }) => accepted.push(number) });
    await expect(done).rejects.toThrow("full");
    expect(accepted).not.toContain(3);
  });

  test("stops when it is told to", async () => {
    const fake = client();
    const stop = new AbortController();
    const given = { clock, signal: stop.signal, count: Number.POSITIVE_INFINITY };
    await produce(PLAN, 0, { ...given, client: fake, accepted: ({ number }) => number === 10 && stop.abort() });
    expect(fake.sent.length).toBeLessThan(3_000);
  });
});

test("the line of stats has the original's words and widths", () => {
  const sizes = { inputQueueSize: 7, workQueueSize: 8, deadQueueSize: 12_345 };
  const counters = { enqueued: 1, started: 22, retried: 333, failed: 4_444, completed: 1_234_567 };
  const rest = { released: 0, expired: 0, cancelled: 0, aborted: 0, requeued: 0, deleted: 0, scheduledSize: 0 };
  const kept = { completedSize: 0, cancelledSize: 0, bytes: 0, oldestReadyAgeMs: undefined, workers: 0, slots: 0 };
  expect(statsLine({ ...sizes, ...counters, ...rest, ...kept })).toBe(
    "Q=     1 S=    22 R=   333 F=  4444 C=1234567 IQ=   7 WQ=   8 DQ=12345",
  );
});
