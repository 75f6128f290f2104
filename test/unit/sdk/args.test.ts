import vm from "node:vm";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { ListValue } from "@taskqueue/sdk/gen/google/protobuf/struct.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEPTH_MAX, readArgs, writeArgs } from "../../../sdk/args.js";
import { Reader, Writer } from "../../../sdk/wire.js";

/** The args as field 3 of a task, as bytes. */
function encode(args: unknown): Buffer {
  const writer = new Writer();
  writeArgs(writer, 3, args);
  return writer.take();
}

function decode(bytes: Buffer): unknown[] {
  const reader = new Reader(bytes);
  reader.next(reader.length);
  return readArgs(reader);
}

/** What another language's client makes of the bytes. */
function decodeByGenerated(bytes: Buffer): unknown[] {
  const reader = new BinaryReader(bytes);
  reader.uint32();
  return ListValue.unwrap(ListValue.decode(reader, reader.uint32()));
}

function nested(levels: number): unknown[] {
  let value: unknown[] = [];
  for (let level = 1; level < levels; level += 1) value = [value];
  return value;
}

const json = fc.array(
  fc
    .jsonValue({ maxDepth: 5, stringUnit: "binary" })
    // JSON.stringify, which is the measure here, turns -0 into 0 as the SDK does.
    .map((value) => JSON.parse(JSON.stringify(value)) as unknown),
);

describe("whatever JSON can carry", () => {
  test("comes out equal, here and in other languages", () => {
    fc.assert(
      fc.property(json, (args) => {
        const bytes = encode(args);
        expect(decode(bytes)).toEqual(args);
        // The generated code takes `__proto__` for the prototype, and loses it.
        if (!JSON.stringify(args).includes("__proto__")) expect(decodeByGenerated(bytes)).toEqual(args);
      }),
      { numRuns: 500 },
    );
  });

  test("is written as the generated code writes it", () => {
    fc.assert(
      fc.property(json, (args) => {
        fc.pre(!JSON.stringify(args).includes("__proto__"));
        const theirs = new BinaryWriter();
        ListValue.encode(ListValue.wrap(args), theirs.uint32((3 << 3) | 2).fork()).join();
        expect(encode(args).toString("hex")).toBe(Buffer.from(theirs.finish()).toString("hex"));
      }),
    );
  });

  test("every double is exact, to the last bit", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ noNaN: true, noDefaultInfinity: true })), (numbers) => {
        expect(decode(encode(numbers))).toEqual(numbers.map((number) => number + 0));
      }),
      { examples: [[[Number.MAX_VALUE, Number.MIN_VALUE, 0.1 + 0.2, 2 ** 53 + 2, -(2 ** 53)]]] },
    );
  });

  test("-0 becomes 0, which equals it", () => {
    expect(Object.is(decode(encode([-0]))[0], 0)).toBe(true);
  });

  test("keys that mean something to JavaScript are keys like others", () => {
    const args = [JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1, "": 2}')];
    const [back] = decode(encode(args)) as [object];
    expect(Object.keys(back)).toEqual(["__proto__", "constructor", ""]);
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
    expect(JSON.stringify(back)).toBe(JSON.stringify(args[0]));
  });

  test("objects without a prototype and of other realms are plain objects", () => {
    const bare = Object.assign(Object.create(null) as object, { a: 1 });
    const foreign: unknown = vm.runInNewContext("({ b: [1, { c: 2 }] })");
    expect(decode(encode([bare, foreign]))).toEqual([{ a: 1 }, { b: [1, { c: 2 }] }]);
  });

  test(`lists nest ${DEPTH_MAX} deep, the list of args counting as one`, () => {
    expect(decode(encode(nested(DEPTH_MAX)))).toEqual(nested(DEPTH_MAX));
  });
});

class Point {
  x = 1;
}

describe("whatever JSON cannot carry exactly is refused, and the path to it named", () => {
  const cycle: unknown[] = [1];
  cycle.push({ back: cycle });
  const symbolic = { a: 1, [Symbol("s")]: 2 };
  // biome-ignore lint/suspicious/noSparseArray: the hole is the point.
  const sparse = [1, , 3];
  test.each<[string, unknown, string, RegExp]>([
    ["NaN", [Number.NaN], "args[0]", /finite/],
    ["Infinity", [{ size: Number.POSITIVE_INFINITY }], "args[0].size", /finite/],
    ["undefined", [1, undefined], "args[1]", /undefined/],
    ["a property that is undefined", [1, { size: undefined }], "args[1].size", /undefined/],
    ["a hole", [sparse], "args[0][1]", /undefined/],
    ["a BigInt", [{ a: { b: [10n] } }], "args[0].a.b[0]", /BigInt/],
    ["a function", [() => 1], "args[0]", /function/],
    ["a symbol", [Symbol("s")], "args[0]", /symbol/],
    ["a key that is a symbol", [symbolic], "args[0]", /symbols/],
    ["a Date", [{ "due at": new Date(0) }], 'args[0]["due at"]', /toISOString/],
    ["a Map", [new Map()], "args[0]", /instance of Map/],
    ["bytes", [Buffer.from("x")], "args[0]", /instance of Buffer/],
    ["an instance", [[new Point()]], "args[0][0]", /instance of Point/],
    ["an error", [new Error("x")], "args[0]", /instance of Error/],
    ["a cycle", [cycle], "args[0][1].back", /itself/],
    ["half a surrogate pair", [{ text: "\ud800" }], "args[0].text", /Unicode/],
    ["half a surrogate pair in a key", [{ "\udc00": 1 }], 'args[0]["\\udc00"]', /Unicode/],
    ["no list", { length: 1 }, "args", /list/],
    ["no args", undefined, "args", /list/],
  ])("%s", (_, args, field, rule) => {
    expect(() => encode(args)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", field, message: expect.stringMatching(rule) }),
    );
  });

  test("nesting beyond the limit", () => {
    expect(() => encode(nested(DEPTH_MAX + 1))).toThrow(/deeper than 30/);
    // Shared, and so exponentially large when written out: refused by depth, and found at once.
    let twice: unknown = 1;
    for (let level = 0; level < 100; level += 1) twice = [twice, twice];
    expect(() => encode([twice])).toThrow(/deeper than 30/);
  });

  test("a getter that throws is not mistaken for something else", () => {
    const trap = {
      get size(): number {
        throw new RangeError("from the getter");
      },
    };
    expect(() => encode([trap])).toThrow(RangeError);
  });

  test("the writer is as it was before", () => {
    const writer = new Writer();
    writer.uint(1, 1);
    expect(() => writeArgs(writer, 3, [1, "two", Number.NaN])).toThrow();
    expect([...writer.take()]).toEqual([8, 1]);
  });
});

test("reading stops at a depth that no SDK writes, instead of using up the stack", () => {
  const writer = new Writer();
  const starts = [writer.begin(3)];
  for (let level = 0; level < 10_000; level += 1) starts.push(writer.begin(1), writer.begin(6));
  for (const start of starts.reverse()) writer.end(start);
  expect(() => decode(writer.take())).toThrow(/nested deeper/);
});
