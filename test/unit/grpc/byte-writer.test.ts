import { BinaryReader } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ByteWriter, fieldBytes, varintBytes } from "../../../server/grpc/byte-writer.js";
import { SEED } from "../../support/arbitraries.js";

const numbers = fc.oneof(fc.nat(300), fc.maxSafeNat());

test("a number is read back, and 0 is left out", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 15 }), numbers, (field, value) => {
      const writer = new ByteWriter(0);
      writer.number(field, value);
      const bytes = writer.finish();
      const reader = new BinaryReader(bytes);
      if (value === 0) {
        expect(reader.len).toBe(0);
        return;
      }
      expect(reader.tag()).toEqual([field, 0]);
      expect(Number(reader.uint64())).toBe(value);
      expect(reader.pos).toBe(1 + varintBytes(value));
    }),
    { seed: SEED },
  );
});

test("text and bytes are read back, however many and however small the buffer was", () => {
  const fields = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant("ascii" as const), text: fc.string({ unit: "grapheme-ascii", maxLength: 300 }) }),
      fc.record({ kind: fc.constant("text" as const), text: fc.string({ unit: "binary", maxLength: 300 }) }),
    ),
    { maxLength: 20 },
  );
  fc.assert(
    fc.property(fields, fc.nat(10_000), (all, expected) => {
      const writer = new ByteWriter(expected);
      for (const { kind, text } of all) writer[kind](2, text);
      const reader = new BinaryReader(writer.finish());
      for (const { text } of all) {
        expect(reader.tag()).toEqual([2, 2]);
        expect(reader.string()).toBe(text);
      }
      expect(reader.pos).toBe(reader.len);
    }),
    { seed: SEED },
  );
});

test("a head announces what is written after it", () => {
  const inner = Buffer.from("0801", "hex");
  const writer = new ByteWriter(1);
  writer.head(3, inner.length);
  writer.raw(inner);
  expect(writer.finish()).toEqual(Buffer.from("1a020801", "hex"));
  expect(fieldBytes(inner.length)).toBe(4);
});

test("sizes are those of the wire", () => {
  for (const [value, bytes] of [
    [0, 1],
    [127, 1],
    [128, 2],
    [2 ** 14, 3],
    [2 ** 28 - 1, 4],
    [2 ** 35, 6],
    [Number.MAX_SAFE_INTEGER, 8],
  ] as const) {
    expect(varintBytes(value), String(value)).toBe(bytes);
  }
});
