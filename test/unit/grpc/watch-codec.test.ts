import { EventType, WatchResponse } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { expect, test } from "vitest";
import { toEvent } from "../../../server/grpc/convert.js";
import { encodeWatchMessage } from "../../../server/grpc/watch-codec.js";

const start = { type: "TASK_START", atMs: 1_000, broker: "b", worker: "w", topic: "clicks", taskId: "a" } as const;
const end = { ...start, type: "TASK_FAILURE", error: "größer\u0000", durationMs: 12, attempt: 3 } as const;

test("a message reads as the generated code would have written it, however often its events were sent before", () => {
  const own = [{ ...toEvent(start), type: EventType.MANAGER_STATS }];
  const message = { events: [start, end], own, cursor: "000000000007", dropped: true };
  const expected = { events: [toEvent(start), toEvent(end), ...own], cursor: "000000000007", dropped: true };
  for (let round = 0; round < 2; round++) {
    expect(WatchResponse.decode(encodeWatchMessage(message))).toEqual(
      WatchResponse.decode(WatchResponse.encode(expected).finish()),
    );
  }
});

test("a sign of life carries the cursor alone", () => {
  const message = { events: [], own: [], cursor: "7", dropped: false };
  expect(WatchResponse.decode(encodeWatchMessage(message))).toEqual({ events: [], cursor: "7", dropped: false });
});
