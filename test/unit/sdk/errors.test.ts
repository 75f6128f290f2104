import { Metadata, status } from "@grpc/grpc-js";
import { DoNotRetry, RetryLater, TaskqueueError } from "@taskqueue/sdk";
import { Metadata as NiceMetadata } from "nice-grpc";
import { describe, expect, test } from "vitest";
import { errorFromReason, errorFromStatus, errorFromUnknown, isNamed, unreachable } from "../../../sdk/errors.js";
import { Writer } from "../../../sdk/wire.js";

/** A google.rpc.Status with ErrorInfo, BadRequest and RetryInfo, as brokers attach it. */
function details(parts: { reason?: string; fields?: string[]; retryMs?: number }): Buffer {
  const writer = new Writer();
  const any = (type: string, fill: () => void) => {
    const start = writer.begin(3);
    writer.string(1, `type.googleapis.com/google.rpc.${type}`);
    const value = writer.begin(2);
    fill();
    writer.end(value);
    writer.end(start);
  };
  writer.uint(1, 3);
  writer.string(2, "message");
  any("Help", () => writer.string(1, "something unknown"));
  if (parts.reason !== undefined) {
    any("ErrorInfo", () => {
      writer.string(1, parts.reason ?? "");
      writer.string(2, "taskqueue");
    });
  }
  if (parts.fields) {
    any("BadRequest", () => {
      for (const field of parts.fields ?? []) {
        const violation = writer.begin(1);
        writer.string(1, field);
        writer.string(2, "why");
        writer.end(violation);
      }
    });
  }
  if (parts.retryMs !== undefined) {
    any("RetryInfo", () => {
      const delay = writer.begin(1);
      writer.uint(1, Math.floor((parts.retryMs ?? 0) / 1000));
      writer.uint(2, ((parts.retryMs ?? 0) % 1000) * 1_000_000);
      writer.end(delay);
    });
  }
  return writer.take();
}

function withDetails(bytes: Buffer): Metadata {
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", bytes);
  return metadata;
}

describe("a status becomes an error", () => {
  test("whose code is the broker's reason", () => {
    const metadata = withDetails(details({ reason: "TOPIC_FULL", retryMs: 1_500 }));
    const error = errorFromStatus({ code: status.RESOURCE_EXHAUSTED, details: "clicks is full", metadata }, "b:1");
    expect(error).toMatchObject({
      code: "TOPIC_FULL",
      message: "clicks is full",
      retryable: true,
      retryDelayMs: 1_500,
      status: 8,
    });
  });

  test("with the first refused field", () => {
    const metadata = withDetails(details({ reason: "INVALID_ARGUMENT", fields: ["tasks[3].priority", "tasks[4].id"] }));
    const error = errorFromStatus({ code: status.INVALID_ARGUMENT, details: "no", metadata }, "b:1");
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", field: "tasks[3].priority", retryable: false });
  });

  test("also when the metadata is nice-grpc's", () => {
    const metadata = NiceMetadata().set("grpc-status-details-bin", details({ reason: "STORE_UNAVAILABLE" }));
    const error = errorFromStatus({ code: status.UNAVAILABLE, details: "away", metadata }, "b:1");
    expect(error).toMatchObject({ code: "STORE_UNAVAILABLE", retryable: true });
  });

  test("that names the address and what to check when no broker answers", () => {
    const error = errorFromStatus({ code: status.UNAVAILABLE, details: "connect ECONNREFUSED" }, "queue.example:50051");
    expect(error).toMatchObject({ code: "UNREACHABLE", retryable: true });
    expect(error.message).toMatch(/queue\.example:50051.*ECONNREFUSED.*Is a broker running there/);
  });

  test("named by its status when there is no reason; details that are garbage are none", () => {
    const metadata = withDetails(Buffer.from([0xff, 0xff, 0xff]));
    const error = errorFromStatus({ code: status.PERMISSION_DENIED, details: "no", metadata }, "b:1");
    expect(error).toMatchObject({ code: "PERMISSION_DENIED", retryable: false, field: undefined });
  });

  test("that is worth a repetition when the connection was killed over too many resets", () => {
    const killed = {
      code: status.INTERNAL,
      details: "Received RST_STREAM with code 2 (Session closed with error code 2)",
    };
    expect(errorFromStatus(killed, "b:1").retryable).toBe(true);
    expect(errorFromStatus({ code: status.INTERNAL, details: "a bug" }, "b:1").retryable).toBe(false);
  });
});

test("an error within an EnqueueStream says the same", () => {
  const error = errorFromReason({
    code: 3,
    reason: "TASK_TOO_LARGE",
    message: "big",
    field: "tasks[0]",
    retryDelayMs: undefined,
  });
  expect(error).toMatchObject({ code: "TASK_TOO_LARGE", field: "tasks[0]", retryable: false, status: 3 });
  const later = errorFromReason({ code: 8, reason: "", message: "", field: "", retryDelayMs: 0 });
  expect(later).toMatchObject({ code: "RESOURCE_EXHAUSTED", field: undefined, retryable: true, retryDelayMs: 0 });
});

test("anything thrown becomes a TaskqueueError with its cause", () => {
  const own = unreachable("b:1", "why");
  expect(errorFromUnknown(own)).toBe(own);
  const cause = new Error("boom");
  expect(errorFromUnknown(cause)).toMatchObject({ code: "INTERNAL", message: "boom", cause });
  expect(errorFromUnknown("text")).toBeInstanceOf(TaskqueueError);
});

test("what processors throw is known by name, across copies of the package", () => {
  expect(isNamed<RetryLater>(new RetryLater(5), "RetryLater")).toBe(true);
  expect(isNamed<DoNotRetry>(Object.assign(new Error("x"), { name: "DoNotRetry" }), "DoNotRetry")).toBe(true);
  expect(isNamed<DoNotRetry>({ name: "DoNotRetry" }, "DoNotRetry")).toBe(false);
  expect(new DoNotRetry("bad", { cause: 1 })).toMatchObject({ name: "DoNotRetry", message: "bad", cause: 1 });
});
