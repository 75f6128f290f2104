import { describe, expect, test } from "vitest";
import { subscription, TestEngine, TOPIC } from "../support/engine.js";
import { Random } from "../support/random.js";
import { newTask, topicName } from "../support/task-factory.js";
import { until } from "../support/until.js";

const OTHER = topicName("mails");
const ids = (count: number, prefix = "t") =>
  Array.from({ length: count }, (_, index) => `${prefix}${String(index).padStart(3, "0")}`);

describe("the window of slots", () => {
  test("a worker is given no more than it asked for", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(ids(20));
    const worker = await (await engine.attach({ slots: 3 })).read();
    expect(worker.delivered).toEqual(ids(20).slice(0, 3));
    worker.say();
    await worker.read();
    expect(worker.held.size).toBe(3);
  });

  test("a worker without slots is given nothing", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["a"]);
    const worker = await (await engine.attach({ slots: 0 })).read();
    expect(worker.delivered).toEqual([]);
    worker.credit(1);
    expect((await worker.read()).delivered).toEqual(["a"]);
  });

  test("slots count from the delivery that is named as received, not from now", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(ids(20));
    const worker = await (await engine.attach({ slots: 2 })).read();
    const first = worker.delivery;
    worker.credit(2);
    await worker.read();
    expect(worker.delivered.length).toBe(4);
    // Said before the second delivery came in: two of these five are in it.
    worker.say({ received: first, slots: 5 });
    await worker.read();
    expect(worker.delivered.length).toBe(7);
  });

  test("slots replace the credit given before, and may take it back", async () => {
    await using engine = await TestEngine.start();
    const worker = await engine.attach({ slots: 10 });
    worker.say({ slots: 1 });
    await engine.enqueue(ids(5));
    expect((await worker.read()).delivered.length).toBe(1);
    worker.credit(0);
    expect((await worker.read()).delivered.length).toBe(1);
  });

  test("an update that names no slots leaves the window as it is", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(ids(5));
    const worker = await (await engine.attach({ slots: 2 })).read();
    worker.say({ received: worker.delivery });
    expect((await worker.read()).delivered.length).toBe(2);
    worker.credit(1);
    expect((await worker.read()).delivered.length).toBe(3);
  });

  test("tasks that wait for a slow stream count, and no further ones are asked for", async () => {
    await using engine = await TestEngine.start();
    const worker = await engine.attach({ slots: 100 });
    await engine.enqueue(["a"]);
    await engine.clock.advance(0);
    const leases = engine.rig.calls("lease");
    await engine.enqueue(ids(50));
    await engine.clock.advance(0);
    expect((await engine.stats()).leased).toBe(1);
    expect(engine.rig.calls("lease") - leases).toBe(0);
    // The stream can take more: what was held back comes without another word of the worker.
    expect((await worker.read()).delivered.length).toBe(51);
  });

  test("credit is never exceeded, whatever comes between", async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const random = new Random(seed);
      await using engine = await TestEngine.start();
      const worker = await engine.attach({ slots: 4 });
      // What the worker allows in all: delivered up to the receipt, and the slots.
      let allowed = 4;
      let received = 0;
      let enqueued = 0;
      const counts = new Map<number, number>([[0, 0]]);
      const read = async (step: number) => {
        await worker.read();
        expect(worker.delivered.length, `seed ${seed}, step ${step}`).toBeLessThanOrEqual(allowed);
        counts.set(worker.delivery, worker.delivered.length);
      };
      for (let step = 0; step < 40; step += 1) {
        if (random.chance(0.5)) await engine.enqueue(ids(random.int(1, 8), `s${enqueued++}-`));
        await read(step);
        if (random.chance(0.5)) {
          const receipts = [...counts.keys()].filter((number) => number >= received);
          received = receipts[random.int(0, receipts.length - 1)] ?? received;
          const slots = random.int(0, 6);
          worker.say({ received, slots });
          allowed = Math.max(worker.delivered.length, (counts.get(received) ?? 0) + slots);
        }
        if (random.chance(0.3) && worker.held.size > 0) worker.complete([...worker.held.values()][0]?.id ?? "");
        await read(step);
      }
      expect(worker.delivered.length).toBeGreaterThan(0);
    }
  });
});

describe("topics", () => {
  test("a topic's concurrency holds, beside the slots", async () => {
    await using engine = await TestEngine.start();
    const worker = await engine.attach({ slots: 10, subscriptions: [subscription(TOPIC, { concurrency: 2 })] });
    await engine.enqueue(ids(5));
    expect((await worker.read()).held.size).toBe(2);
    worker.complete("t000");
    worker.credit(10);
    await worker.read();
    expect([...worker.held.values()].map((task) => task.id)).toEqual(["t001", "t002"]);
  });

  test("a topic at its concurrency does not hold up the others", async () => {
    await using engine = await TestEngine.start();
    const worker = await engine.attach({
      slots: 2,
      subscriptions: [subscription(TOPIC, { concurrency: 1 }), subscription(OTHER)],
    });
    // The first topic runs one long task and has more waiting; its share must not be kept free.
    await engine.enqueue(ids(5));
    await engine.enqueue(ids(6, "m"), {}, OTHER);
    await worker.read();
    for (let round = 0; round < 6; round += 1) {
      const mail = [...worker.held.values()].find((task) => task.topic === OTHER);
      if (mail === undefined) break;
      worker.complete(mail.id);
      worker.credit(1);
      await worker.read();
    }
    expect(worker.delivered.filter((id) => id.startsWith("m"))).toEqual(ids(6, "m"));
  });

  test("credit that one topic could not use goes to another at once", async () => {
    await using engine = await TestEngine.start();
    const worker = await engine.attach({ slots: 0, subscriptions: [subscription(TOPIC), subscription(OTHER)] });
    await engine.enqueue(ids(3, "m"), {}, OTHER);
    await engine.enqueue(["only"]);
    await worker.read();
    // Both are believed to have tasks; somebody else takes the first topic's.
    await engine.backend.remove(TOPIC, [newTask("only").id]);
    worker.credit(1);
    await worker.read();
    expect(worker.delivered).toEqual(["m000"]);
  });

  test("weights are respected, roughly, while all topics have tasks", async () => {
    await using engine = await TestEngine.start();
    const topics = [3, 2, 1].map((weight) => ({ weight, topic: topicName(`weight-${weight}`) }));
    for (const { topic, weight } of topics) await engine.enqueue(ids(300, `w${weight}-`), {}, topic);
    const worker = await engine.attach({
      slots: 6,
      subscriptions: topics.map(({ topic, weight }) => subscription(topic, { weight })),
    });
    await worker.read();
    while (worker.delivered.length < 300) {
      worker.complete(...[...worker.held.values()].slice(0, 2).map((task) => task.id));
      worker.credit(6 - worker.held.size);
      await worker.read();
    }
    const share = (weight: number) =>
      worker.delivered.slice(0, 300).filter((id) => id.startsWith(`w${weight}-`)).length / 300;
    expect(share(3)).toBeCloseTo(3 / 6, 1);
    expect(share(2)).toBeCloseTo(2 / 6, 1);
    expect(share(1)).toBeCloseTo(1 / 6, 1);
  });

  test("with one slot, every topic has its turn", async () => {
    await using engine = await TestEngine.start();
    for (const topic of [TOPIC, OTHER]) await engine.enqueue(ids(10, `${topic}-`), {}, topic);
    const worker = await engine.attach({ slots: 1, subscriptions: [subscription(TOPIC), subscription(OTHER)] });
    await worker.read();
    while (worker.delivered.length < 10) {
      worker.complete(...[...worker.held.values()].map((task) => task.id));
      worker.credit(1);
      await worker.read();
    }
    expect(worker.delivered.filter((id) => id.startsWith(TOPIC)).length).toBe(5);
  });

  test("a topic that was idle does not make up for it", async () => {
    await using engine = await TestEngine.start();
    const worker = await engine.attach({ slots: 1, subscriptions: [subscription(TOPIC), subscription(OTHER)] });
    await engine.enqueue(ids(40));
    await worker.read();
    const next = async () => {
      worker.complete(...[...worker.held.values()].map((task) => task.id));
      worker.credit(1);
      await worker.read();
    };
    while (worker.delivered.length < 20) await next();
    await engine.enqueue(ids(20, "m"), {}, OTHER);
    while (worker.delivered.length < 40) await next();
    const later = worker.delivered.slice(20).filter((id) => id.startsWith("m")).length;
    expect(later).toBeGreaterThanOrEqual(9);
    expect(later).toBeLessThanOrEqual(11);
  });
});

describe("bytes", () => {
  const KIB = 1024;

  test("a worker holds no more bytes than it said, but for the last task", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(ids(20), { spec: Buffer.alloc(10 * KIB) });
    const worker = await (await engine.attach({ slots: 100, bytesMax: 45 * KIB })).read();
    const held = () => [...worker.held.values()].reduce((sum, task) => sum + task.bytes, 0);
    expect(worker.held.size).toBeGreaterThanOrEqual(4);
    expect(held()).toBeLessThanOrEqual(55 * KIB + 500);
    while (worker.delivered.length < 20) {
      worker.complete([...worker.held.values()][0]?.id ?? "");
      worker.credit(100);
      await worker.read();
      expect(held()).toBeLessThanOrEqual(55 * KIB + 500);
    }
  });

  test("a task larger than the budget comes when nothing else is held, from one topic only", async () => {
    await using engine = await TestEngine.start();
    await engine.enqueue(["big"], { spec: Buffer.alloc(100 * KIB) });
    await engine.enqueue(["huge"], { spec: Buffer.alloc(200 * KIB) }, OTHER);
    const subscriptions = [subscription(TOPIC), subscription(OTHER)];
    const worker = await (await engine.attach({ slots: 10, bytesMax: 50 * KIB, subscriptions })).read();
    expect(worker.held.size).toBe(1);
    worker.complete(...worker.delivered);
    await worker.read();
    expect(worker.delivered.toSorted()).toEqual(["big", "huge"]);
  });
});

test("new tasks of many topics go straight to a worker: each sets aside what it takes, not what one may take", async () => {
  await using engine = await TestEngine.start();
  const topics = ids(100, "topic-").map(topicName);
  const subscriptions = topics.map((topic) => subscription(topic));
  const worker = await (await engine.attach({ slots: 1_000, bytesMax: 1024 * 1024, subscriptions })).read();
  await until("every topic was asked for tasks", () => engine.rig.calls("lease") >= topics.length);
  await worker.read();
  const before = engine.rig.calls("lease");
  await Promise.all(topics.map((topic) => engine.enqueue(["a"], { spec: Buffer.alloc(1_000) }, topic)));
  await worker.read();
  expect(worker.delivered.length).toBe(100);
  expect(engine.rig.calls("lease") - before).toBe(0);
});

test("tasks of many topics are asked for at once: what a demand sets aside follows from what was seen", async () => {
  await using engine = await TestEngine.start();
  const topics = ids(100, "topic-").map(topicName);
  const subscriptions = topics.map((topic) => subscription(topic, { concurrency: 2 }));
  const worker = await (await engine.attach({ slots: 1_000, bytesMax: 1024 * 1024, subscriptions })).read();
  await Promise.all(topics.map((topic) => engine.enqueue(["seen"], { spec: Buffer.alloc(1_000) }, topic)));
  await until("every topic was seen", async () => (await worker.read()).delivered.length === topics.length);
  const release = engine.rig.hold("lease");
  const before = engine.rig.calls("lease");
  const options = { now: engine.clock.now(), endedWindowMs: 0, tasksMax: 0, bytesMax: 0 };
  for (const topic of topics)
    await engine.backend.enqueue(topic, [newTask("waits", { spec: "x".repeat(1_000) })], options);
  await until("all are asked for", () => engine.rig.calls("lease") - before >= topics.length);
  release();
  await until("all are here", async () => (await worker.read()).delivered.length === 2 * topics.length);
});

describe("several workers", () => {
  test("share what comes in one after the other", async () => {
    await using engine = await TestEngine.start();
    const workers = [await engine.attach({ worker: "a" }), await engine.attach({ worker: "b" })];
    for (const id of ids(10)) {
      await engine.enqueue([id]);
      for (const worker of workers) await worker.read();
    }
    expect(workers.map((worker) => worker.held.size)).toEqual([5, 5]);
  });

  test("each task goes to one of them", async () => {
    await using engine = await TestEngine.start();
    const workers = [];
    for (const worker of ["a", "b", "c"]) workers.push(await engine.attach({ worker, slots: 7 }));
    await engine.enqueue(ids(30));
    for (const worker of workers) await worker.read();
    const all = workers.flatMap((worker) => worker.delivered);
    expect(all.toSorted()).toEqual(ids(30).slice(0, 21));
    expect(workers.map((worker) => worker.held.size)).toEqual([7, 7, 7]);
  });
});
