import {
  bytesCodec,
  DoNotRetry,
  defineTopic,
  RetryLater,
  type RunningTask,
  TaskqueueError,
  Worker,
} from "@taskqueue/sdk";
import { describe, expect, test, vi } from "vitest";
import { until } from "../../support/until.js";
import { FakeBroker } from "./fake-broker.js";
import { attach, gate, work } from "./worker-fixture.js";

describe("a worker", () => {
  test("introduces itself with its topics and its credit", async () => {
    await using broker = await FakeBroker.start();
    const worker = new Worker({ address: broker.address, concurrency: 7, prefetch: 3, name: "bob", bytesMax: 1_000 });
    worker.register(work, () => {}, { concurrency: 2, weight: 5 }).register(defineTopic("other"), () => {});
    const started = worker.start();
    const stream = await broker.nextStream();
    expect(await stream.welcome()).toEqual({
      worker: "bob",
      topics: [
        { topic: "work", concurrency: 2, weight: 5 },
        { topic: "other", concurrency: 0, weight: 1 },
      ],
      slots: 10,
      bytesMax: 1_000,
      resume: undefined,
      sdk: expect.stringMatching(/^taskqueue-node\/\d/),
    });
    await started;
    await worker.close();
  });

  test("hands the processor everything the broker tells", async () => {
    const seen: RunningTask[] = [];
    const inputs: unknown[] = [];
    await using attached = await attach((input, task) => {
      inputs.push(input);
      seen.push(task);
    });
    attached.stream.deliver({
      id: "a",
      args: [1, { two: [null] }],
      task: { externalId: "order-7", metadata: { traceparent: "00" } },
      lease: { attempt: 3, failures: 2, age: { seconds: 1, nanos: 500_000_000 }, timeout: { seconds: 60, nanos: 0 } },
    });
    await attached.stream.updateWith(({ completed }) => completed.length > 0);
    expect(inputs).toEqual([[1, { two: [null] }]]);
    expect(seen[0]).toMatchObject({
      topic: "work",
      id: "a",
      attempt: 3,
      failures: 2,
      externalId: "order-7",
      metadata: { traceparent: "00" },
      payload: undefined,
      contentType: "",
      leaseToken: "token-a",
      ageMs: 1_500,
      timeoutMs: 60_000,
    });
    expect(seen[0]?.signal.aborted).toBe(false);
  });

  test("reports, acknowledges and gives credit in one update", async () => {
    await using attached = await attach((input) => input[0], { concurrency: 5 });
    const delivery = attached.stream.deliver({ id: "a" });
    expect(await attached.stream.update()).toMatchObject({
      number: 1,
      received: delivery,
      slots: 5,
      completed: [{ leaseToken: "token-a" }],
    });
  });

  test("acknowledges a delivery at once, and counts credit from it", async () => {
    const open = gate();
    await using attached = await attach(() => open.opened, { concurrency: 3 });
    attached.stream.deliver({ id: "a" }, { id: "b" });
    expect(await attached.stream.update()).toMatchObject({ number: 0, received: 1, slots: undefined, completed: [] });
    attached.stream.deliver({ id: "c" });
    expect(await attached.stream.update()).toMatchObject({ received: 2, slots: undefined });
    open.open();
    expect(await attached.stream.update()).toMatchObject({ number: 1, received: 2, slots: 3 });
  });

  test("runs no more at once than it may, and holds what was prefetched", async () => {
    const open = gate();
    let running = 0;
    let most = 0;
    await using attached = await attach(
      async () => {
        running += 1;
        most = Math.max(most, running);
        await open.opened;
        running -= 1;
      },
      { concurrency: 2, prefetch: 3 },
    );
    expect(attached.hello.slots).toBe(5);
    attached.stream.deliver(...["a", "b", "c", "d", "e"].map((id) => ({ id })));
    await attached.stream.updateWith(({ received }) => received === 1);
    expect({ running, held: attached.worker.held }).toEqual({ running: 2, held: 5 });
    open.open();
    await attached.stream.reports(5);
    expect(most).toBe(2);
    expect(attached.worker.held).toBe(0);
  });

  test("forgets no task when processors throw at once, while others are being entered", async () => {
    const seen: unknown[] = [];
    const processor = (input: unknown[]) => {
      seen.push(input[0]);
      if (Number(input[0]) % 3 === 0) throw new Error("at once");
      return new Promise((resolve) => setImmediate(resolve));
    };
    await using attached = await attach(processor, { concurrency: 2, prefetch: 40 });
    attached.stream.deliver(...Array.from({ length: 42 }, (_, n) => ({ id: `t${n}`, args: [n] })));
    expect((await attached.stream.reports(42)).failed).toHaveLength(14);
    expect(seen).toEqual(Array.from({ length: 42 }, (_, n) => n));
    expect(attached.worker.held).toBe(0);
  });

  test("answers a heartbeat at once, also when it has nothing else to say", async () => {
    await using attached = await attach(() => {});
    attached.stream.send({ heartbeat: 42 });
    expect(await attached.stream.updateWith(({ heartbeat }) => heartbeat > 0)).toMatchObject({
      heartbeat: 42,
      number: 0,
    });
  });

  test("lets heartbeats through while many processors are entered", async () => {
    await using attached = await attach(
      () => {
        const until_ = performance.now() + 3;
        while (performance.now() < until_);
      },
      { concurrency: 100 },
    );
    attached.stream.deliver(...Array.from({ length: 100 }, (_, n) => ({ id: `t${n}` })));
    attached.stream.send({ heartbeat: 7 });
    let before = 0;
    for (;;) {
      const { completed, heartbeat } = await attached.stream.update();
      if (heartbeat === 7) break;
      before += completed.length;
    }
    expect(before).toBeLessThan(50);
  });

  test("sends only the latest progress of a tick, and refuses nonsense", async () => {
    const open = gate();
    await using attached = await attach(async (_, task) => {
      task.progress(0.1);
      task.progress(0.5, "half");
      expect(() => task.progress(1.5)).toThrow(/0 to 1/);
      await open.opened;
    });
    attached.stream.deliver({ id: "a" });
    const { progress } = await attached.stream.updateWith((update) => update.progress.length > 0);
    expect(progress).toEqual([{ leaseToken: "token-a", progress: { fraction: 0.5, message: "half" } }]);
    open.open();
  });
});

describe("what a processor returns", () => {
  test("is sent when the task is retained, and only then", async () => {
    await using attached = await attach((input) => ({ got: input }));
    attached.stream.deliver(
      { id: "a", args: [1], task: { retention: { seconds: 60, nanos: 0 } } },
      { id: "b", args: [2] },
    );
    const { completed } = await attached.stream.reports(2);
    expect(completed).toEqual([
      { leaseToken: "token-a", result: { got: [1] } },
      { leaseToken: "token-b", result: undefined },
    ]);
  });

  test("fails the attempt for good when it cannot be kept as it is", async () => {
    await using attached = await attach(() => ({ at: new Date(0) }));
    attached.stream.deliver({ id: "a", task: { retention: { seconds: 60, nanos: 0 } } }, { id: "b" });
    const { completed, failed } = await attached.stream.reports(2);
    expect(failed).toMatchObject([
      { leaseToken: "token-a", doNotRetry: true, error: expect.stringMatching(/result\.at: must not be a Date/) },
    ]);
    expect(completed).toEqual([{ leaseToken: "token-b", result: undefined }]);
  });

  test("fails the attempt for good when it is larger than the broker takes", async () => {
    await using attached = await attach((input) => "x".repeat(Number(input[0])), {}, { taskBytesMax: 500 });
    const task = { retention: { seconds: 60, nanos: 0 } };
    attached.stream.deliver({ id: "a", args: [400], task }, { id: "b", args: [600], task });
    const { completed, failed } = await attached.stream.reports(2);
    expect(completed).toHaveLength(1);
    expect(failed).toMatchObject([{ doNotRetry: true, error: expect.stringMatching(/500 is the most/) }]);
  });
});

describe("what a processor throws", () => {
  async function failureOf(
    processor: () => unknown,
    options: Parameters<Worker["register"]>[2] = {},
    lease: object = {},
  ): Promise<{ error: string; retryDelay: unknown; doNotRetry: boolean }> {
    await using broker = await FakeBroker.start();
    const worker = new Worker({ address: broker.address });
    worker.register(work, processor, options);
    const started = worker.start();
    const stream = await broker.nextStream();
    await stream.welcome();
    await started;
    stream.deliver({ id: "a", lease });
    const { failed } = await stream.updateWith((update) => update.failed.length > 0);
    await worker.close();
    const [failure] = failed;
    if (failure === undefined) throw new Error("no failure");
    return failure;
  }

  test("is reported with its stack and its causes", async () => {
    const failure = await failureOf(() => {
      throw new TypeError("no such thing", { cause: new Error("deeper") });
    });
    expect(failure).toMatchObject({ retryDelay: undefined, doNotRetry: false });
    expect(failure.error).toMatch(/^TypeError: no such thing\n\s+at .*\nCaused by: Error: deeper/s);
  });

  test("may be anything at all", async () => {
    expect(await failureOf(() => Promise.reject("text"))).toMatchObject({ error: "text" });
    expect(await failureOf(() => Promise.reject(undefined))).toMatchObject({ error: "undefined" });
    const hostile = {
      toString() {
        throw new Error("not even text");
      },
    };
    expect(await failureOf(() => Promise.reject(hostile))).toMatchObject({
      error: "an error that cannot be described",
    });
  });

  test("is cut to 4,096 bytes, between characters", async () => {
    const { error } = await failureOf(() => Promise.reject("€".repeat(5_000)));
    expect(error).toBe("€".repeat(1365));
  });

  test("can ask for a delay, or for no retry", async () => {
    expect(await failureOf(() => Promise.reject(new RetryLater(2_500)))).toMatchObject({
      retryDelay: { seconds: 2, nanos: 500_000_000 },
      doNotRetry: false,
    });
    expect(await failureOf(() => Promise.reject(new DoNotRetry("hopeless")))).toMatchObject({
      doNotRetry: true,
      error: expect.stringMatching(/^DoNotRetry: hopeless/),
    });
  });

  test("is put to the registration's backoff, with the number of the retry", async () => {
    const asked: unknown[] = [];
    const backoff = (retry: number, error: unknown) => {
      asked.push([retry, String(error)]);
      return 1_000 * retry;
    };
    const failure = await failureOf(() => Promise.reject(new Error("x")), { backoff }, { failures: 2 });
    expect(failure.retryDelay).toEqual({ seconds: 3, nanos: 0 });
    expect(asked).toEqual([[3, "Error: x"]]);
  });

  test("leaves the delay to the task when the backoff throws or makes no sense", async () => {
    for (const backoff of [() => Number.NaN, () => -1, () => undefined, () => Promise.reject() as never].slice(0, 3)) {
      expect(await failureOf(() => Promise.reject("x"), { backoff })).toMatchObject({ retryDelay: undefined });
    }
    const thrower = () => {
      throw new Error("in the backoff");
    };
    expect(await failureOf(() => Promise.reject("x"), { backoff: thrower })).toMatchObject({ retryDelay: undefined });
  });
});

describe("input that is not what the topic says", () => {
  test("fails its own attempt for good, and no other", async () => {
    const numbers = defineTopic("numbers", {
      args: {
        "~standard": {
          version: 1,
          vendor: "test",
          validate: async (value) =>
            Array.isArray(value) && value.every((item) => typeof item === "number")
              ? { value: value.map((item: number) => item * 2) }
              : { issues: [{ message: "not a number", path: [0] }] },
        },
      },
    });
    const broken = defineTopic("broken", {
      codec: {
        contentType: "text/plain",
        encode: (text: string) => Buffer.from(text),
        decode: () => {
          throw new Error("no text");
        },
      },
    });
    const raw = defineTopic("raw", { codec: bytesCodec() });
    await using broker = await FakeBroker.start();
    const seen: unknown[] = [];
    const worker = new Worker({ address: broker.address });
    worker.register(numbers, (input) => void seen.push(input));
    worker.register(broken, () => void seen.push("never"));
    worker.register(raw, (bytes) => void seen.push(Buffer.from(bytes).toString()));
    const started = worker.start();
    const stream = await broker.nextStream();
    await stream.welcome();
    await started;
    stream.deliver(
      { id: "a", topic: "numbers", args: [1, 2] },
      { id: "b", topic: "numbers", args: ["x"] },
      { id: "c", topic: "broken", task: { args: undefined, payload: Buffer.from("x") } },
      { id: "d", topic: "raw", task: { args: undefined, payload: Buffer.from("bytes") } },
    );
    const { failed } = await stream.reports(4);
    expect(seen).toEqual(expect.arrayContaining([[2, 4], "bytes"]));
    expect(failed.sort((a, b) => (a.leaseToken < b.leaseToken ? -1 : 1))).toMatchObject([
      { leaseToken: "token-b", doNotRetry: true, error: expect.stringMatching(/args\[0\]: not a number/) },
      { leaseToken: "token-c", doNotRetry: true, error: expect.stringMatching(/cannot be decoded: no text/) },
    ]);
    await worker.close();
  });

  test("of a topic that is not registered is handed back", async () => {
    await using attached = await attach(() => {});
    attached.stream.deliver({ id: "a", topic: "foreign" });
    const { released } = await attached.stream.updateWith((update) => update.released.length > 0);
    expect(released).toEqual(["token-a"]);
  });
});

describe("an attempt that is to stop", () => {
  test.each([
    [1, "TASK_CANCELLED"],
    [2, "TASK_TIMEOUT"],
  ] as const)("hears so by its signal (reason %i), and is reported as ever", async (reason, code) => {
    await using attached = await attach(async (_, task) => {
      await new Promise((resolve) => task.signal.addEventListener("abort", resolve));
      throw task.signal.reason;
    });
    attached.stream.deliver({ id: "a" });
    await attached.stream.updateWith(({ received }) => received === 1);
    attached.stream.send({ cancel: [{ leaseToken: "token-a", reason }] });
    const { failed } = await attached.stream.updateWith((update) => update.failed.length > 0);
    expect(failed).toMatchObject([{ leaseToken: "token-a", error: expect.stringMatching(/TaskqueueError: task a/) }]);
    expect(attached.events).toContainEqual(
      expect.objectContaining({ type: "task:cancelled", reason: expect.objectContaining({ code }) }),
    );
  });

  test("finds its signal fired when it looks for the first time afterwards", async () => {
    const open = gate();
    let signal: AbortSignal | undefined;
    await using attached = await attach(async (_, task) => {
      await open.opened;
      signal = task.signal;
    });
    attached.stream.deliver({ id: "a" });
    await attached.stream.updateWith(({ received }) => received === 1);
    attached.stream.send({ cancel: [{ leaseToken: "token-a", reason: 1 }] });
    await until("the signal fires", () => attached.events.some(({ type }) => type === "task:cancelled"));
    open.open();
    await attached.stream.updateWith((update) => update.completed.length > 0);
    expect(signal?.reason).toMatchObject({ code: "TASK_CANCELLED" });
  });

  test("because its lease is lost is not reported, and its place is free when it returns", async () => {
    const open = gate();
    const reasons: unknown[] = [];
    await using attached = await attach(
      async (_, task) => {
        task.signal.addEventListener("abort", () => reasons.push(task.signal.reason));
        await open.opened;
        task.progress(0.5);
      },
      { concurrency: 2 },
    );
    attached.stream.deliver({ id: "a" }, { id: "b" });
    await attached.stream.updateWith(({ received }) => received === 1);
    attached.stream.send({ lost: ["token-a"] });
    await until("the lease is lost", () => attached.events.some(({ type }) => type === "lease:lost"));
    expect(reasons).toMatchObject([{ code: "LEASE_LOST" }]);
    open.open();
    const update = await attached.stream.updateWith(({ slots }) => slots === 2);
    expect(update.completed).toEqual([{ leaseToken: "token-b", result: undefined }]);
    expect(update.progress.map(({ leaseToken }) => leaseToken)).not.toContain("token-a");
  });

  test("and whose report is refused is lost, and not settled, also when one message says both", async () => {
    await using attached = await attach(() => {});
    attached.stream.obliging = false;
    attached.stream.deliver({ id: "a" }, { id: "b" });
    const { number } = await attached.stream.updateWith(({ completed }) => completed.length === 2);
    attached.stream.send({ lost: ["token-a"], settled: number });
    await until("the reports are settled", () => attached.events.some(({ type }) => type === "settled"));
    const told = attached.events.filter(({ type }) => type === "lease:lost" || type === "settled");
    expect(told).toEqual([
      expect.objectContaining({ type: "lease:lost", leaseToken: "token-a" }),
      { type: "settled", reports: 1, leaseTokens: ["token-b"] },
    ]);
    attached.stream.obliging = true;
  });
});

describe("registering", () => {
  test("is once per topic, and before the start", async () => {
    const worker = new Worker();
    worker.register(work, () => {});
    expect(() => worker.register(work, () => {})).toThrow(/registered with this worker already/);
    await using attached = await attach(() => {});
    expect(() => attached.worker.register(defineTopic("late"), () => {})).toThrow(/before the worker is started/);
  });

  test("refuses options it does not know, and a worker without topics does not start", async () => {
    expect(() => new Worker().register(work, () => {}, { concurency: 1 } as object)).toThrow(/no option "concurency"/);
    await expect(new Worker().start()).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});

describe("listeners", () => {
  test("hear of each step, and what they throw is of no consequence", async () => {
    const error = vi.fn();
    const types: string[] = [];
    await using attached = await attach(() => {}, {
      logger: { warn: vi.fn(), error },
      onEvent: (event) => {
        types.push(event.type);
        throw new Error("from the listener");
      },
    });
    const started: string[] = [];
    const undo = attached.worker.on("task:started", ({ task }) => started.push(task.id));
    attached.stream.deliver({ id: "a" });
    await until("it is settled", () => types.includes("settled"));
    undo();
    attached.stream.deliver({ id: "b" });
    await until("both are settled", () => types.filter((type) => type === "settled").length === 2);
    const each = ["task:started", "task:completed", "settled"];
    expect(types).toEqual(["connected", ...each, ...each]);
    expect(started).toEqual(["a"]);
    expect(error).toHaveBeenCalled();
  });
});

test("starting without a broker fails in time, and names the address", async () => {
  const worker = new Worker({ address: "127.0.0.1:1", startTimeoutMs: 200 });
  worker.register(work, () => {});
  await expect(worker.start()).rejects.toMatchObject({
    code: "UNREACHABLE",
    message: expect.stringMatching(/127\.0\.0\.1:1/),
  });
  expect(await worker.close()).toEqual({ completed: 0, released: 0, aborted: 0 });
});

test("starting is refused for good when the broker says so", async () => {
  await using broker = await FakeBroker.start();
  const worker = new Worker({ address: broker.address });
  worker.register(work, () => {});
  const started = worker.start();
  const stream = await broker.nextStream();
  stream.end({ code: 16, details: "no token" });
  const error: unknown = await started.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(TaskqueueError);
  expect(error).toMatchObject({ code: "UNAUTHENTICATED" });
});
