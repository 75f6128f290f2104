import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { Duration } from "@taskqueue/sdk/gen/google/protobuf/duration.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MalformedMessage, Reader, readMillis, Writer, writeMillis } from "../../../sdk/wire.js";

/** Writes the same by the SDK's writer and by the library's; both must give the same bytes. */
function same(ours: (writer: Writer) => void, theirs: (writer: BinaryWriter) => void): void {
  const a = new Writer();
  ours(a);
  const b = new BinaryWriter();
  theirs(b);
  expect(a.take().toString("hex")).toBe(Buffer.from(b.finish()).toString("hex"));
}

const text = fc.string({ unit: "grapheme", maxLength: 200 });

describe("the writer agrees with the library's", () => {
  test("on strings of every length and script", () => {
    fc.assert(
      fc.property(text, (value) =>
        same(
          (writer) => writer.string(3, value),
          (writer) => writer.uint32((3 << 3) | 2).string(value),
        ),
      ),
    );
    for (const length of [0, 1, 24, 25, 42, 43, 127, 128, 20_000]) {
      for (const character of ["a", "é", "€", "😀"]) {
        const value = character.repeat(length);
        same(
          (writer) => writer.string(1, value),
          (writer) => writer.uint32(10).string(value),
        );
      }
    }
  });

  test("on whole numbers", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.integer(), fc.integer({ min: 1, max: 2 ** 29 - 1 }), (unsigned, signed, field) =>
        same(
          (writer) => {
            writer.uint(field, unsigned);
            writer.int(2, signed);
          },
          (writer) =>
            writer
              .uint32(field * 8)
              .uint64(unsigned)
              .uint32(16)
              .int32(signed),
        ),
      ),
      {
        examples: [
          [2 ** 53 - 1, -1, 1],
          [2 ** 32, -(2 ** 31), 14],
          [2 ** 32 - 1, 2 ** 31 - 1, 15],
          [127, 128, 16],
        ],
      },
    );
  });

  test("on doubles and bytes", () => {
    fc.assert(
      fc.property(fc.double(), fc.uint8Array({ maxLength: 300 }), (number, bytes) =>
        same(
          (writer) => {
            writer.double(1, number);
            writer.bytes(2, bytes);
          },
          (writer) => writer.uint32(9).double(number).uint32(18).bytes(bytes),
        ),
      ),
    );
  });

  test("on messages within messages, whatever their length takes", () => {
    for (const size of [0, 127, 128, 16_383, 16_384, 2 ** 21 - 1, 2 ** 21]) {
      const bytes = new Uint8Array(size);
      same(
        (writer) => {
          const outer = writer.begin(1);
          const inner = writer.begin(2);
          writer.raw(bytes);
          writer.end(inner);
          writer.uint(3, 1);
          writer.end(outer);
        },
        (writer) => writer.uint32(10).fork().uint32(18).fork().raw(bytes).join().uint32(24).uint32(1).join(),
      );
    }
  });
});

test("a writer that is truncated or taken from goes on where it stands", () => {
  const writer = new Writer();
  writer.uint(1, 1);
  const { length } = writer;
  writer.string(2, "to be dropped");
  writer.truncate(length);
  writer.uint(3, 3);
  expect([...writer.takeUpTo(length)]).toEqual([8, 1]);
  expect([...writer.take()]).toEqual([24, 3]);
  expect(writer.length).toBe(0);
});

describe("the reader agrees with the library's", () => {
  test("on every kind of field", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.integer(), fc.double(), text, (unsigned, signed, number, string) => {
        const bytes = new BinaryWriter()
          .uint32(8)
          .uint64(unsigned)
          .uint32(16)
          .int32(signed)
          .uint32(25)
          .double(number)
          .uint32(34)
          .string(string)
          .finish();
        const reader = new Reader(bytes);
        const read: unknown[] = [];
        while (reader.next(reader.length)) {
          if (reader.field === 1) read.push(reader.uint());
          if (reader.field === 2) read.push(reader.int32());
          if (reader.field === 3) read.push(reader.double());
          if (reader.field === 4) read.push(reader.string());
        }
        expect(read).toEqual([unsigned, signed, number, string]);
      }),
      {
        examples: [
          [2 ** 53 - 1, -1, -0, ""],
          [0, -(2 ** 31), Number.NaN, "\u0000"],
        ],
      },
    );
  });

  test("on skipping what it does not know", () => {
    const bytes = new BinaryWriter()
      .uint32(8)
      .uint64("18446744073709551615")
      .uint32(17)
      .double(1)
      .uint32(26)
      .string("skipped")
      .uint32(37)
      .fixed32(7)
      .uint32(40)
      .uint32(42)
      .finish();
    const reader = new Reader(bytes);
    let answer = 0;
    while (reader.next(reader.length)) {
      if (reader.field === 5) answer = reader.uint();
      else reader.skip();
    }
    expect(answer).toBe(42);
  });

  test("a guessed string is the guess only when it is equal", () => {
    const bytes = new BinaryWriter()
      .uint32(10)
      .string("clicks")
      .uint32(10)
      .string("clocks")
      .uint32(10)
      .string("é")
      .finish();
    const reader = new Reader(bytes);
    const read: string[] = [];
    while (reader.next(reader.length)) read.push(reader.repeatedString("clicks"));
    expect(read).toEqual(["clicks", "clocks", "é"]);
  });

  test("repeated numbers are read packed or not", () => {
    const packed = new BinaryWriter().uint32(18).fork().uint32(1).uint32(300).join().uint32(16).uint32(7).finish();
    const reader = new Reader(packed);
    const numbers: number[] = [];
    while (reader.next(reader.length)) reader.uints(numbers);
    expect(numbers).toEqual([1, 300, 7]);
  });
});

test("random bytes are read or refused, and never read beyond their end", () => {
  const walk = (reader: Reader, end: number, depth: number): void => {
    while (reader.next(end)) {
      if (depth < 3 && reader.field % 2 === 0) {
        try {
          const inner = reader.block();
          walk(reader, inner, depth + 1);
          continue;
        } catch (error) {
          if (!(error instanceof MalformedMessage)) throw error;
          throw error;
        }
      }
      reader.skip();
    }
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const reader = new Reader(bytes);
      try {
        walk(reader, reader.length, 0);
        expect(reader.at).toBe(reader.length);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedMessage);
      }
    }),
  );
});

test("milliseconds are a Duration, to the millisecond", () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 31 - 1 }), fc.nat({ max: 100_000 }), (a, b) => {
      const ms = a * b;
      const writer = new Writer();
      writeMillis(writer, 1, ms);
      const bytes = writer.take();
      const reader = new BinaryReader(bytes);
      reader.uint32();
      const duration = Duration.decode(reader, reader.uint32());
      expect(duration).toEqual({ seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 });
      const own = new Reader(bytes);
      own.next(own.length);
      expect(readMillis(own)).toBe(ms);
    }),
  );
});
