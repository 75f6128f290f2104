import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TaskqueueError } from "../../../server/domain/errors.js";
import {
  cutText,
  isPlainText,
  newTaskId,
  pageSize,
  plainText,
  taskId,
  taskIds,
  topicName,
  wholeNumber,
} from "../../../server/grpc/parse.js";
import { SEED } from "../../support/arbitraries.js";

/** What a refusal says: code, field, and message. */
function refusal(act: () => unknown): { code: string; field: string | undefined; message: string } {
  try {
    act();
  } catch (error) {
    if (error instanceof TaskqueueError) return { code: error.code, field: error.field, message: error.message };
    throw error;
  }
  throw new Error("it was accepted");
}

describe("names", () => {
  test.each(["a", "_a", "9", "a.b:c/d-e_F", "x".repeat(128)])("the topic %s is accepted", (text) => {
    expect(topicName("topic", text)).toBe(text);
  });

  test.each(["", ".a", "-a", "a b", "ä", "a\n", "a@b", "{a}", "x".repeat(129), "a\u0000"])(
    "the topic %j is refused",
    (text) => {
      expect(refusal(() => topicName("tasks[3].topic", text))).toMatchObject({
        code: "INVALID_ARGUMENT",
        field: "tasks[3].topic",
      });
    },
  );

  test.each(["a", ".", "-", "a@b+c=d~e", "0".repeat(128)])("the id %s is accepted", (text) => {
    expect(taskId("id", text)).toBe(text);
  });

  test.each(["", "a b", "a,b", "ü", "a\n", "x".repeat(129), "a{b}"])("the id %j is refused", (text) => {
    expect(refusal(() => taskId("id", text)).field).toBe("id");
  });

  test("a long value is not repeated in full", () => {
    expect(refusal(() => topicName("topic", "!".repeat(10_000))).message.length).toBeLessThan(250);
  });

  test("a list of ids holds 1 to 1,000, and the one that is refused is named", () => {
    expect(refusal(() => taskIds("ids", []))).toMatchObject({ field: "ids" });
    expect(refusal(() => taskIds("ids", Array<string>(1_001).fill("a"))).message).toContain("must hold 1 to 1000 ids");
    expect(refusal(() => taskIds("ids", ["a", "b b"])).field).toBe("ids[1]");
    expect(taskIds("ids", Array<string>(1_000).fill("a")).length).toBe(1_000);
  });

  test("made ids are valid and differ", () => {
    const made = new Set(Array.from({ length: 1_000 }, () => newTaskId(1_700_000_000_000)));
    expect(made.size).toBe(1_000);
    for (const id of made) expect(taskId("id", id)).toBe(id);
  });
});

describe("text", () => {
  test("is bounded in bytes, valid, and without control characters", () => {
    expect(plainText("f", "öffentlich\u00a0", 255)).toBe("öffentlich\u00a0");
    expect(refusal(() => plainText("f", "ö".repeat(3), 5)).message).toContain("must be at most 5 bytes");
    expect(refusal(() => plainText("f", "a\tb", 5)).message).toContain("control characters");
    expect(refusal(() => plainText("f", "a\u007f", 5)).message).toContain("control characters");
    expect(refusal(() => plainText("f", "a\ufffd", 5)).message).toContain("valid UTF-8");
  });

  test("is judged alike by isPlainText", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 12 }), (text) => {
        let accepted = true;
        try {
          plainText("f", text, 10);
        } catch {
          accepted = false;
        }
        expect(isPlainText(text, 10)).toBe(accepted);
      }),
      { seed: SEED },
    );
  });

  test("is cut to bytes between characters", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 30 }), fc.nat(40), (text, bytesMax) => {
        const cut = cutText(text, bytesMax);
        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(bytesMax);
        expect(text.startsWith(cut)).toBe(true);
        // No more is cut than one character.
        if (cut !== text) expect(Buffer.byteLength(cut)).toBeGreaterThan(bytesMax - 4);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });
});

describe("numbers", () => {
  test.each([-1, 11, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])(
    "%s is not a whole number from 0 to 10",
    (value) => {
      expect(refusal(() => wholeNumber("n", value, 0, 10))).toMatchObject({
        field: "n",
        message: expect.stringContaining("must be a whole number from 0 to 10"),
      });
    },
  );

  test("a page size of 0 means the default", () => {
    expect([0, 1, 1_000].map(pageSize)).toEqual([100, 1, 1_000]);
    for (const size of [-1, 1_001]) expect(refusal(() => pageSize(size)).field).toBe("page_size");
  });
});
