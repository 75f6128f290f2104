/** Bodies at their largest. */
import { expect, test } from "vitest";
import {
  decodeBody,
  encodeBody,
  NOTE_INLINE_MAX,
  RECORD_INLINE_MAX,
} from "../../../../server/store/embedded/body-codec.js";
import { VALUE_BYTES_MAX } from "../../../../server/store/embedded/database.js";
import { taskId } from "../../../support/task-factory.js";

const LARGEST = {
  id: taskId("i".repeat(128)),
  place: Buffer.alloc(10, 1),
  failures: 2,
  lostLeases: 1,
  token: 7,
  momentMs: 8,
  mark: 1,
  bytes: RECORD_INLINE_MAX,
  failedToken: 6,
  record: Buffer.alloc(RECORD_INLINE_MAX, "r"),
  error: Buffer.alloc(NOTE_INLINE_MAX, "e"),
  result: Buffer.alloc(NOTE_INLINE_MAX, "f"),
  progress: Buffer.alloc(NOTE_INLINE_MAX, "p"),
};

test("the longest id, the largest record and three notes just fit in a value", () => {
  const encoded = Buffer.from(encodeBody(LARGEST));
  expect(encoded).toHaveLength(VALUE_BYTES_MAX);
  expect(decodeBody(encoded)).toEqual(LARGEST);
});
