/** The command line as a whole: real processes against a real broker. */
import { Client, DoNotRetry, defineTopic, Worker } from "@taskqueue/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Subprocess, taskqueue } from "../support/process.js";
import { redisNamespace, sharedRedis } from "../support/redis.js";
import { until } from "../support/until.js";
import { runWith } from "../unit/cli/fake-context.js";

const MAIN =
  process.env.TASKQUEUE_TEST_DIST === "1"
    ? ["server/dist/main.js"]
    : ["--conditions=taskqueue-source", "--import", import.meta.resolve("tsx"), "server/main.ts"];

let broker: Subprocess;
let address: string;
let client: Client;

beforeAll(async () => {
  broker = await taskqueue([
    "serve",
    "--data",
    ":memory:",
    "--listen",
    "127.0.0.1:0",
    "--http",
    "off",
    "--log-format",
    "json",
  ]);
  address = (await broker.waitForLine(/"address":"([^"]+)"/))[1] ?? "";
  client = new Client({ address });
});

afterAll(async () => {
  await client?.close();
  expect(await broker?.stop()).toEqual({ code: 0, signal: null });
});

/** Runs a command against the broker, in this process: starting one per command takes long. */
async function cli(...args: string[]): Promise<{ code: number; output: string }> {
  const environment = { TASKQUEUE_ADDRESS: address };
  const { code, stdout, stderr } = await runWith(args, { environment, connect: (options) => new Client(options) });
  return { code, output: (stdout + stderr).trimEnd() };
}

async function json(...args: string[]): Promise<unknown[]> {
  const { code, output } = await cli(...args, "--json");
  expect(code, output).toBe(0);
  return output.split("\n").map((line): unknown => JSON.parse(line));
}

test("a command is a process of its own", async () => {
  await using child = await taskqueue(["enqueue", "own", "1", "--id", "a", "--json", "--address", address]);
  expect(await child.exited).toEqual({ code: 0, signal: null });
  expect(child.output).toBe('{"topic":"own","id":"a","created":true}');
});

test("the life of a task", async () => {
  expect(await cli("health")).toMatchObject({ code: 0 });
  expect(await cli("enqueue", "life", "640", '"x"', "--id", "a", "--retention", "1h")).toEqual({
    code: 0,
    output: "a",
  });
  expect(await json("enqueue", "life", "--id", "a")).toEqual([{ topic: "life", id: "a", created: false }]);
  expect(await json("list", "life", "--state", "ready")).toMatchObject([
    { id: "a", args: [640, "x"], retentionMs: 3_600_000 },
  ]);
  expect(await json("stats", "life")).toMatchObject([{ topic: "life", stats: { enqueued: 1, inputQueueSize: 1 } }]);
  expect(await json("cancel", "life", "a")).toEqual([{ id: "a", outcome: "done", state: null }]);
  expect(await json("get", "life", "a")).toMatchObject([{ state: "cancelled" }]);
  expect(await json("dead", "requeue", "life", "a")).toMatchObject([{ outcome: "done" }]);
  expect(await json("delete", "life", "a")).toMatchObject([{ outcome: "done" }]);
  expect(await cli("get", "life", "a")).toMatchObject({ code: 4 });
});

test("the dead queue: look, put back, delete", async () => {
  const topic = defineTopic<[number]>("grave");
  await using worker = new Worker({ address });
  worker.register(topic, ([n]) => {
    throw new DoNotRetry(`no use, ${n}`);
  });
  await worker.start();
  await client.enqueueMany(topic, [
    { args: [1], id: "d1" },
    { args: [2], id: "d2" },
  ]);
  await until("both are dead", async () => (await client.stats({ topic })).stats.deadQueueSize === 2);
  await worker.close();
  expect(await json("dead", "list", "grave")).toMatchObject([
    { id: "d1", deadReason: "do_not_retry", lastError: expect.stringContaining("no use, 1") },
    { id: "d2" },
  ]);
  expect((await cli("dead", "show", "grave", "d1")).output).toMatch(/dead because +do_not_retry/);
  expect(await json("dead", "requeue", "grave", "d1")).toMatchObject([{ outcome: "done" }]);
  const { code, output } = await cli("dead", "delete", "grave", "d1", "d2");
  expect({ code, lines: output.split("\n").slice(1) }).toEqual({
    code: 1,
    lines: ["d1  wrong state: ready", "d2  done"],
  });
  expect(await json("purge", "grave", "--state", "ready")).toEqual([{ deleted: 1, more: false }]);
});

test("topics are paused and configured, workers listed", async () => {
  await using worker = new Worker({ address, name: "cli-test" });
  worker.register(defineTopic("set"), () => {}, { concurrency: 3 });
  await worker.start();
  expect(await json("topics", "configure", "set", "--num-retries", "4", "--backoff-max", "1m")).toMatchObject([
    { settings: { numRetries: 4, backoff: { maxMs: 60_000 }, timeoutMs: null } },
  ]);
  expect(await json("topics", "pause", "set")).toEqual([{ topic: "set", paused: true }]);
  expect(await json("topics")).toEqual(
    expect.arrayContaining([expect.objectContaining({ topic: "set", paused: true })]),
  );
  expect(await json("workers")).toMatchObject([
    { worker: "cli-test", attached: true, topics: [{ topic: "set", concurrency: 3 }] },
  ]);
});

describe("following", () => {
  test("watch prints what happens, and ends after its count", async () => {
    await using watch = await taskqueue(["watch", "--topic", "seen", "--json", "--count", "2", "--address", address]);
    // There is no sign when it begins to watch; so tasks come until it has seen two.
    await until(
      "it has seen enough",
      async () => {
        await client.enqueue(defineTopic("seen"), []);
        return !watch.running;
      },
      { timeoutMs: 20_000 },
    );
    expect(await watch.exited).toEqual({ code: 0, signal: null });
    const events = watch.output.split("\n").map((line): unknown => JSON.parse(line));
    expect(events).toMatchObject(
      [1, 2].map(() => ({ type: "TASK_ENQUEUE", topic: "seen", dropped: false, error: null })),
    );
  });

  test("Ctrl-C is the regular end", async () => {
    await using watch = await taskqueue(["watch", "--address", address]);
    await using stats = await taskqueue(["stats", "--watch", "50ms", "--address", address]);
    await stats.waitForLine(/^\d\d:\d\d:\d\d /);
    stats.signal("SIGINT");
    await until(
      "it watches",
      async () => {
        await client.enqueue(defineTopic("seen"), []);
        return watch.output !== "";
      },
      { timeoutMs: 20_000 },
    );
    watch.signal("SIGINT");
    expect([await stats.exited, await watch.exited]).toEqual([1, 2].map(() => ({ code: 0, signal: null })));
    expect(watch.output).toMatch(/to go on from here: --after \S+$/);
  });
});

describe("a reader that leaves", () => {
  const headOf = (...args: string[]) =>
    Subprocess.start("sh", ["-c", '"$@" | head -n 1', "sh", process.execPath, ...MAIN, ...args], {
      env: { TASKQUEUE_ADDRESS: address },
    });

  test("does not keep tasks from being enqueued, nor makes a list complain", async () => {
    await using enqueue = await headOf("enqueue", "many", "1", "--count", "20000");
    expect(await enqueue.exited).toEqual({ code: 0, signal: null });
    await until("all are there", async () => (await client.stats({ topic: "many" })).stats.inputQueueSize === 20_000);
    await using list = await headOf("list", "many", "--state", "ready", "--limit", "0");
    await list.exited;
    expect(list.output).toMatch(/^ID[^\n]*$/);
  });
});

describe("without a broker", () => {
  test("commands exit with 3", async () => {
    await using child = await taskqueue(["stats", "--address", "127.0.0.1:1", "--retry-for", "0"]);
    expect(await child.exited).toEqual({ code: 3, signal: null });
    expect(child.output).toMatch(/^error: no broker answers at 127\.0\.0\.1:1/);
  });

  test("serve refuses a bad configuration with 2, and an address in use with 1", async () => {
    await using bad = await taskqueue(["serve", "--listen", "0.0.0.0:0", "--http", "off"]);
    expect(await bad.exited).toEqual({ code: 2, signal: null });
    await using taken = await taskqueue(["serve", "--data", ":memory:", "--listen", address, "--http", "off"]);
    expect(await taken.exited).toEqual({ code: 1, signal: null });
    expect(taken.output).toContain("the address is in use");
  });
});

describe("simulate", () => {
  const summaryOf = (child: Subprocess): unknown => JSON.parse(child.output.split("\n").at(-1) ?? "");

  test("loses nothing with processes that crash, hang and fail", async () => {
    await using child = await taskqueue([
      ...[
        "simulate",
        "--count",
        "100",
        "--fill-time",
        "0",
        "--run-time",
        "20ms",
        "--producers",
        "2",
        "--workers",
        "2",
        "-c",
        "5",
      ],
      ...[
        "--crash-rate",
        "0.02",
        "--hang-rate",
        "0.02",
        "--failure-rate",
        "0.05",
        "--timeout",
        "300ms",
        "--seed",
        "3",
        "--json",
      ],
    ]);
    expect(await child.exited, child.output).toEqual({ code: 0, signal: null });
    const summary = summaryOf(child);
    expect(summary).toMatchObject({ seed: 3, accepted: 100, waiting: 0, lost: 0, lostIds: [], aborted: 0 });
    expect(summary).toMatchObject({ crashes: expect.toSatisfy((n) => n > 0), hung: expect.toSatisfy((n) => n > 0) });
  });

  test("Ctrl-C stops it gracefully, and what waits is no loss", async () => {
    await using child = await taskqueue([
      "simulate",
      "--address",
      address,
      "-fill-time",
      "0",
      "-c",
      "2",
      "-log-interval=100ms",
      "-topics",
      "s1,s2",
    ]);
    await child.waitForLine(/^Q= *\d+ S= *\d+ R= *\d+ F= *\d+ C= *[1-9]\d* IQ= *\d+ WQ= *\d+ DQ= *\d+$/);
    child.signal("SIGINT");
    expect(await child.exited, child.output).toEqual({ code: 0, signal: null });
    expect(child.output).toMatch(/signal SIGINT\n(Q=.*\n)*exiting\n/);
    expect(child.output).toMatch(/left waiting +[1-9]\d*\n(.*\n)*lost +0$/m);
  });

  test("runs a broker of its own on a Redis", async () => {
    const { port } = await sharedRedis();
    await using child = await taskqueue([
      ...[
        "simulate",
        "-redis",
        `127.0.0.1:${port}`,
        "-redis-namespace",
        redisNamespace("sim"),
        "-redis-db",
        "2",
        "--count",
        "50",
      ],
      ...["-fill-time", "0", "-run-time", "0", "-failure-rate", "0", "--json"],
    ]);
    expect(await child.exited, child.output).toEqual({ code: 0, signal: null });
    expect(summaryOf(child)).toMatchObject({ accepted: 50, finished: 50, dead: 0, lost: 0 });
  });
});
