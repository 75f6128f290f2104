/** Every RPC once, as a generated client sees it. */
import { TaskOutcome } from "@taskqueue/sdk/gen/taskqueue/v1/admin.js";
import { EventType, type WatchResponse } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { DeadReason, TaskState } from "@taskqueue/sdk/gen/taskqueue/v1/task.js";
import { CancelReason } from "@taskqueue/sdk/gen/taskqueue/v1/worker.js";
import { Status } from "nice-grpc-common";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TestBroker } from "../support/broker.js";
import { LeaseCall } from "../support/lease-call.js";
import { until } from "../support/until.js";

let broker: TestBroker;
beforeAll(async () => {
  broker = await TestBroker.start();
});
afterAll(async () => {
  expect(broker.errors).toEqual([]);
  await broker[Symbol.asyncDispose]();
});

/** Leases the one task of a topic that is ready. */
async function leaseOne(topic: string) {
  const call = await LeaseCall.hello(broker, { topics: [{ topic }], slots: 1 });
  const { leased, delivery } = await call.until((response) => response.leased.length > 0);
  const [task] = leased;
  if (task === undefined) throw new Error("nothing was leased");
  return { call, task, delivery };
}

describe("BrokerService", () => {
  test("Enqueue answers per task whether it is new", async () => {
    const tasks = [
      { topic: "enqueue", id: "a", args: [640, 480] },
      { topic: "enqueue" },
      { topic: "enqueue-2", id: "a" },
    ];
    const { results } = await broker.producer.enqueue({ tasks });
    expect(results.map(({ created }) => created)).toEqual([true, true, true]);
    expect(results[0]?.id).toBe("a");
    expect(results[1]?.id).toMatch(/^[\w-]{20}$/);
    const again = await broker.producer.enqueue({ tasks: tasks.slice(0, 1) });
    expect(again.results).toEqual([{ id: "a", created: false }]);
  });

  test("EnqueueStream answers in order, refuses one request and goes on", async () => {
    async function* requests() {
      yield { tasks: [{ topic: "stream", id: "a" }] };
      yield { tasks: [{ topic: "stream" }] };
      yield { tasks: [{ topic: "stream", priority: 1, numRetries: -1 }] };
      yield { tasks: [] };
      yield {
        tasks: [
          { topic: "stream", id: "b" },
          { topic: "stream", id: "a" },
        ],
      };
    }
    const answers = [];
    for await (const answer of broker.producer.enqueueStream(requests())) answers.push(answer);
    expect(answers[0]).toEqual({ ids: [], existing: [], error: undefined });
    expect(answers[1]?.ids).toEqual([expect.stringMatching(/^[\w-]{20}$/)]);
    expect(answers[2]?.error).toMatchObject({
      code: Status.INVALID_ARGUMENT,
      reason: "INVALID_ARGUMENT",
      field: "tasks[0].num_retries",
      retryDelay: undefined,
    });
    expect(answers[3]?.error).toMatchObject({ code: Status.INVALID_ARGUMENT, field: "tasks" });
    expect(answers[4]).toEqual({ ids: [], existing: [1], error: undefined });
    expect(answers.length).toBe(5);
  });

  test("EnqueueStream keeps thousands of requests in order", async () => {
    async function* requests() {
      for (let index = 0; index < 2_000; index += 1) yield { tasks: [{ topic: "pipeline" }] };
    }
    const ids: string[] = [];
    for await (const answer of broker.producer.enqueueStream(requests())) ids.push(...answer.ids);
    expect(ids.length).toBe(2_000);
    const { tasks } = await broker.admin.listTasks({ topic: "pipeline", state: TaskState.READY, pageSize: 1_000 });
    expect(tasks.map(({ task }) => task?.id)).toEqual(ids.slice(0, 1_000));
  });

  test("Stats of a topic, of all, and by topic", async () => {
    await broker.producer.enqueue({
      tasks: [
        { topic: "stats", args: [1] },
        { topic: "stats", delay: { seconds: 60 } },
      ],
    });
    const { stats, topics, at } = await broker.producer.stats({ topic: "stats" });
    expect(stats).toMatchObject({ enqueued: 2, inputQueueSize: 1, scheduledSize: 1, workers: 0 });
    expect(stats?.oldestReadyAge).toBeDefined();
    expect(Math.abs(Date.now() - (at?.getTime() ?? 0))).toBeLessThan(5_000);
    expect(topics).toEqual([]);
    const whole = await broker.producer.stats({ perTopic: true });
    expect(whole.topics.find(({ topic }) => topic === "stats")?.stats).toMatchObject({ enqueued: 2 });
    expect(whole.stats?.enqueued).toBeGreaterThanOrEqual(2);
    expect((await broker.producer.stats({ topic: "never-used" })).stats).toMatchObject({ enqueued: 0, bytes: 0 });
  });

  test("Watch tells the life of a task, and goes on after a cursor", async () => {
    const watching = new AbortController();
    const watch = (after: string) =>
      broker.producer.watch({ topics: ["watch"], after }, { signal: watching.signal })[Symbol.asyncIterator]();
    const first = watch("");
    expect((await first.next()).value).toMatchObject({ events: [], dropped: false });
    await broker.producer.enqueue({ tasks: [{ topic: "watch", id: "a", externalId: "order-7" }] });
    const { value } = await first.next();
    const page: WatchResponse = value;
    expect(page.events).toMatchObject([
      { type: EventType.TASK_ENQUEUE, topic: "watch", taskId: "a", externalId: "order-7", broker: "test-broker" },
    ]);
    await broker.producer.enqueue({ tasks: [{ topic: "watch", id: "b" }] });
    await broker.producer.enqueue({ tasks: [{ topic: "elsewhere" }] });
    await first.next();
    const { call } = await leaseOne("watch");
    const resumed = watch(page.cursor);
    const seen: string[] = [];
    while (seen.length < 2) {
      const next = await resumed.next();
      seen.push(
        ...next.value.events.map((event: { type: EventType; taskId: string }) => `${event.type} ${event.taskId}`),
      );
    }
    expect(seen).toEqual([`${EventType.TASK_ENQUEUE} b`, `${EventType.TASK_START} a`]);
    watching.abort();
    call.goodbye();
    await call.rest();
  });

  test("Watch without a filter brings the stats every second", async () => {
    const watching = new AbortController();
    const responses = broker.producer.watch({}, { signal: watching.signal });
    for await (const { events } of responses) {
      const [stats] = events.filter(({ type }) => type === EventType.MANAGER_STATS);
      if (stats === undefined) continue;
      expect(stats.stats?.enqueued).toBeGreaterThan(0);
      break;
    }
    watching.abort();
  });
});

describe("WorkerService", () => {
  test("Lease: hello, delivery, report, settled, goodbye", async () => {
    await broker.producer.enqueue({
      tasks: [
        {
          topic: "lease",
          id: "a",
          args: [1, "two"],
          metadata: { k: "v" },
          retention: { seconds: 60 },
          timeout: { seconds: 90 },
        },
      ],
    });
    const { call, task, delivery } = await leaseOne("lease");
    expect(call.welcome).toMatchObject({
      broker: "test-broker",
      grace: { seconds: 2, nanos: 0 },
      sessionTimeout: { seconds: 15, nanos: 0 },
      taskBytesMax: 1_048_576,
    });
    expect(delivery).toBe(1);
    expect(task).toMatchObject({
      task: { topic: "lease", id: "a", args: [1, "two"], metadata: { k: "v" } },
      attempt: 1,
      failures: 0,
      timeout: { seconds: 90, nanos: 0 },
    });
    const { leaseToken } = task;
    call.update({ number: 1, received: 1, progress: [{ leaseToken, progress: { fraction: 0.5, message: "half" } }] });
    await call.until(({ settled }) => settled === 1);
    const running = await broker.admin.getTask({ topic: "lease", id: "a" });
    expect(running.task).toMatchObject({ state: TaskState.LEASED, progress: { fraction: 0.5 }, attempt: 1 });
    expect(running.task?.sessionId).toBe(call.welcome?.sessionId);
    call.update({ number: 2, completed: [{ leaseToken, result: { ok: [true, null] } }] });
    await call.until(({ settled }) => settled === 2);
    const done = await broker.admin.getTask({ topic: "lease", id: "a" });
    expect(done.task).toMatchObject({ state: TaskState.COMPLETED, result: { ok: [true, null] } });
    call.goodbye();
    expect(await call.rest()).toEqual([]);
  });

  test("Lease: a failure, a release, and what a goodbye hands back", async () => {
    await broker.producer.enqueue({ tasks: ["a", "b", "c"].map((id) => ({ topic: "ends", id, numRetries: 1 })) });
    const call = await LeaseCall.hello(broker, { topics: [{ topic: "ends" }], slots: 3 });
    const tokens: string[] = [];
    let received = 0;
    while (tokens.length < 3) {
      const { leased, delivery } = await call.next();
      tokens.push(...leased.map(({ leaseToken }) => leaseToken));
      received = Math.max(received, delivery);
    }
    const [first = "", second = ""] = tokens;
    call.update({
      number: 1,
      received,
      slots: 0,
      failed: [{ leaseToken: first, error: "it broke", retryDelay: { seconds: 3_600 } }],
      released: [second],
    });
    await call.until(({ settled }) => settled === 1);
    call.goodbye();
    await call.rest();
    const states = await Promise.all(["a", "b", "c"].map((id) => broker.admin.getTask({ topic: "ends", id })));
    expect(states.map(({ task }) => task?.state)).toEqual([TaskState.SCHEDULED, TaskState.READY, TaskState.READY]);
    expect(states[0]?.task).toMatchObject({ failures: 1, lastError: "it broke", lostLeases: 0 });
    expect((await broker.producer.stats({ topic: "ends" })).stats).toMatchObject({ released: 2, retried: 1 });
  });

  test("Lease: a stream that ends without a goodbye can be resumed with its leases", async () => {
    await broker.producer.enqueue({ tasks: [{ topic: "resume", id: "a" }] });
    const { call, task } = await leaseOne("resume");
    call.update({ received: 1 });
    call.cancel();
    const { sessionId, sessionSecret } = call.welcome ?? { sessionId: "", sessionSecret: "" };
    const { leaseToken } = task;
    const again = await LeaseCall.hello(broker, {
      topics: [{ topic: "resume" }],
      resume: { sessionId, sessionSecret, leaseTokens: [leaseToken] },
    });
    expect(again.welcome?.sessionId).toBe(sessionId);
    again.update({ number: 1, completed: [{ leaseToken }] });
    const { settled, lost } = await again.until((response) => response.settled > 0);
    expect([settled, lost]).toEqual([1, []]);
    again.goodbye();
    await again.rest();
  });

  test("Lease: cancelling reaches the worker", async () => {
    await broker.producer.enqueue({ tasks: [{ topic: "cancel", id: "a" }] });
    const { call, task } = await leaseOne("cancel");
    const { results } = await broker.admin.cancelTasks({ topic: "cancel", ids: ["a"] });
    expect(results).toMatchObject([{ id: "a", outcome: TaskOutcome.CANCEL_REQUESTED }]);
    const { cancel } = await call.until((response) => response.cancel.length > 0);
    expect(cancel).toEqual([{ leaseToken: task.leaseToken, reason: CancelReason.CANCELLED }]);
    call.goodbye();
    await call.rest();
    expect((await broker.producer.stats({ topic: "cancel" })).stats).toMatchObject({ aborted: 1 });
  });

  test("Lease: a worker that does not read is leased no more than its transport holds, and then the rest", async () => {
    const payload = Buffer.alloc(256 * 1024);
    const count = 150;
    for (let index = 0; index < count; index += 10) {
      const tasks = Array.from({ length: 10 }, (_, offset) => ({ topic: "slow", id: `t${index + offset}`, payload }));
      await broker.producer.enqueue({ tasks });
    }
    const call = await LeaseCall.hello(broker, { topics: [{ topic: "slow" }], slots: 1_000 });
    const leased = async () => (await broker.producer.stats({ topic: "slow" })).stats?.workQueueSize ?? 0;
    let before = -1;
    const held = await until("no more tasks are leased", async () => {
      const now = await leased();
      const settled = now > 0 && now === before;
      before = now;
      return settled ? now : 0;
    });
    expect(held).toBeLessThan(count);
    let read = 0;
    while (read < count) read += (await call.next()).leased.length;
    expect(await leased()).toBe(count);
    call.goodbye();
    await call.rest();
  });

  test("RenewSession keeps a session from outside", async () => {
    const call = await LeaseCall.hello(broker);
    const { sessionId, sessionSecret } = call.welcome ?? { sessionId: "", sessionSecret: "" };
    const { expiresIn } = await broker.workers.renewSession({ sessionId, sessionSecret });
    expect(expiresIn).toEqual({ seconds: 15, nanos: 0 });
    call.goodbye();
    await call.rest();
  });
});

describe("AdminService", () => {
  test("GetTask shows the task as it was sent", async () => {
    const runAt = new Date(Date.now() + 3_600_000);
    const task = {
      topic: "get",
      id: "a",
      payload: Buffer.from("{}"),
      contentType: "application/json",
      priority: -7,
      runAt,
    };
    await broker.producer.enqueue({ tasks: [task] });
    const { task: info } = await broker.admin.getTask({ topic: "get", id: "a" });
    expect(info?.task).toMatchObject(task);
    expect(info).toMatchObject({ state: TaskState.SCHEDULED, attempt: 0, dueAt: runAt, lastError: "" });
  });

  test("ListTasks pages through a state in order, and finds by external id", async () => {
    const tasks = Array.from({ length: 25 }, (_, index) => ({
      topic: "list",
      id: `t${index}`,
      externalId: `x${index % 5}`,
    }));
    await broker.producer.enqueue({ tasks });
    const ids: (string | undefined)[] = [];
    for (let pageToken = ""; ; ) {
      const page = await broker.admin.listTasks({ topic: "list", state: TaskState.READY, pageSize: 10, pageToken });
      ids.push(...page.tasks.map(({ task }) => task?.id));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    expect(ids).toEqual(tasks.map(({ id }) => id));
    const found = await broker.admin.listTasks({ topic: "list", externalId: "x3" });
    expect(found.tasks.map(({ task }) => task?.id).toSorted()).toEqual(["t13", "t18", "t23", "t3", "t8"]);
  });

  test("RequeueTasks, DeleteTasks and PurgeTopic say what became of each task", async () => {
    await broker.producer.enqueue({ tasks: ["a", "b", "c"].map((id) => ({ topic: "repair", id })) });
    const { call, task } = await leaseOne("repair");
    call.update({
      number: 1,
      received: 1,
      slots: 0,
      failed: [{ leaseToken: task.leaseToken, error: "x", doNotRetry: true }],
    });
    await call.until(({ settled }) => settled === 1);
    const dead = await broker.admin.getTask({ topic: "repair", id: "a" });
    expect(dead.task).toMatchObject({ state: TaskState.DEAD, deadReason: DeadReason.DO_NOT_RETRY, lastError: "x" });
    const requeued = await broker.admin.requeueTasks({ topic: "repair", ids: ["a", "b", "none"] });
    expect(requeued.results).toEqual([
      { id: "a", outcome: TaskOutcome.DONE, state: TaskState.UNSPECIFIED },
      { id: "b", outcome: TaskOutcome.WRONG_STATE, state: TaskState.READY },
      { id: "none", outcome: TaskOutcome.NOT_FOUND, state: TaskState.UNSPECIFIED },
    ]);
    const deleted = await broker.admin.deleteTasks({ topic: "repair", ids: ["a"] });
    expect(deleted.results).toMatchObject([{ id: "a", outcome: TaskOutcome.DONE }]);
    expect(await broker.admin.purgeTopic({ topic: "repair", state: TaskState.READY, limit: 1 })).toEqual({
      deleted: 1,
      more: true,
    });
    expect(await broker.admin.purgeTopic({ topic: "repair", state: TaskState.READY })).toEqual({
      deleted: 1,
      more: false,
    });
    expect(await broker.admin.requeueTasks({ topic: "repair", allDead: true })).toEqual({ results: [], more: false });
    call.goodbye();
    await call.rest();
  });

  test("PauseTopic and ResumeTopic stop and start the handing out", async () => {
    await broker.admin.pauseTopic({ topic: "pause" });
    const call = await LeaseCall.hello(broker, { topics: [{ topic: "pause" }] });
    await broker.producer.enqueue({ tasks: [{ topic: "pause", id: "a" }] });
    const row = (await broker.producer.stats({ perTopic: true })).topics.find(({ topic }) => topic === "pause");
    expect(row).toMatchObject({ paused: true, stats: { inputQueueSize: 1, workQueueSize: 0 } });
    await broker.admin.resumeTopic({ topic: "pause" });
    expect((await call.until(({ leased }) => leased.length > 0)).leased[0]?.task?.id).toBe("a");
    call.goodbye();
    await call.rest();
  });

  test("ConfigureTopic changes what is named, resets what is named, and leaves the rest", async () => {
    const topic = "configure";
    await broker.admin.configureTopic({ topic, settings: { numRetries: 3, timeout: { seconds: 5 }, tasksMax: 2 } });
    const { settings } = await broker.admin.configureTopic({
      topic,
      settings: { backoff: { initial: { seconds: 2 }, factor: 3, jitter: 0 } },
      reset: ["timeout"],
    });
    expect(settings).toEqual({
      numRetries: 3,
      backoff: { initial: { seconds: 2, nanos: 0 }, factor: 3, max: { seconds: 3_600, nanos: 0 }, jitter: 0 },
      timeout: undefined,
      lostLeasesMax: undefined,
      tasksMax: 2,
      bytesMax: undefined,
    });
    const tasks = [{ topic }, { topic }, { topic }];
    await expect(broker.producer.enqueue({ tasks })).rejects.toMatchObject({ code: Status.RESOURCE_EXHAUSTED });
    await broker.producer.enqueue({ tasks: tasks.slice(1) });
  });

  test("ListTopics and ListWorkers page by name and by session", async () => {
    await broker.producer.enqueue({ tasks: Array.from({ length: 5 }, (_, index) => ({ topic: `zz-${index}` })) });
    const names: string[] = [];
    for (let pageToken = ""; ; ) {
      const page = await broker.admin.listTopics({ pageSize: 3, pageToken });
      names.push(...page.topics.map(({ topic }) => topic));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    expect(names).toEqual([...new Set(names)].toSorted());
    expect(names).toEqual(expect.arrayContaining(["zz-0", "zz-4"]));
    const call = await LeaseCall.hello(broker, {
      worker: "listed",
      topics: [{ topic: "zz-0", concurrency: 2, weight: 3 }],
    });
    const worker = await until("the worker is listed", async () =>
      (await broker.admin.listWorkers({})).workers.find((one) => one.worker === "listed"),
    );
    expect(worker).toMatchObject({
      broker: "test-broker",
      sdk: "test/1.0",
      slots: 10,
      attached: true,
      topics: [{ topic: "zz-0", concurrency: 2, weight: 3 }],
    });
    expect(worker.address).toMatch(/^127\.0\.0\.1:\d+$/);
    call.goodbye();
    await call.rest();
  });
});
