import { Worker } from "@taskqueue/sdk";
import { describe, expect, test } from "vitest";
import { until } from "../../support/until.js";
import { FakeBroker } from "./fake-broker.js";
import { attach, gate, work } from "./worker-fixture.js";

const UNAVAILABLE = 14;
const FAILED_PRECONDITION = 9;

describe("a lost stream", () => {
  test("is followed by another at once, which resumes the session with every lease held", async () => {
    const open = gate();
    await using attached = await attach((input) => (input[0] === "slow" ? open.opened : undefined));
    const { stream, broker } = attached;
    stream.obliging = false;
    stream.deliver({ id: "slow", args: ["slow"] }, { id: "quick" });
    const sent = await stream.updateWith(({ completed }) => completed.length > 0);
    expect(sent.completed).toMatchObject([{ leaseToken: "token-quick" }]);
    // Lost before the report was settled.
    stream.end({ code: UNAVAILABLE });
    const next = await broker.nextStream();
    const hello = await next.welcome();
    expect(hello).toMatchObject({
      slots: 24,
      resume: { sessionId: "session-1", sessionSecret: "secret", leaseTokens: ["token-slow", "token-quick"] },
    });
    // Numbers begin anew, and the report is made again.
    expect(await next.update()).toMatchObject({
      number: 1,
      received: 0,
      slots: undefined,
      completed: [{ leaseToken: "token-quick" }],
      renew: [],
    });
    open.open();
    expect(await next.update()).toMatchObject({ number: 2, completed: [{ leaseToken: "token-slow" }] });
    const types = attached.events.map(({ type }) => type).filter((type) => !type.startsWith("task:"));
    expect(types.slice(0, 4)).toEqual(["connected", "disconnected", "connected", "settled"]);
    expect(attached.events.filter(({ type }) => type === "connected")).toMatchObject([
      { resumed: false },
      { resumed: true },
    ]);
  });

  test("that ends without an error is lost all the same", async () => {
    await using attached = await attach(() => {});
    attached.stream.end();
    const next = await attached.broker.nextStream();
    expect((await next.welcome()).resume).toMatchObject({ sessionId: "session-1" });
  });

  test("loses no report of processors that end meanwhile", async () => {
    const open = gate();
    const broker = await FakeBroker.start();
    const worker = new Worker({ address: broker.address });
    worker.register(work, () => open.opened);
    const started = worker.start();
    const stream = await broker.nextStream();
    await stream.welcome();
    await started;
    stream.deliver({ id: "a" }, { id: "b" });
    await stream.updateWith(({ received }) => received === 1);
    broker.stop();
    await new Promise<void>((resolve) => {
      const undo = worker.on("disconnected", () => {
        undo();
        resolve();
      });
    });
    open.open();
    await using again = await FakeBroker.start({ port: Number(broker.address.split(":")[1]) });
    const next = await again.nextStream();
    expect((await next.welcome()).resume?.leaseTokens).toEqual(["token-a", "token-b"]);
    const { completed } = await next.reports(2);
    expect(completed.map(({ leaseToken }) => leaseToken)).toEqual(["token-a", "token-b"]);
    await worker.close();
  });

  test("is continued at another broker", async () => {
    const brokers = [await FakeBroker.start(), await FakeBroker.start()];
    const worker = new Worker({ address: brokers.map(({ address }) => address) });
    worker.register(work, () => {});
    const started = worker.start();
    const first = await until("one of them is chosen", () =>
      brokers.find(({ leaseStreams }) => leaseStreams.length > 0),
    );
    await (await first.nextStream()).welcome();
    await started;
    first.stop();
    const second = brokers.find((broker) => broker !== first);
    const next = await second?.nextStream();
    expect((await next?.welcome())?.resume?.sessionId).toBe("session-1");
    await worker.close();
    for (const broker of brokers) broker.stop();
  });

  test("is noticed when the broker falls silent for longer than the session lasts", async () => {
    await using attached = await attach(() => {}, {}, { sessionTimeout: { seconds: 0, nanos: 150_000_000 } });
    const next = await attached.broker.nextStream();
    expect((await next.welcome()).resume?.sessionId).toBe("session-1");
    expect(attached.events).toContainEqual(
      expect.objectContaining({
        type: "disconnected",
        error: expect.objectContaining({ message: expect.stringMatching(/silent/) }),
      }),
    );
  });

  test("is not taken for lost because the worker itself stood still", async () => {
    await using attached = await attach(() => {}, {}, { sessionTimeout: { seconds: 0, nanos: 300_000_000 } });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    attached.stream.send({ heartbeat: 1 });
    expect(await attached.stream.updateWith(({ heartbeat }) => heartbeat > 0)).toMatchObject({ heartbeat: 1 });
    expect(attached.events).not.toContainEqual(expect.objectContaining({ type: "disconnected" }));
  });
});

describe("a lost session", () => {
  test("fires every signal, drops every report, and is followed by a new session", async () => {
    const reasons: unknown[] = [];
    const open = gate();
    await using attached = await attach(async (input, task) => {
      if (input[0] !== "slow") return;
      task.signal.addEventListener("abort", () => reasons.push(task.signal.reason));
      await open.opened;
    });
    const { stream, broker } = attached;
    stream.obliging = false;
    stream.deliver({ id: "slow", args: ["slow"] }, { id: "quick" });
    await stream.updateWith(({ completed }) => completed.length > 0);
    stream.end({ code: UNAVAILABLE });
    const refused = await broker.nextStream();
    await refused.hello();
    refused.refuse(FAILED_PRECONDITION, "SESSION_LOST");
    const next = await broker.nextStream();
    const hello = await next.welcome({ sessionId: "session-2" });
    // The processor that runs on takes up a place.
    expect(hello).toMatchObject({ resume: undefined, slots: 24 });
    expect(reasons).toMatchObject([{ code: "LEASE_LOST" }]);
    expect(attached.events).toContainEqual({ type: "session:lost", sessionId: "session-1", leases: 2 });
    expect(attached.events.filter(({ type }) => type === "lease:lost")).toHaveLength(2);
    open.open();
    const update = await next.updateWith(({ slots }) => slots === 25);
    expect(update).toMatchObject({ number: 0, completed: [] });
  });

  test("also when the welcome is to another session than was asked for", async () => {
    await using attached = await attach(() => {});
    attached.stream.end({ code: UNAVAILABLE });
    const next = await attached.broker.nextStream();
    await next.welcome({ sessionId: "session-9" });
    await until("the loss is told", () => attached.events.some(({ type }) => type === "session:lost"));
  });
});

describe("a broker that drains", () => {
  test("is left for another stream at once, while its stream still carries reports", async () => {
    const open = gate();
    const second = gate();
    await using attached = await attach((input) => (input[0] === 1 ? open.opened : second.opened));
    const { stream, broker } = attached;
    stream.deliver({ id: "one", args: [1] }, { id: "two", args: [2] });
    await stream.updateWith(({ received }) => received === 1);
    stream.obliging = false;
    stream.send({ drain: { deadline: { seconds: 10, nanos: 0 } } });
    const next = await broker.nextStream();
    expect((await next.hello()).resume?.leaseTokens.toSorted()).toEqual(["token-one", "token-two"]);
    // Not welcomed yet: the old stream serves, and takes no more tasks.
    stream.deliver({ id: "late" });
    open.open();
    const update = await stream.updateWith(({ completed }) => completed.length > 0);
    expect(update).toMatchObject({ slots: 0, received: 1, completed: [{ leaseToken: "token-one" }] });
    next.send({ welcome: { sessionId: "session-1", sessionSecret: "secret" } });
    await stream.over;
    second.open();
    const { completed } = await next.reports(2);
    expect(completed.map(({ leaseToken }) => leaseToken)).toEqual(["token-one", "token-two"]);
    expect(attached.events.map(({ type }) => type)).not.toContain("session:lost");
    expect(attached.events.filter(({ type }) => type === "task:started")).toHaveLength(2);
  });

  test("that refuses the move is used until it goes, and asked again", async () => {
    await using attached = await attach(() => {});
    const { stream, broker } = attached;
    stream.send({ drain: { deadline: { seconds: 10, nanos: 0 } } });
    const refused = await broker.nextStream();
    await refused.hello();
    refused.end({ code: UNAVAILABLE, details: "draining" });
    const next = await broker.nextStream();
    stream.end({ code: UNAVAILABLE });
    await next.welcome();
    await until("it is attached again", () => attached.events.filter(({ type }) => type === "connected").length === 2);
  });
});

describe("closing", () => {
  test("at once: signals fire, everything is handed back, and the goodbye comes last", async () => {
    const attached = await attach(
      (_, task) =>
        new Promise((_resolve, reject) => task.signal.addEventListener("abort", () => reject(task.signal.reason))),
      { concurrency: 1, prefetch: 1 },
    );
    attached.stream.deliver({ id: "runs" }, { id: "waits" });
    await attached.stream.updateWith(({ received }) => received === 1);
    const closed = attached.worker.close();
    const { released, failed } = await attached.stream.reports(2);
    expect(failed).toEqual([]);
    expect(released).toEqual(["token-waits", "token-runs"]);
    await attached.stream.goodbye();
    expect(await closed).toEqual({ completed: 0, released: 1, aborted: 1 });
    expect(attached.events.at(-1)).toEqual({ type: "closed" });
    attached.broker.stop();
  });

  test("at once hands back also what does not listen to its signal", async () => {
    const open = gate();
    const attached = await attach(() => open.opened);
    attached.stream.deliver({ id: "deaf" });
    await attached.stream.updateWith(({ received }) => received === 1);
    const closed = attached.worker.close();
    const { released } = await attached.stream.updateWith((update) => update.released.length > 0);
    expect(released).toEqual(["token-deaf"]);
    await attached.stream.goodbye();
    expect(await closed).toEqual({ completed: 0, released: 0, aborted: 1 });
    open.open();
    attached.broker.stop();
  });

  test("with a timeout: takes no more, waits, and reports what ended", async () => {
    const open = gate();
    const attached = await attach(() => open.opened);
    attached.stream.deliver({ id: "a" }, { id: "b" });
    await attached.stream.updateWith(({ received }) => received === 1);
    const closed = attached.worker.close({ timeoutMs: 60_000 });
    expect(attached.worker.close({ timeoutMs: -1 })).toBe(closed);
    expect(await attached.stream.update()).toMatchObject({ slots: 0 });
    // Crossed with the end of credit on the wire.
    attached.stream.deliver({ id: "late" });
    expect((await attached.stream.updateWith((update) => update.released.length > 0)).released).toEqual(["token-late"]);
    open.open();
    const { completed } = await attached.stream.reports(2);
    expect(completed).toHaveLength(2);
    await attached.stream.goodbye();
    expect(await closed).toEqual({ completed: 2, released: 0, aborted: 0 });
    attached.broker.stop();
  });

  test("a second close without a timeout ends the wait of the first", async () => {
    const attached = await attach(
      (_, task) =>
        new Promise((_resolve, reject) => task.signal.addEventListener("abort", () => reject(task.signal.reason))),
    );
    attached.stream.deliver({ id: "a" });
    await attached.stream.updateWith(({ received }) => received === 1);
    const closed = attached.worker.close({ timeoutMs: -1 });
    const again = attached.worker.close();
    expect(again).toBe(closed);
    await attached.stream.updateWith((update) => update.released.length > 0);
    await attached.stream.goodbye();
    expect(await closed).toMatchObject({ aborted: 1 });
    attached.broker.stop();
  });

  test("before the start is fine, and the worker does not start afterwards", async () => {
    const worker = new Worker();
    worker.register(work, () => {});
    expect(await worker.close()).toEqual({ completed: 0, released: 0, aborted: 0 });
    await expect(worker.start()).rejects.toMatchObject({ code: "CLOSED" });
  });

  test("while the start still waits for a broker makes the start fail", async () => {
    const worker = new Worker({ address: "127.0.0.1:1" });
    worker.register(work, () => {});
    const started = worker.start();
    await Promise.all([expect(started).rejects.toMatchObject({ code: "CLOSED" }), worker.close()]);
  });

  test("without a broker does not wait for one when there is nothing to report", async () => {
    const attached = await attach(() => {});
    attached.broker.stop();
    await until("the stream is lost", () => attached.events.some(({ type }) => type === "disconnected"));
    const before = performance.now();
    await attached.worker.close();
    expect(performance.now() - before).toBeLessThan(1_000);
  });
});

test("a session can be renewed from a thread, while the event loop is busy", async () => {
  await using attached = await attach(
    () => {},
    { renewFromThread: true },
    { sessionTimeout: { seconds: 0, nanos: 300_000_000 } },
  );
  await until("the thread has renewed the session twice", () => {
    // The stream is alive as well, or the worker would look for another one.
    attached.stream.send({ heartbeat: 1 });
    return attached.broker.renewals.length >= 2;
  });
  expect(attached.broker.renewals[0]).toEqual({ sessionId: "session-1", sessionSecret: "secret" });
});
