import { GetTaskRequest } from "@taskqueue/sdk/gen/taskqueue/v1/admin.js";
import { LeaseRequest, LeaseResponse } from "@taskqueue/sdk/gen/taskqueue/v1/worker.js";
import type { CallContext, ServerMiddlewareCall } from "nice-grpc-common";
import { expect, test } from "vitest";
import { LIMITS } from "../../../server/domain/limits.js";
import {
  AdminDefinition,
  BrokerDefinition,
  refuseMalformed,
  WorkerDefinition,
} from "../../../server/grpc/definitions.js";
import { nested } from "../../support/arbitraries.js";

const GARBAGE = Buffer.from("ffffffffff", "hex");
const CONTEXT = {} as CallContext;

function unary(request: unknown): ServerMiddlewareCall<unknown, unknown> {
  return {
    method: { path: "/x/Y", requestStream: false, responseStream: false, options: {} },
    requestStream: false,
    request,
    responseStream: false,
    // biome-ignore lint/correctness/useYield: a unary handler returns its one response.
    async *next(accepted) {
      return accepted;
    },
  };
}

function streaming<Request>(requests: readonly Request[]): ServerMiddlewareCall<Request, Request> {
  async function* each() {
    yield* requests;
  }
  return {
    method: { path: "/x/Y", requestStream: true, responseStream: true, options: {} },
    requestStream: true,
    request: each(),
    responseStream: true,
    async *next(accepted) {
      if (Symbol.asyncIterator in Object(accepted)) yield* accepted as AsyncIterable<Request>;
    },
  };
}

test("a request that decodes passes as it is", async () => {
  const request = GetTaskRequest.fromPartial({ topic: "clicks", id: "a" });
  const decoded = AdminDefinition.methods.getTask.requestType.decode(GetTaskRequest.encode(request).finish());
  expect(decoded).toEqual(request);
  expect(await refuseMalformed(unary(decoded), CONTEXT).next()).toEqual({ done: true, value: request });
});

test("one that does not is refused by name, and not thrown out of the decoder", async () => {
  const decoded = AdminDefinition.methods.getTask.requestType.decode(GARBAGE);
  await expect(refuseMalformed(unary(decoded), CONTEXT).next()).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    field: "request",
    message: 'request: must be a well-formed message (got "5 bytes")',
  });
});

test("a stream is refused at the message that is malformed, after those before it", async () => {
  const good = LeaseRequest.fromPartial({ message: { $case: "goodbye", value: {} } });
  const bad = WorkerDefinition.methods.lease.requestType.decode(GARBAGE);
  const calls = refuseMalformed(streaming([good, bad]), CONTEXT);
  expect(await calls.next()).toEqual({ done: false, value: good });
  await expect(calls.next()).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
});

test("enqueue requests stay encoded, whatever they are", () => {
  for (const method of [BrokerDefinition.methods.enqueue, BrokerDefinition.methods.enqueueStream]) {
    expect(method.requestType.decode(GARBAGE)).toBe(GARBAGE);
    expect(method.requestType.encode(GARBAGE).finish()).toBe(GARBAGE);
  }
});

test("responses of Lease are written by hand and never read", () => {
  const { responseType } = WorkerDefinition.methods.lease;
  const delivery = { number: 0, leased: [], settled: 7, lost: [], cancels: [], drainMs: undefined, heartbeat: 0 };
  const bytes = responseType.encode({ kind: "delivery", delivery, nowMs: 0 }).finish();
  expect(LeaseResponse.decode(bytes).settled).toBe(7);
  expect(() => responseType.decode()).toThrow("does not read its own responses");
});

test("a result as deep as args may be is decoded", () => {
  for (const kind of ["list", "object"] as const) {
    const result = nested(LIMITS.argsDepthMax, kind);
    const completed = [{ leaseToken: "t", result }];
    const request = LeaseRequest.fromPartial({ message: { $case: "update", value: { number: 1, completed } } });
    expect(WorkerDefinition.methods.lease.requestType.decode(LeaseRequest.encode(request).finish())).toEqual(request);
  }
});
