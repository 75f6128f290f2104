/**
 * Every bad input gets one clear error: the right status, a BadRequest that
 * names the field, a message that names the rule. Nothing is stored, and the
 * broker serves on.
 */

import { AdminServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/admin.js";
import { BrokerServiceDefinition, type EnqueueRequest, EventType } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { TaskState } from "@taskqueue/sdk/gen/taskqueue/v1/task.js";
import { WorkerServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/worker.js";
import { ClientError, createChannel, createClientFactory, Status } from "nice-grpc";
import { errorDetailsClientMiddleware, RichClientError } from "nice-grpc-error-details";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { TestBroker } from "../support/broker.js";
import { LeaseCall } from "../support/lease-call.js";

const DAY = 86_400_000;
const MIB = 1024 * 1024;

let broker: TestBroker;
let clients: ReturnType<typeof richClients>;
let enqueued = 0;

function richClients({ address }: TestBroker) {
  const channel = createChannel(address);
  const factory = createClientFactory().use(errorDetailsClientMiddleware);
  return {
    channel,
    producer: factory.create(BrokerServiceDefinition, channel),
    admin: factory.create(AdminServiceDefinition, channel),
    workers: factory.create(WorkerServiceDefinition, channel),
  };
}

beforeAll(async () => {
  broker = await TestBroker.start();
  clients = richClients(broker);
});

afterEach(async () => {
  // Nothing was stored, and the broker serves.
  expect((await broker.producer.stats({})).stats?.enqueued).toBe(enqueued);
  expect((await broker.producer.enqueue({ tasks: [{ topic: "good", id: `g${enqueued}` }] })).results).toMatchObject([
    { created: true },
  ]);
  enqueued += 1;
});

afterAll(async () => {
  expect(broker.errors).toEqual([]);
  clients.channel.close();
  await broker[Symbol.asyncDispose]();
});

interface Refusal {
  readonly code: string | undefined;
  readonly reason: string | undefined;
  readonly fields: readonly string[];
  readonly message: string;
  readonly retries: boolean;
}

async function refusal(call: Promise<unknown>): Promise<Refusal> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    const { code, details: message } = error;
    const extra = error instanceof RichClientError ? error.extra : [];
    let reason: string | undefined;
    let retries = false;
    const fields: string[] = [];
    for (const detail of extra) {
      if (detail.$type === "google.rpc.ErrorInfo") {
        expect(detail).toMatchObject({ domain: "taskqueue" });
        reason = "reason" in detail ? String(detail.reason) : undefined;
      }
      if (detail.$type === "google.rpc.RetryInfo") retries = true;
      if (detail.$type === "google.rpc.BadRequest" && "fieldViolations" in detail) {
        for (const violation of detail.fieldViolations as { field: string; description: string }[]) {
          expect(violation.description).toBe(message);
          fields.push(violation.field);
        }
      }
    }
    return { code: Status[code], reason, fields, message, retries };
  }
  throw new Error("it was accepted");
}

async function expectInvalid(call: Promise<unknown>, field: string, rule: RegExp): Promise<void> {
  const { code, reason, fields, message, retries } = await refusal(call);
  expect({ code, reason, fields }).toEqual({ code: "INVALID_ARGUMENT", reason: "INVALID_ARGUMENT", fields: [field] });
  expect(message).toMatch(rule);
  expect(message.startsWith(field)).toBe(true);
  expect(retries).toBe(false);
}

type Tasks = NonNullable<Parameters<typeof broker.producer.enqueue>[0]["tasks"]>;

describe("Enqueue refuses", () => {
  const metadata = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`k${index}`, "v"]));
  const good = { topic: "clicks", id: "good" };

  test.each<[string, Tasks, string, RegExp]>([
    ["no tasks", [], "tasks", /must hold 1 to 1000 tasks \(got "0 tasks"\)/],
    ["1,001 tasks", Array<typeof good>(1_001).fill(good), "tasks", /must hold 1 to 1000 tasks/],
    ["an empty topic", [{ topic: "" }], "tasks[0].topic", /must be 1 to 128 characters/],
    ["a topic with odd characters", [good, { topic: "a b" }], "tasks[1].topic", /letters, digits and _ \. : \/ -/],
    ["a long topic", [{ topic: "t".repeat(129) }], "tasks[0].topic", /1 to 128/],
    ["an id with odd characters", [{ ...good, id: "a b" }], "tasks[0].id", /must be 1 to 128 characters/],
    ["a long id", [{ ...good, id: "i".repeat(129) }], "tasks[0].id", /1 to 128/],
    ["negative retries", [{ ...good, numRetries: -1 }], "tasks[0].num_retries", /whole number from 0 to 1000000/],
    ["too many retries", [{ ...good, numRetries: 1_000_001 }], "tasks[0].num_retries", /1000000/],
    ["NaN in args", [{ ...good, args: [{ a: [Number.NaN] }] }], "tasks[0].args[0].a[0]", /finite number \(got NaN\)/],
    [
      "both args and payload",
      [{ ...good, args: [1], payload: Buffer.from("x") }],
      "tasks[0].payload",
      /must be empty when args are given/,
    ],
    ["a content type without payload", [{ ...good, contentType: "a/b" }], "tasks[0].content_type", /needs a payload/],
    ["a moment before 1970", [{ ...good, runAt: new Date(-1_000) }], "tasks[0].run_at", /from 1970 to 10 years ahead/],
    ["a moment too far ahead", [{ ...good, runAt: new Date(Date.now() + 3_651 * DAY) }], "tasks[0].run_at", /10 years/],
    [
      "run_at and delay",
      [{ ...good, runAt: new Date(), delay: { seconds: 1 } }],
      "tasks[0].delay",
      /unset when run_at is given/,
    ],
    ["a negative delay", [{ ...good, delay: { seconds: -1 } }], "tasks[0].delay", /must be 0 ms to/],
    ["a malformed delay", [{ ...good, delay: { seconds: 1, nanos: -5 } }], "tasks[0].delay", /valid duration/],
    ["a long timeout", [{ ...good, timeout: { seconds: 25 * 86_400 } }], "tasks[0].timeout", /must be 1 ms to/],
    ["a long retention", [{ ...good, retention: { seconds: 366 * 86_400 } }], "tasks[0].retention", /must be 0 ms to/],
    ["a small backoff factor", [{ ...good, backoff: { factor: 0.5 } }], "tasks[0].backoff.factor", /1 to 100/],
    ["65 metadata entries", [{ ...good, metadata }], "tasks[0].metadata", /at most 64 entries/],
    ["an odd metadata key", [{ ...good, metadata: { "A b": "" } }], "tasks[0].metadata", /keys must be 1 to 128/],
    ["a long external id", [{ ...good, externalId: "x".repeat(256) }], "tasks[0].external_id", /at most 255 bytes/],
    ["a control character", [{ ...good, externalId: "a\nb" }], "tasks[0].external_id", /control characters/],
  ])("%s", async (_title, tasks, field, rule) => {
    await expectInvalid(clients.producer.enqueue({ tasks }), field, rule);
    // The same, pipelined: the stream says it, and goes on.
    async function* requests() {
      yield { tasks };
    }
    for await (const { error } of broker.producer.enqueueStream(requests())) {
      expect(error).toMatchObject({ code: Status.INVALID_ARGUMENT, field });
      expect(error?.message).toMatch(rule);
    }
  });

  test("a task over the limit, and takes one at the limit", async () => {
    // Payload takes a tag and three bytes of length; topic and id do not count.
    const payload = Buffer.alloc(MIB - 4);
    expect((await clients.producer.enqueue({ tasks: [{ topic: "large", payload }] })).results.length).toBe(1);
    enqueued += 1;
    const { code, reason, fields, message } = await refusal(
      clients.producer.enqueue({ tasks: [{ topic: "large", payload: Buffer.alloc(MIB - 3) }] }),
    );
    expect({ code, reason, fields }).toEqual({
      code: "INVALID_ARGUMENT",
      reason: "TASK_TOO_LARGE",
      fields: ["tasks[0]"],
    });
    expect(message).toBe("tasks[0]: the task takes 1048577 bytes encoded, and at most 1048576 are accepted");
  });

  test("a request over 4 MiB", async () => {
    const payload = Buffer.alloc(MIB - 100);
    const tasks = Array.from({ length: 5 }, () => ({ topic: "large", payload }));
    expect((await refusal(clients.producer.enqueue({ tasks }))).code).toBe("RESOURCE_EXHAUSTED");
  });

  test("all tasks of a request when one of another topic is invalid", async () => {
    const request: Pick<EnqueueRequest, "tasks"> | { tasks: Tasks } = {
      tasks: [good, { topic: "other", id: "x" }, { topic: "third", numRetries: -1 }],
    };
    await expectInvalid(clients.producer.enqueue(request), "tasks[2].num_retries", /whole number/);
  });
});

describe("what may be tried again says so, and when", () => {
  test("a full topic", async () => {
    await broker.admin.configureTopic({ topic: "full", settings: { tasksMax: 1 } });
    const tasks = [{ topic: "full" }, { topic: "full" }];
    const full = { code: "RESOURCE_EXHAUSTED", reason: "TOPIC_FULL", fields: [], retries: true };
    expect(await refusal(clients.producer.enqueue({ tasks }))).toMatchObject(full);
    async function* requests() {
      yield { tasks };
    }
    for await (const { error } of broker.producer.enqueueStream(requests())) {
      expect(error).toMatchObject({ reason: "TOPIC_FULL", field: "", retryDelay: { seconds: 1, nanos: 0 } });
    }
  });

  test("a store that is away", async () => {
    broker.rig.goAway("enqueue", "get", "openSession");
    const away = { code: "UNAVAILABLE", reason: "STORE_UNAVAILABLE", retries: true };
    expect(await refusal(clients.producer.enqueue({ tasks: [{ topic: "clicks" }] }))).toMatchObject(away);
    expect(await refusal(clients.admin.getTask({ topic: "clicks", id: "a" }))).toMatchObject(away);
    await expect(LeaseCall.hello(broker)).rejects.toMatchObject({ code: Status.UNAVAILABLE });
    broker.rig.comeBack();
  });
});

describe("queries refuse", () => {
  test("what is no topic", async () => {
    await expectInvalid(clients.producer.stats({ topic: "a b" }), "topic", /1 to 128/);
    await expectInvalid(clients.admin.getTask({ topic: "", id: "a" }), "topic", /1 to 128/);
    await expectInvalid(clients.admin.pauseTopic({ topic: "-" }), "topic", /1 to 128/);
    await expectInvalid(clients.admin.resumeTopic({}), "topic", /1 to 128/);
    await expectInvalid(clients.admin.configureTopic({ topic: "ü" }), "topic", /1 to 128/);
  });

  test("page sizes and page tokens out of range, and foreign tokens", async () => {
    for (const pageSize of [-1, 1_001]) {
      const rule = /whole number from 1 to 1000/;
      await expectInvalid(clients.admin.listTopics({ pageSize }), "page_size", rule);
      await expectInvalid(clients.admin.listWorkers({ pageSize }), "page_size", rule);
      const tasks = clients.admin.listTasks({ topic: "good", state: TaskState.READY, pageSize });
      await expectInvalid(tasks, "page_size", rule);
    }
    for (let index = 0; index < 3; index += 1) {
      await broker.producer.enqueue({ tasks: [{ topic: "pages", id: `p${index}`, externalId: "x" }] });
      enqueued += 1;
    }
    const { nextPageToken } = await broker.admin.listTasks({ topic: "pages", state: TaskState.READY, pageSize: 1 });
    expect(nextPageToken).not.toBe("");
    const rule = /must be the token of the page before/;
    for (const pageToken of ["nonsense", "\u0000", "W10=", "{}", "x".repeat(10_000)]) {
      const tasks = clients.admin.listTasks({ topic: "pages", state: TaskState.READY, pageToken });
      await expectInvalid(tasks, "page_token", rule);
      // Names and ids may be their own tokens: refused like that, or a place in the list.
      for (const list of [clients.admin.listTopics, clients.admin.listWorkers]) {
        await list({ pageToken }).catch((error: ClientError) => expect(Status[error.code]).toBe("INVALID_ARGUMENT"));
      }
    }
    await expectInvalid(
      clients.admin.listTasks({ topic: "pages", state: TaskState.DEAD, pageToken: nextPageToken }),
      "page_token",
      rule,
    );
    await expectInvalid(
      clients.admin.listTasks({ topic: "pages", externalId: "x", pageToken: nextPageToken }),
      "page_token",
      rule,
    );
  });

  test("a list without a state or an external id, and unknown states", async () => {
    await expectInvalid(clients.admin.listTasks({ topic: "good" }), "state", /must be set unless external_id is/);
    const odd = 99 as TaskState;
    await expectInvalid(clients.admin.listTasks({ topic: "good", state: odd }), "state", /must be a known state/);
    await expectInvalid(clients.admin.purgeTopic({ topic: "good", state: odd }), "state", /must be a known state/);
    await expectInvalid(clients.admin.purgeTopic({ topic: "good" }), "state", /must be a known state/);
  });

  test("a purge of leased tasks, and limits out of range", async () => {
    await expectInvalid(
      clients.admin.purgeTopic({ topic: "good", state: TaskState.LEASED }),
      "state",
      /no worker holds/,
    );
    for (const limit of [-1, 1_001]) {
      await expectInvalid(
        clients.admin.purgeTopic({ topic: "good", state: TaskState.READY, limit }),
        "limit",
        /1 to 1000/,
      );
    }
  });

  test("lists of ids that are empty, too long, odd, or beside all_dead", async () => {
    const long = Array.from({ length: 1_001 }, (_, index) => `i${index}`);
    for (const call of [clients.admin.cancelTasks, clients.admin.deleteTasks, clients.admin.requeueTasks]) {
      await expectInvalid(call({ topic: "good", ids: [] }), "ids", /must hold 1 to 1000 ids/);
      await expectInvalid(call({ topic: "good", ids: long }), "ids", /must hold 1 to 1000 ids/);
      await expectInvalid(call({ topic: "good", ids: ["a", "b b"] }), "ids[1]", /1 to 128/);
      await expectInvalid(call({ topic: " ", ids: ["a"] }), "topic", /1 to 128/);
    }
    await expectInvalid(
      clients.admin.requeueTasks({ topic: "good", ids: ["a"], allDead: true }),
      "ids",
      /empty with all_dead/,
    );
  });

  test("settings out of range, and unknown names", async () => {
    const topic = "good";
    await expectInvalid(
      clients.admin.configureTopic({ topic, settings: { numRetries: -1 } }),
      "settings.num_retries",
      /0 to/,
    );
    await expectInvalid(
      clients.admin.configureTopic({ topic, settings: { lostLeasesMax: 0 } }),
      "settings.lost_leases_max",
      /1 to/,
    );
    await expectInvalid(
      clients.admin.configureTopic({ topic, settings: { tasksMax: -1 } }),
      "settings.tasks_max",
      /0 to/,
    );
    await expectInvalid(
      clients.admin.configureTopic({ topic, settings: { bytesMax: -1 } }),
      "settings.bytes_max",
      /0 to/,
    );
    await expectInvalid(
      clients.admin.configureTopic({ topic, settings: { timeout: { nanos: 5 } } }),
      "settings.timeout",
      /must be 1 ms to/,
    );
    await expectInvalid(
      clients.admin.configureTopic({ topic, settings: { backoff: { jitter: 2 } } }),
      "settings.backoff.jitter",
      /0 to 1/,
    );
    await expectInvalid(
      clients.admin.configureTopic({ topic, reset: ["timeout", "speed"] }),
      "reset[1]",
      /must be one of num_retries/,
    );
  });

  test("a task that is not there", async () => {
    expect(await refusal(clients.admin.getTask({ topic: "good", id: "none" }))).toEqual({
      code: "NOT_FOUND",
      reason: "TASK_NOT_FOUND",
      fields: [],
      message: "topic good has no task none",
      retries: false,
    });
  });

  test("watches with too many, unknown or foreign wishes", async () => {
    const first = async (request: Parameters<typeof clients.producer.watch>[0]) => {
      for await (const response of clients.producer.watch(request)) return response;
      return undefined;
    };
    const many = Array.from({ length: 101 }, (_, index) => `t${index}`);
    await expectInvalid(first({ topics: many }), "topics", /at most 100 entries/);
    await expectInvalid(first({ taskIds: many }), "task_ids", /at most 100 entries/);
    await expectInvalid(first({ externalIds: many }), "external_ids", /at most 100 entries/);
    await expectInvalid(first({ topics: ["a", "b b"] }), "topics[1]", /1 to 128/);
    await expectInvalid(first({ types: [EventType.UNSPECIFIED] }), "types[0]", /known type/);
    await expectInvalid(first({ types: [99 as EventType] }), "types[0]", /known type/);
    await expectInvalid(first({ after: "nonsense" }), "after", /cursor/);
  });

  test("a session that is none", async () => {
    await expectInvalid(clients.workers.renewSession({ sessionId: "a b" }), "session_id", /from a welcome/);
    expect(await refusal(clients.workers.renewSession({ sessionId: "unknown" }))).toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "SESSION_LOST",
    });
  });
});

describe("Lease refuses", () => {
  const failing = async (say: (call: LeaseCall) => void, opened = true) => {
    const call = opened ? await LeaseCall.hello(broker) : new LeaseCall(broker);
    say(call);
    return call.rest().then(
      () => "ended well",
      (error: ClientError) => `${Status[error.code]} ${error.details}`,
    );
  };
  const hello = (value: object) => (call: LeaseCall) =>
    call.send({
      message: { $case: "hello", value: { worker: "w", topics: [{ topic: "t" }], slots: 1, ...value } },
    });

  test.each<[string, (call: LeaseCall) => void, RegExp]>([
    [
      "an update before the hello",
      (call) => call.update({ number: 1 }),
      /message: the first message must be a hello \(got "update"\)/,
    ],
    ["a goodbye before the hello", (call) => call.goodbye(), /must be a hello \(got "goodbye"\)/],
    ["an empty first message", (call) => call.send({}), /must be a hello \(got "nothing"\)/],
    ["a hello without a name", hello({ worker: "" }), /hello\.worker: must be 1 to 128/],
    ["a long name", hello({ worker: "w".repeat(129) }), /hello\.worker: must be at most 128/],
    ["a hello without topics", hello({ topics: [] }), /hello\.topics: must hold 1 to 1000 topics/],
    [
      "a topic twice",
      hello({ topics: [{ topic: "a" }, { topic: "b" }, { topic: "a" }] }),
      /hello\.topics: must name each topic once \(got "a"\)/,
    ],
    [
      "an odd topic",
      hello({ topics: [{ topic: "a" }, { topic: "b b" }] }),
      /hello\.topics\[1\]\.topic: must be 1 to 128/,
    ],
    [
      "too much concurrency",
      hello({ topics: [{ topic: "a", concurrency: 10_001 }] }),
      /hello\.topics\[0\]\.concurrency: .* 0 to 10000/,
    ],
    ["too much weight", hello({ topics: [{ topic: "a", weight: 1_001 }] }), /hello\.topics\[0\]\.weight: .* 0 to 1000/],
    ["too many slots", hello({ slots: 10_001 }), /hello\.slots: .* 0 to 10000/],
    [
      "a session id that is none",
      hello({ resume: { sessionId: "?", sessionSecret: "", leaseTokens: [] } }),
      /hello\.resume\.session_id/,
    ],
  ])("%s", async (_title, say, rule) => {
    const told = await failing(say, false);
    expect(told).toMatch(/^INVALID_ARGUMENT/);
    expect(told).toMatch(rule);
  });

  test.each<[string, (call: LeaseCall) => void, RegExp]>([
    ["a second hello", hello({}), /message: a hello may only be the first message/],
    [
      "too many slots",
      (call) => call.update({ slots: 10_001 }),
      /update\.slots: must be a whole number from 0 to 10000/,
    ],
    ["reports without a number", (call) => call.update({ released: ["x"] }), /update\.number: must be set/],
    [
      "progress beyond all of it",
      (call) => call.update({ number: 1, progress: [{ leaseToken: "x", progress: { fraction: 1.1 } }] }),
      /update\.progress\[0\]\.progress\.fraction: must be 0 to 1/,
    ],
    [
      "a negative retry delay",
      (call) => call.update({ number: 1, failed: [{ leaseToken: "x", retryDelay: { seconds: -1 } }] }),
      /update\.failed\[0\]\.retry_delay/,
    ],
    [
      "a result with NaN",
      (call) => call.update({ number: 1, completed: [{ leaseToken: "x", result: [Number.NaN] }] }),
      /update\.completed\[0\]\.result\[0\]: must be a finite number/,
    ],
    [
      "a result over the limit",
      (call) => call.update({ number: 1, completed: [{ leaseToken: "x", result: "r".repeat(MIB) }] }),
      /update\.completed\[0\]\.result: must take at most 1048576 bytes/,
    ],
  ])("%s, on an open session", async (_title, say, rule) => {
    const told = await failing(say);
    expect(told).toMatch(/^INVALID_ARGUMENT/);
    expect(told).toMatch(rule);
  });

  test("a resume with a wrong secret", async () => {
    const open = await LeaseCall.hello(broker);
    const sessionId = open.welcome?.sessionId ?? "";
    const told = await failing(hello({ resume: { sessionId, sessionSecret: "guess", leaseTokens: [] } }), false);
    expect(told).toMatch(/^FAILED_PRECONDITION session .* is over, or the secret is wrong/);
    open.goodbye();
    await open.rest();
  });

  test("nothing else: reports on leases that are not held are answered as lost", async () => {
    const call = await LeaseCall.hello(broker);
    call.update({ number: 1, completed: [{ leaseToken: "00000000001.clicks" }], released: ["日本"], renew: [""] });
    const lost: string[] = [];
    for (let settled = 0; settled < 1; ) {
      const response = await call.next();
      lost.push(...response.lost);
      settled = response.settled;
    }
    expect(lost.toSorted()).toEqual(["", "00000000001.clicks", "日本"]);
    call.goodbye();
    await call.rest();
  });
});
