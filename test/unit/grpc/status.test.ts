import { type CallContext, Metadata, type ServerMiddlewareCall, Status } from "nice-grpc-common";
import { expect, test } from "vitest";
import { invalid } from "../../../server/domain/errors.js";
import { failing } from "../../../server/grpc/responses.js";
import { statusMiddleware } from "../../../server/grpc/status.js";
import { silentLog } from "../../../server/lib/log.js";

const DETAILS = "grpc-status-details-bin";

function context(): CallContext {
  return {
    metadata: Metadata(),
    peer: "",
    header: Metadata(),
    trailer: Metadata(),
    signal: new AbortController().signal,
    sendHeader: () => {},
  };
}

function streaming<Response>(responses: () => AsyncGenerator<Response, void>): ServerMiddlewareCall<string, Response> {
  return {
    method: { path: "/x/Y", requestStream: false, responseStream: true, options: {} },
    requestStream: false,
    request: "request",
    responseStream: true,
    next: responses,
  };
}

const status = statusMiddleware(silentLog);

test("messages of a stream pass, and its failure becomes a status with details", async () => {
  const call = streaming(async function* () {
    yield 1;
    yield 2;
    throw invalid("topic", "", "must not be empty");
  });
  const where = context();
  const responses = status(call, where);
  expect(await responses.next()).toEqual({ done: false, value: 1 });
  expect(await responses.next()).toEqual({ done: false, value: 2 });
  expect(where.trailer.has(DETAILS)).toBe(false);
  await expect(responses.next()).rejects.toMatchObject({ code: Status.INVALID_ARGUMENT });
  expect(where.trailer.has(DETAILS)).toBe(true);
});

test("what nobody expected is told as INTERNAL, without a word of what it was", async () => {
  const call = streaming<number>(() => failing(new Error("secret")));
  await expect(iterate(call)).rejects.toMatchObject({
    code: Status.INTERNAL,
    details: expect.not.stringContaining("secret"),
  });
});

test("a stream that is given up, or into which an error is thrown, ends in its own words", async () => {
  const ends: string[] = [];
  const call = streaming(async function* () {
    try {
      yield 1;
    } finally {
      ends.push("over");
    }
  });
  const given = status(call, context());
  await given.next();
  expect(await given.return(undefined)).toEqual({ done: true, value: undefined });
  const broken = status(call, context());
  await broken.next();
  await expect(broken.throw(invalid("x", 1, "is wrong"))).rejects.toMatchObject({ code: Status.INVALID_ARGUMENT });
  expect(ends).toEqual(["over", "over"]);
});

async function iterate<Response>(call: ServerMiddlewareCall<string, Response>): Promise<void> {
  for await (const _ of status(call, context()));
}
