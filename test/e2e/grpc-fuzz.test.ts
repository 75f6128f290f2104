/**
 * Bytes that no decent client sends, at every RPC: each is answered with a
 * status that blames the sender, none with one that blames us; nothing hangs,
 * nothing is kept, and the broker serves on. The same bytes in every run.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
  status as Status,
} from "@grpc/grpc-js";
import { HealthDefinition } from "@taskqueue/sdk/gen/grpc/health/v1/health.js";
import { ServerReflectionDefinition } from "@taskqueue/sdk/gen/grpc/reflection/v1/reflection.js";
import { AdminServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/admin.js";
import { BrokerServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { LeaseRequest, WorkerServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/worker.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TestBroker } from "../support/broker.js";
import { Random } from "../support/random.js";
import { until } from "../support/until.js";

const FRAMES = 10_000;
const AT_ONCE = 100;
const DEADLINE_MS = 20_000;
const HEAP_GROWTH_MAX = 32 * 1024 * 1024;

const SENDERS_FAULT = new Set([
  Status.OK,
  Status.INVALID_ARGUMENT,
  Status.NOT_FOUND,
  Status.FAILED_PRECONDITION,
  Status.RESOURCE_EXHAUSTED,
  // Of streams that the test itself ended.
  Status.CANCELLED,
]);

interface Method {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  /** A valid request, to be damaged. */
  readonly sample: Buffer;
}

interface AnyMethod {
  readonly name: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestType: { fromJSON(object: unknown): unknown };
}

/** What to damage: text in the fields that hold names, so that damaged requests get far. */
const SAMPLE = {
  topic: "fuzz",
  id: "a",
  ids: ["a", "b"],
  state: 2,
  pageSize: 3,
  pageToken: "token",
  externalId: "x",
  limit: 5,
  settings: {
    numRetries: 3,
    backoff: { initial: { seconds: 1 }, factor: 2 },
    timeout: { seconds: 5 },
    tasksMax: 100_000,
  },
  reset: ["timeout"],
  tasks: [
    { topic: "fuzz", id: "a", args: [640, { a: ["b", null, true] }], numRetries: 1, priority: 3 },
    {
      topic: "fuzz",
      payload: "AAEC",
      contentType: "a/b",
      metadata: { k: "v" },
      delay: { seconds: 5 },
      timeout: { nanos: 5e6 },
    },
  ],
  topics: ["fuzz"],
  taskIds: ["a"],
  types: [4, 5],
  perTopic: true,
  sessionId: "session",
  sessionSecret: "secret",
  service: "taskqueue.v1.BrokerService",
  fileContainingSymbol: "taskqueue.v1.Task",
};

const HELLO = LeaseRequest.encode(
  LeaseRequest.fromPartial({
    message: {
      $case: "hello",
      value: { worker: "w", topics: [{ topic: "fuzz" }, { topic: "b", weight: 2 }], slots: 5 },
    },
  }),
).finish();

const UPDATE = LeaseRequest.encode(
  LeaseRequest.fromPartial({
    message: {
      $case: "update",
      value: {
        number: 1,
        received: 1,
        slots: 3,
        completed: [{ leaseToken: "00000000001.fuzz", result: { a: [1, "two"] } }],
        failed: [{ leaseToken: "00000000002.fuzz", error: "broke", retryDelay: { seconds: 1 } }],
        released: ["00000000003.fuzz"],
        progress: [{ leaseToken: "00000000004.fuzz", progress: { fraction: 0.5, message: "half" } }],
        renew: ["00000000005.fuzz"],
      },
    },
  }),
).finish();

const METHODS: readonly Method[] = [
  BrokerServiceDefinition,
  AdminServiceDefinition,
  WorkerServiceDefinition,
  HealthDefinition,
  ServerReflectionDefinition,
].flatMap(({ fullName, methods }) =>
  Object.values(methods).map(
    (method: AnyMethod & { requestType: { encode(message: never): { finish(): Uint8Array } } }) => ({
      path: `/${fullName}/${method.name}`,
      requestStream: method.requestStream,
      responseStream: method.responseStream,
      sample: Buffer.from(method.requestType.encode(method.requestType.fromJSON(SAMPLE) as never).finish()),
    }),
  ),
);

let broker: TestBroker;
let client: Client;
beforeAll(async () => {
  broker = await TestBroker.start();
  client = new Client(broker.address, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
});
afterAll(async () => {
  client.close();
  await broker[Symbol.asyncDispose]();
});

const identity = (bytes: Buffer): Buffer => bytes;

/** Sends frames and gives the status; a stream that goes on is cancelled once it has answered. */
function send({ path, requestStream, responseStream }: Method, frames: readonly Buffer[]): Promise<Status> {
  const options = { deadline: Date.now() + DEADLINE_MS };
  const metadata = new Metadata();
  return new Promise((resolve) => {
    if (!requestStream && !responseStream) {
      const done = (error: ServiceError | null) => resolve(error?.code ?? Status.OK);
      client.makeUnaryRequest(path, identity, identity, frames[0] ?? Buffer.alloc(0), metadata, options, done);
      return;
    }
    const follow = (call: ClientReadableStream<Buffer>, onData: () => void) => {
      call.on("error", () => {});
      call.on("status", ({ code }: { code: Status }) => resolve(code));
      call.on("data", onData);
    };
    if (requestStream) {
      const call = client.makeBidiStreamRequest(path, identity, identity, metadata, options);
      follow(call, () => {});
      for (const one of frames) call.write(one);
      call.end();
    } else {
      const request = frames[0] ?? Buffer.alloc(0);
      const call = client.makeServerStreamRequest(path, identity, identity, request, metadata, options);
      follow(call, () => call.cancel());
    }
  });
}

function damaged(random: Random, sample: Buffer): Buffer {
  const bytes = [...sample];
  const times = random.int(0, 4);
  for (let time = 0; time < times; time += 1) {
    const at = random.int(0, Math.max(0, bytes.length - 1));
    switch (random.int(0, 4)) {
      case 0:
        bytes[at] = random.int(0, 255);
        break;
      case 1:
        bytes.splice(at, random.int(1, 5));
        break;
      case 2:
        bytes.splice(at, 0, ...Array.from({ length: random.int(1, 8) }, () => random.int(0, 255)));
        break;
      case 3:
        bytes.length = at;
        break;
      default:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.int(0, 7));
    }
  }
  return Buffer.from(bytes);
}

function frame(random: Random, sample: Buffer): Buffer {
  if (random.chance(0.3)) return Buffer.from(Array.from({ length: random.int(0, 120) }, () => random.int(0, 255)));
  return damaged(random, sample);
}

function heapUsed(): number {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  collect();
  return process.memoryUsage().heapUsed;
}

async function expectServing(): Promise<void> {
  const { results } = await broker.producer.enqueue({ tasks: [{ topic: "after" }] });
  expect(results).toMatchObject([{ created: true }]);
  expect(broker.errors).toEqual([]);
}

/** Sends what `draw` makes up, so many at once, and counts the statuses by method. */
async function storm(calls: number, draw: () => { method: Method; frames: Buffer[] }): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (let sent = 0; sent < calls; sent += AT_ONCE) {
    const batch = Array.from({ length: Math.min(AT_ONCE, calls - sent) }, async () => {
      const { method, frames } = draw();
      const code = await send(method, frames);
      if (!SENDERS_FAULT.has(code)) {
        const bytes = frames.map((one) => one.toString("hex")).join(" ");
        throw new Error(`${method.path} answered ${Status[code]} to ${bytes}`);
      }
      const key = `${method.path} ${Status[code]}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    });
    await Promise.all(batch);
  }
  return counts;
}

test("random frames at every RPC are refused or served, and cost nothing afterwards", async () => {
  const random = new Random(1);
  const draw = () => {
    const method = random.pick(METHODS);
    return { method, frames: [frame(random, method.sample)] };
  };
  await storm(FRAMES / 10, draw);
  const before = heapUsed();
  const counts = await storm((FRAMES * 9) / 10, draw);
  const growth = heapUsed() - before;
  for (const { path } of METHODS) {
    const answered = [...counts].filter(([key]) => key.startsWith(`${path} `));
    expect(answered.length, path).toBeGreaterThan(0);
  }
  // Damaged requests get past the decoder, too.
  expect(counts.get("/taskqueue.v1.BrokerService/Enqueue OK")).toBeGreaterThan(10);
  expect(counts.get("/taskqueue.v1.BrokerService/Enqueue INVALID_ARGUMENT")).toBeGreaterThan(10);
  expect(growth).toBeLessThan(HEAP_GROWTH_MAX);
  await expectServing();
});

test("random streams at EnqueueStream are answered frame by frame", async () => {
  const random = new Random(2);
  const method = METHODS.find(({ path }) => path.endsWith("/EnqueueStream"));
  if (method === undefined) throw new Error("no such method");
  const counts = await storm(200, () => ({
    method,
    frames: Array.from({ length: random.int(0, 20) }, () => frame(random, method.sample)),
  }));
  // A frame is refused on its own; the stream itself ends well.
  expect([...counts.keys()]).toEqual(["/taskqueue.v1.BrokerService/EnqueueStream OK"]);
  await expectServing();
});

test("random streams at Lease end, and leave no session attached", async () => {
  const random = new Random(3);
  const method = METHODS.find(({ path }) => path.endsWith("/Lease"));
  if (method === undefined) throw new Error("no such method");
  const counts = await storm(400, () => {
    const first = random.chance(0.8) ? Buffer.from(HELLO) : frame(random, Buffer.from(HELLO));
    const rest = Array.from({ length: random.int(0, 12) }, () =>
      frame(random, Buffer.from(random.chance(0.9) ? UPDATE : HELLO)),
    );
    return { method, frames: [first, ...rest] };
  });
  expect(counts.get("/taskqueue.v1.WorkerService/Lease OK")).toBeGreaterThan(10);
  expect(counts.get("/taskqueue.v1.WorkerService/Lease INVALID_ARGUMENT")).toBeGreaterThan(10);
  await until("no worker is attached", () => broker.broker.workers.sessions.size === 0);
  await expectServing();
});
