import { EventType, WatchResponse } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { expect, test } from "vitest";
import { EVENT_TYPES, type TaskqueueEvent } from "../../../server/engine/events.js";
import { toEvent } from "../../../server/grpc/convert.js";
import { encodeWatchMessage } from "../../../server/grpc/watch-codec.js";

const start = { type: "TASK_START", atMs: 1_000, broker: "b", worker: "w", topic: "clicks", taskId: "a" } as const;
const end = { ...start, type: "TASK_FAILURE", error: "größer\u0000", durationMs: 12, attempt: 3 } as const;
const events: TaskqueueEvent[] = [
  start,
  end,
  { ...end, externalId: "x".repeat(300), error: "é".repeat(2_000), atMs: 1_764_203_590_123, durationMs: 0 },
  { ...start, type: "TASK_PROGRESS", progress: { fraction: 0.25, message: "ein Viertel" }, durationMs: 3_600_001 },
  { type: "MANAGER_START", atMs: 999, broker: "ü" },
  ...EVENT_TYPES.map((type) => ({ ...start, type })),
];

test("a message reads as the generated code would have written it, however often its events were sent before", () => {
  const own = [{ ...toEvent(start), type: EventType.MANAGER_STATS }];
  const message = { events, own, cursor: "000000000007", dropped: true };
  const expected = {
    events: [...events.map((event) => toEvent(event)), ...own],
    cursor: "000000000007",
    dropped: true,
  };
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
