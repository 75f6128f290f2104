/** What stock tools ask for: reflection in both versions, health in all its forms, and a call by buf curl. */

import { create, createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { HealthCheckResponse_ServingStatus as Serving } from "@taskqueue/sdk/gen/grpc/health/v1/health.js";
import type {
  ServerReflectionRequest,
  ServerReflectionResponse,
} from "@taskqueue/sdk/gen/grpc/reflection/v1/reflection.js";
import { ServerReflectionDefinition } from "@taskqueue/sdk/gen/grpc/reflection/v1/reflection.js";
import { ServerReflectionDefinition as AlphaDefinition } from "@taskqueue/sdk/gen/grpc/reflection/v1alpha/reflection.js";
import { createClient, Status } from "nice-grpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TestBroker } from "../support/broker.js";
import { Subprocess } from "../support/process.js";
import { ROOT } from "../support/source.js";

const SERVICES = ["taskqueue.v1.AdminService", "taskqueue.v1.BrokerService", "taskqueue.v1.WorkerService"];

let broker: TestBroker;
beforeAll(async () => {
  broker = await TestBroker.start();
});
afterAll(async () => {
  expect(broker.errors).toEqual([]);
  await broker[Symbol.asyncDispose]();
});

type Asked = NonNullable<ServerReflectionRequest["messageRequest"]>;
type Answer = ServerReflectionResponse["messageResponse"];

/** The answers to questions asked on one stream. */
async function reflect(definition: typeof ServerReflectionDefinition, questions: readonly Asked[]): Promise<Answer[]> {
  const client = createClient(definition, broker.channel);
  async function* requests() {
    for (const messageRequest of questions) yield { host: "", messageRequest };
  }
  const answers: Answer[] = [];
  for await (const { messageResponse } of client.serverReflectionInfo(requests())) answers.push(messageResponse);
  return answers;
}

/** The messages of both versions are the same; only the name of the service differs. */
const VERSIONS = {
  v1: ServerReflectionDefinition,
  v1alpha: { ...ServerReflectionDefinition, ...AlphaDefinition } as unknown as typeof ServerReflectionDefinition,
};

/** A file after all that it imports. */
function withImports(asked: FileDescriptorProto, files: readonly FileDescriptorProto[]): FileDescriptorSet {
  const order = new Set<FileDescriptorProto>();
  const add = (file: FileDescriptorProto) => {
    for (const name of file.dependency) {
      const imported = files.find((one) => one.name === name);
      expect(imported, `${name}, imported by ${file.name}`).toBeDefined();
      if (imported !== undefined && !order.has(imported)) add(imported);
    }
    order.add(file);
  };
  add(asked);
  return create(FileDescriptorSetSchema, { file: [...order] });
}

describe.each(Object.entries(VERSIONS))("reflection %s", (_version, definition) => {
  test("lists all services", async () => {
    const [answer] = await reflect(definition, [{ $case: "listServices", value: "" }]);
    expect(answer?.$case).toBe("listServicesResponse");
    const names = answer?.$case === "listServicesResponse" ? answer.value.service.map(({ name }) => name) : [];
    expect(names).toEqual(
      expect.arrayContaining([
        ...SERVICES,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
      ]),
    );
  });

  test("finds symbols and files, with all they depend on", async () => {
    const symbols = [
      ...SERVICES,
      "taskqueue.v1.BrokerService.Enqueue",
      "taskqueue.v1.Task",
      "taskqueue.v1.Task.MetadataEntry",
      "taskqueue.v1.Task.topic",
      "taskqueue.v1.TaskState",
      "taskqueue.v1.TASK_STATE_READY",
      "google.protobuf.ListValue",
      "grpc.health.v1.Health",
    ];
    const answers = await reflect(definition, [
      ...symbols.map((value) => ({ $case: "fileContainingSymbol" as const, value })),
      { $case: "fileByFilename", value: "taskqueue/v1/worker.proto" },
      { $case: "fileByFilename", value: "google/protobuf/duration.proto" },
    ]);
    for (const [index, answer] of answers.entries()) {
      expect(answer?.$case, symbols[index]).toBe("fileDescriptorResponse");
      if (answer?.$case !== "fileDescriptorResponse") continue;
      const files = answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
      // The file asked for comes first, and nothing else is needed to make sense of it.
      const [asked] = files;
      if (asked !== undefined) createFileRegistry(withImports(asked, files));
    }
  });

  test("says so when it knows nothing of a symbol or a file, and goes on", async () => {
    const answers = await reflect(definition, [
      { $case: "fileContainingSymbol", value: "no.such.Symbol" },
      { $case: "fileContainingSymbol", value: "" },
      { $case: "fileByFilename", value: "no/such.proto" },
      { $case: "fileContainingExtension", value: { containingType: "taskqueue.v1.Task", extensionNumber: 5 } },
      { $case: "allExtensionNumbersOfType", value: "taskqueue.v1.Task" },
      { $case: "listServices", value: "" },
    ]);
    expect(answers.map((answer) => answer?.$case)).toEqual([
      "errorResponse",
      "errorResponse",
      "errorResponse",
      "errorResponse",
      "allExtensionNumbersResponse",
      "listServicesResponse",
    ]);
    for (const answer of answers.slice(0, 4)) expect(answer?.value).toMatchObject({ errorCode: Status.NOT_FOUND });
  });
});

describe("health", () => {
  test("Check, List and Watch tell the same truth, and change with it", async () => {
    await using ailing = await TestBroker.start();
    const { health, rig } = ailing;
    for (const service of ["", ...SERVICES]) {
      expect((await health.check({ service })).status).toBe(Serving.SERVING);
    }
    const { statuses } = await health.list({});
    expect(Object.values(statuses).map((status) => status.status)).toEqual(Array(4).fill(Serving.SERVING));
    const watching = new AbortController();
    const watch = health.watch({ service: "" }, { signal: watching.signal })[Symbol.asyncIterator]();
    expect((await watch.next()).value).toEqual({ status: Serving.SERVING });
    rig.goAway();
    expect((await watch.next()).value).toEqual({ status: Serving.NOT_SERVING });
    expect((await health.check({ service: "taskqueue.v1.WorkerService" })).status).toBe(Serving.NOT_SERVING);
    rig.comeBack();
    expect((await watch.next()).value).toEqual({ status: Serving.SERVING });
    watching.abort();
  });

  test("of a service that is not there: NOT_FOUND for Check, SERVICE_UNKNOWN for Watch", async () => {
    await expect(broker.health.check({ service: "no.such" })).rejects.toMatchObject({ code: Status.NOT_FOUND });
    for await (const { status } of broker.health.watch({ service: "no.such" })) {
      expect(status).toBe(Serving.SERVICE_UNKNOWN);
      break;
    }
  });

  test("is NOT_SERVING while the broker drains", async () => {
    await using draining = await TestBroker.start();
    const watch = draining.health.watch({})[Symbol.asyncIterator]();
    await watch.next();
    draining.broker.drain(60_000);
    expect((await watch.next()).value).toEqual({ status: Serving.NOT_SERVING });
    await expect(draining.producer.enqueue({ tasks: [{ topic: "late" }] })).rejects.toMatchObject({
      code: Status.UNAVAILABLE,
      details: "this broker is about to stop; another one may serve you",
    });
  });
});

describe("buf curl", () => {
  const buf = (...args: readonly string[]) =>
    Subprocess.start(`${ROOT}node_modules/.bin/buf`, [
      "curl",
      "--protocol",
      "grpc",
      "--http2-prior-knowledge",
      ...args,
    ]);

  test("enqueues with nothing but reflection to go by", async () => {
    const data = '{"tasks":[{"topic":"clicks","id":"by-hand","args":[640,480]}]}';
    await using call = await buf("-d", data, `http://${broker.address}/taskqueue.v1.BrokerService/Enqueue`);
    expect(await call.exited, call.output).toMatchObject({ code: 0 });
    expect(JSON.parse(call.output)).toEqual({ results: [{ id: "by-hand", created: true }] });
    const { task } = await broker.admin.getTask({ topic: "clicks", id: "by-hand" });
    expect(task?.task?.args).toEqual([640, 480]);
  });

  test("shows a refusal with its details", async () => {
    const data = '{"tasks":[{"topic":"clicks","numRetries":-1}]}';
    await using call = await buf("-d", data, `http://${broker.address}/taskqueue.v1.BrokerService/Enqueue`);
    expect((await call.exited).code).not.toBe(0);
    expect(call.output).toContain("invalid_argument");
    expect(call.output).toContain("tasks[0].num_retries");
  });

  test("lists the methods", async () => {
    await using call = await buf("--list-methods", `http://${broker.address}`);
    expect(await call.exited, call.output).toMatchObject({ code: 0 });
    expect(call.output.split("\n")).toEqual(
      expect.arrayContaining(["taskqueue.v1.BrokerService/Enqueue", "taskqueue.v1.WorkerService/Lease"]),
    );
  });
});
