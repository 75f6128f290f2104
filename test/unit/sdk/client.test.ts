import { once } from "node:events";
import { createServer } from "node:net";
import { Client, defineTopic, type StandardSchema, TaskqueueError } from "@taskqueue/sdk";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { freePort } from "../../support/ports.js";
import { until } from "../../support/until.js";
import { type EnqueueAnswer, FakeBroker } from "./fake-broker.js";

const work = defineTopic<[n: number]>("work");
const other = defineTopic<[n: number]>("other");

function numbersOf(broker: FakeBroker): number[][] {
  return broker.requests.map(({ tasks }) => tasks.map((task) => Number(task.args?.[0])));
}

/** A refusal as brokers send it. */
function refusal(reason: string, more: { code?: number; field?: string; retryMs?: number } = {}): EnqueueAnswer {
  const { code = 3, field = "", retryMs } = more;
  const retryDelay = retryMs === undefined ? undefined : { seconds: 0, nanos: retryMs * 1_000_000 };
  return { error: { code, reason, message: `${field} refused: ${reason}`, field, retryDelay } };
}

describe("enqueueing", () => {
  test("resolves with the id that was sent, and whether the task was new", async () => {
    await using broker = await FakeBroker.start({ answer: () => ({ existing: [1] }) });
    await using client = new Client({ address: broker.address });
    const results = await Promise.all([
      client.enqueue(work, [1], { id: "mine-1" }),
      client.enqueue(work, [2], { id: "mine-2" }),
      client.enqueue(work, [3], { id: "mine-3" }),
    ]);
    expect(results).toEqual([
      { id: "mine-1", created: true },
      { id: "mine-2", created: false },
      { id: "mine-3", created: true },
    ]);
    expect(broker.requests).toHaveLength(1);
  });

  test("a random id that the broker knows is this very task, sent before", async () => {
    await using broker = await FakeBroker.start({ answer: () => ({ existing: [0] }) });
    await using client = new Client({ address: broker.address });
    const { id, created } = await client.enqueue(work, [1]);
    expect(created).toBe(true);
    expect(broker.requests[0]?.tasks[0]?.id).toBe(id);
  });

  test("whatever is enqueued in one tick travels together, in order", async () => {
    await using broker = await FakeBroker.start();
    await using client = new Client({ address: broker.address });
    const calls = Array.from({ length: 10 }, (_, n) => client.enqueue(work, [n]));
    const many = client.enqueueMany(work, [[10], { args: [11], id: "eleven" }]);
    await Promise.all([...calls, many]);
    expect(numbersOf(broker)).toEqual([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]]);
  });

  test("requests under way side by side share what has gathered, unless it is little", async () => {
    await using broker = await FakeBroker.start();
    await using client = new Client({ address: broker.address });
    await client.enqueue(work, [0]);
    const enqueue = (count: number) => Promise.all(Array.from({ length: count }, (_, n) => client.enqueue(work, [n])));
    await enqueue(150);
    await enqueue(240);
    const many = client.enqueueMany(
      work,
      Array.from({ length: 180 }, (_, n): [number] => [n]),
    );
    await Promise.all([many, enqueue(20)]);
    expect(broker.requests.map(({ tasks }) => tasks.length)).toEqual([1, 100, 50, 100, 100, 40, 20, 180]);
    expect(numbersOf(broker)[2]).toEqual(Array.from({ length: 50 }, (_, n) => 100 + n));
  });

  test("one by one they are sent one by one", async () => {
    await using broker = await FakeBroker.start();
    await using client = new Client({ address: broker.address });
    for (let n = 0; n < 5; n += 1) await client.enqueue(work, [n]);
    expect(numbersOf(broker)).toEqual([[0], [1], [2], [3], [4]]);
  });

  test("while answers are outstanding the next batch grows", async () => {
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    await using broker = await FakeBroker.start({ answer: () => gate.then(() => ({})) });
    await using client = new Client({ address: broker.address });
    const calls: Promise<unknown>[] = [];
    for (let n = 0; n < 50; n += 1) {
      calls.push(client.enqueue(work, [n]));
      await new Promise(setImmediate);
    }
    release();
    await Promise.all(calls);
    expect(numbersOf(broker).flat()).toEqual(Array.from({ length: 50 }, (_, n) => n));
    expect(broker.requests.length).toBeLessThan(10);
  });

  test("requests stay within 250 tasks and about 1 MiB", async () => {
    await using broker = await FakeBroker.start();
    await using client = new Client({ address: broker.address });
    const blobs = defineTopic<[string]>("blobs");
    const blob = "x".repeat(300_000);
    await Promise.all([
      ...Array.from({ length: 2_500 }, (_, n) => client.enqueue(work, [n])),
      ...Array.from({ length: 10 }, () => client.enqueue(blobs, [blob])),
    ]);
    const sizes = broker.requests.map(({ tasks }) => tasks.length);
    expect(sizes.slice(0, 10)).toEqual(Array(10).fill(250));
    expect(Math.max(...broker.requests.map(({ tasks }) => tasks.filter((task) => task.topic === "blobs").length))).toBe(
      3,
    );
  });

  test("what is not valid is refused before it is sent, alone", async () => {
    await using broker = await FakeBroker.start();
    await using client = new Client({ address: broker.address });
    const results = await Promise.allSettled([
      client.enqueue(work, [1]),
      client.enqueue(work, [Number.NaN]),
      client.enqueue(work, [2], { id: "not valid" }),
      client.enqueue(work, [3]),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected", "fulfilled"]);
    expect(numbersOf(broker)).toEqual([[1, 3]]);
  });

  test("a schema is asked first, and the input travels as it is", async () => {
    const even: StandardSchema<[number], [string]> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value) =>
          Array.isArray(value) && Number(value[0]) % 2 === 0
            ? { value: [String(value[0])] }
            : { issues: [{ message: "is odd", path: [0] }] },
      },
    };
    const topic = defineTopic("even", { args: even });
    await using broker = await FakeBroker.start();
    await using client = new Client({ address: broker.address });
    await expect(client.enqueue(topic, [3])).rejects.toMatchObject({ code: "INVALID_INPUT", field: "args[0]" });
    await client.enqueue(topic, [4]);
    expect(numbersOf(broker)).toEqual([[4]]);
    await expect(client.enqueueMany(topic, [[4], [5]])).rejects.toMatchObject({ field: "items[1].args[0]" });
  });
});

describe("enqueueMany", () => {
  test("splits at 1,000 and answers in order", async () => {
    await using broker = await FakeBroker.start({ answer: ({ tasks }) => ({ existing: [tasks.length - 1] }) });
    await using client = new Client({ address: broker.address });
    const items = Array.from({ length: 2_100 }, (_, n) => ({ args: [n] as [number], id: `id-${n}` }));
    const results = await client.enqueueMany(work, items);
    expect(results.map(({ id }) => id)).toEqual(items.map(({ id }) => id));
    expect(results.filter(({ created }) => !created).map(({ id }) => id)).toEqual(["id-999", "id-1999", "id-2099"]);
  });

  test("is never torn apart over a batch that is nearly full", async () => {
    await using broker = await FakeBroker.start();
    await using client = new Client({ address: broker.address });
    const calls = Array.from({ length: 200 }, (_, n) => client.enqueue(work, [n]));
    const many = client.enqueueMany(
      work,
      Array.from({ length: 600 }, (_, n): [number] => [n]),
    );
    await Promise.all([...calls, many]);
    expect(broker.requests.map(({ tasks }) => tasks.length)).toEqual([200, 600]);
  });

  test("stores nothing of 1,000 when one of them is invalid, and says which", async () => {
    await using broker = await FakeBroker.start();
    await using client = new Client({ address: broker.address });
    await expect(client.enqueueMany(work, [[1], [2], [Number.NaN]])).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      field: "items[2].args[0]",
    });
    await client.enqueue(work, [4]);
    expect(numbersOf(broker)).toEqual([[4]]);
  });

  test("of nothing is nothing", async () => {
    await using client = new Client({ address: "127.0.0.1:1" });
    expect(await client.enqueueMany(work, [])).toEqual([]);
  });
});

describe("a refused request", () => {
  test("fails the call at fault alone, and in that call's own terms", async () => {
    await using broker = await FakeBroker.start({
      answer: ({ tasks }) => {
        const bad = tasks.findIndex((task) => Number(task.args?.[0]) < 0);
        return bad < 0 ? {} : refusal("INVALID_ARGUMENT", { field: `tasks[${bad}].args` });
      },
    });
    await using client = new Client({ address: broker.address });
    const [first, single, many, last] = await Promise.allSettled([
      client.enqueue(work, [1]),
      client.enqueue(work, [-1]),
      client.enqueueMany(work, [[2], [-2]]),
      client.enqueue(work, [3]),
    ]);
    expect(first.status).toBe("fulfilled");
    expect(last.status).toBe("fulfilled");
    expect(single).toMatchObject({ status: "rejected", reason: { code: "INVALID_ARGUMENT", field: "args" } });
    expect(many).toMatchObject({ status: "rejected", reason: { field: "items[1].args" } });
  });

  test("is halved until the fault is alone, when the broker does not say where it is", async () => {
    await using broker = await FakeBroker.start({
      answer: ({ tasks }) => (tasks.some((task) => Number(task.args?.[0]) === 13) ? refusal("INVALID_ARGUMENT") : {}),
    });
    await using client = new Client({ address: broker.address });
    const results = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => client.enqueue(work, [n])));
    expect(results.map(({ status }, n) => (status === "rejected" ? n : -1)).filter((n) => n >= 0)).toEqual([13]);
    expect(broker.requests.length).toBeLessThan(12);
  });

  test("by a full topic is repeated, while other topics go on", async () => {
    let full = true;
    await using broker = await FakeBroker.start({
      answer: ({ tasks }) =>
        full && tasks.some((task) => task.topic === "work") ? refusal("TOPIC_FULL", { code: 8, retryMs: 20 }) : {},
    });
    await using client = new Client({ address: broker.address });
    const blocked = client.enqueue(work, [1]);
    await client.enqueue(other, [2]);
    full = false;
    await expect(blocked).resolves.toMatchObject({ created: true });
  });

  test("waits at least as long as the broker asks", async () => {
    await using broker = await FakeBroker.start({
      answer: (_, index) => (index === 0 ? refusal("STORE_FULL", { code: 8, retryMs: 150 }) : {}),
    });
    await using client = new Client({ address: broker.address });
    const before = performance.now();
    await client.enqueue(work, [1]);
    expect(performance.now() - before).toBeGreaterThanOrEqual(149);
  });

  test("is given up when its time is over, with the broker's reason", async () => {
    await using broker = await FakeBroker.start({ answer: () => refusal("TOPIC_FULL", { code: 8, retryMs: 30 }) });
    await using client = new Client({ address: broker.address, retryForMs: 200 });
    const error: unknown = await client.enqueue(work, [1]).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: "TOPIC_FULL",
      retryable: true,
      message: expect.stringMatching(/gave up after 200 ms/),
    });
    expect(error).toHaveProperty("cause.code", "TOPIC_FULL");
  });

  test("is not repeated when the broker says INTERNAL", async () => {
    await using broker = await FakeBroker.start({ answer: () => refusal("INTERNAL", { code: 13 }) });
    await using client = new Client({ address: broker.address });
    await expect(client.enqueue(work, [1])).rejects.toMatchObject({ code: "INTERNAL", retryable: false });
    expect(broker.requests).toHaveLength(1);
  });
});

describe("a lost stream", () => {
  test("is opened again, and what had no answer is sent again with the same ids", async () => {
    await using broker = await FakeBroker.start({ answer: (_, index) => (index === 1 ? "lose" : {}) });
    await using client = new Client({ address: broker.address });
    await client.enqueue(work, [1]);
    await Promise.all([client.enqueue(work, [2]), client.enqueue(work, [3])]);
    expect(numbersOf(broker)).toEqual([[1], [2, 3], [2, 3]]);
    expect(broker.requests[2]?.tasks).toEqual(broker.requests[1]?.tasks);
  });

  test("is survived by moving to another broker", async () => {
    const first = await FakeBroker.start();
    await using second = await FakeBroker.start();
    await using client = new Client({ address: [first.address, second.address] });
    await client.enqueue(work, [1]);
    const [used, spare] = first.requests.length > 0 ? [first, second] : [second, first];
    used.stop();
    await client.enqueue(work, [2]);
    expect(numbersOf(spare)).toEqual([[2]]);
    first.stop();
  });

  test("is survived by the broker's coming back", async () => {
    const broker = await FakeBroker.start();
    await using client = new Client({ address: broker.address });
    await client.enqueue(work, [1]);
    broker.stop();
    const pending = client.enqueue(work, [2]);
    await using again = await FakeBroker.start({ port: Number(broker.address.split(":")[1]) });
    await expect(pending).resolves.toMatchObject({ created: true });
    expect(numbersOf(again)).toEqual([[2]]);
  });
});

/** Attempts to connect that follow each other at once; from then on waiting times are the longest possible. */
async function failOften(client: Client): Promise<void> {
  const dice = vi.spyOn(Math, "random").mockReturnValue(0);
  onTestFinished(() => dice.mockRestore());
  while (dice.mock.calls.length < 200) await client.enqueue(work, [0]).catch(() => {});
  dice.mockReturnValue(0.999);
}

describe("without a broker", () => {
  test("a call fails when its time is over, naming the address and what to check", async () => {
    await using client = new Client({ address: "127.0.0.1:1", retryForMs: 0 });
    const started = performance.now();
    await expect(client.enqueue(work, [1])).rejects.toMatchObject({
      code: "UNREACHABLE",
      retryable: true,
      message: expect.stringMatching(/127\.0\.0\.1:1: .*ECONNREFUSED.*Is a broker running there/),
    });
    await expect(client.stats()).rejects.toMatchObject({ code: "UNREACHABLE" });
    expect(performance.now() - started).toBeLessThan(3_000);
  });

  test("what was never sent fails as unreachable, too, and may be repeated", async () => {
    const warn = vi.fn();
    const logger = { debug: vi.fn(), info: vi.fn(), warn, error: vi.fn() };
    await using client = new Client({ address: "127.0.0.1:1", retryForMs: 50, logger });
    await failOften(client);
    warn.mockClear();
    const first = client.enqueue(work, [1]).catch(() => {});
    await until("the stream is lost, and the next attempt far away", () => warn.mock.calls.length > 0);
    const codes = await Promise.all(
      Array.from({ length: 2_100 }, (_, index) => client.enqueue(work, [index]).then(String, ({ code }) => code)),
    );
    expect([...new Set(codes)]).toEqual(["UNREACHABLE"]);
    await first;
  });

  test("the next attempt is never more than a second away", async () => {
    const port = await freePort();
    await using client = new Client({ address: `127.0.0.1:${port}`, retryForMs: 50 });
    await failOften(client);
    await expect(client.enqueue(work, [1])).rejects.toMatchObject({ code: "UNREACHABLE" });
    await using broker = await FakeBroker.start({ port });
    const started = performance.now();
    while ((await client.enqueue(work, [2]).catch(() => undefined)) === undefined);
    expect(performance.now() - started).toBeLessThan(1_500);
    expect(broker.requests.length).toBeGreaterThan(0);
  });

  test("that speaks gRPC at all, the attempt to connect ends", async () => {
    const mute = createServer(() => {}).listen(0, "127.0.0.1");
    await once(mute, "listening");
    const address = mute.address();
    const port = typeof address === "object" ? address?.port : 0;
    await using client = new Client({ address: `127.0.0.1:${port}`, retryForMs: 0, connectTimeoutMs: 100 });
    await expect(client.enqueue(work, [1])).rejects.toMatchObject({
      message: expect.stringMatching(/no connection within 100 ms/),
    });
    mute.close();
  });

  test("several addresses are all named", async () => {
    await using client = new Client({ address: ["127.0.0.1:1", "127.0.0.1:2"], retryForMs: 0 });
    await expect(client.enqueue(work, [1])).rejects.toThrow(/any of 127\.0\.0\.1:1, 127\.0\.0\.1:2/);
  });
});

describe("a full buffer", () => {
  test("makes enqueue wait, in order, and bounds what is under way", async () => {
    const gates: (() => void)[] = [];
    await using broker = await FakeBroker.start({
      answer: () =>
        new Promise((resolve) => {
          gates.push(() => resolve({}));
        }),
    });
    await using client = new Client({ address: broker.address, bufferedTasksMax: 10 });
    const calls = Array.from({ length: 35 }, (_, n) => client.enqueue(work, [n]));
    for (let answered = 0; answered < 4; answered += 1) {
      await until("a request arrives", () => gates.length > answered);
      const sent = numbersOf(broker).flat().length;
      expect(sent).toBeLessThanOrEqual(10 * (answered + 1));
      gates[answered]?.();
    }
    const rest = until("all are answered", () => {
      for (const gate of gates) gate();
      return numbersOf(broker).flat().length === 35;
    });
    await Promise.all([...calls, rest]);
    expect(numbersOf(broker).flat()).toEqual(Array.from({ length: 35 }, (_, n) => n));
  });

  test("does not forget those who wait when others ahead of them are refused", async () => {
    await using broker = await FakeBroker.start();
    await using client = new Client({ address: broker.address, bufferedTasksMax: 1 });
    const results = await Promise.allSettled([
      client.enqueue(work, [0]),
      client.enqueue(work, [Number.NaN]),
      client.enqueue(work, [Number.NaN]),
      client.enqueue(work, [3]),
      client.enqueueMany(work, [[4], [5]]),
    ]);
    expect(results.map(({ status }) => status)).toEqual([
      "fulfilled",
      "rejected",
      "rejected",
      "fulfilled",
      "fulfilled",
    ]);
  });
});

describe("closing", () => {
  test("sends what is pending first, also what waits for room", async () => {
    await using broker = await FakeBroker.start();
    const client = new Client({ address: broker.address, bufferedTasksMax: 2 });
    const calls = Promise.all([1, 2, 3, 4, 5].map((n) => client.enqueue(work, [n])));
    await client.close();
    await calls;
    expect(numbersOf(broker).flat()).toEqual([1, 2, 3, 4, 5]);
  });

  test("refuses what comes after, and may be done twice or without ever connecting", async () => {
    const client = new Client();
    await Promise.all([client.close(), client.close()]);
    await expect(client.enqueue(work, [1])).rejects.toMatchObject({ code: "CLOSED" });
    await expect(client.enqueueMany(work, [[1]])).rejects.toMatchObject({ code: "CLOSED" });
    await expect(client.stats()).rejects.toMatchObject({ code: "CLOSED" });
  });
});

describe("options", () => {
  test.each([
    [{ adress: "typo" }, /no option "adress"/],
    [{ retryForMs: -1 }, /retryForMs/],
    [{ address: [] }, /at least one/],
    [{ address: "localhost:port" }, /host:port/],
    [{ address: "ftp://x:1" }, /https:/],
    [{ bufferedTasksMax: 0 }, /bufferedTasksMax/],
  ])("%j are refused", (options, message) => {
    expect(() => new Client(options as object)).toThrow(message);
    expect(() => new Client(options as object)).toThrow(TaskqueueError);
  });

  test("addresses come in many forms", () => {
    for (const address of [
      "localhost",
      "localhost:1",
      "[::1]:50051",
      "http://a:1",
      "https://a",
      "unix:///x",
      "dns:///a:1",
      "ipv4:1.2.3.4:5,1.2.3.5:5",
    ]) {
      expect(() => new Client({ address })).not.toThrow();
    }
  });
});
