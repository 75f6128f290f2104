import { bytesCodec, Client, defineTopic, type StandardSchema, Worker } from "@taskqueue/sdk";
import { describe, expect, expectTypeOf, test } from "vitest";
import { checked } from "../../../sdk/schema.js";

/** A schema in the manner of those that transform: takes numeric strings, gives numbers. */
function numbers(asynchronous = false): StandardSchema<string[], number[]> {
  const validate = (value: unknown) => {
    if (!Array.isArray(value)) return { issues: [{ message: "not a list" }] };
    const bad = value.findIndex((item) => !/^\d+$/.test(String(item)));
    if (bad >= 0) return { issues: [{ message: "not numeric", path: [bad, { key: "text" }] }, { message: "another" }] };
    return { value: value.map(Number) };
  };
  return {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value) => (asynchronous ? Promise.resolve(validate(value)) : validate(value)),
    },
  };
}

describe("a topic", () => {
  test("has a name within the rule", () => {
    for (const name of ["a", "_x", "shop.orders:v2/eu-1", "x".repeat(128)]) expect(defineTopic(name).name).toBe(name);
    for (const name of ["", "-a", ".a", "a b", "ä", "a{b}", "x".repeat(129)]) {
      expect(() => defineTopic(name)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT", field: "topic" }));
    }
  });

  test("refuses defaults that no task could have, and options it does not know", () => {
    expect(() => defineTopic("t", { numRetries: -1 })).toThrow(/numRetries/);
    expect(() => defineTopic("t", { delayMs: 5 } as object)).toThrow(/no option "delayMs"/);
  });

  test("carries its types to both sides", () => {
    const clicks = defineTopic<[width: number, height: number]>("clicks");
    const parsed = defineTopic("parsed", { args: numbers() });
    const raw = defineTopic("raw", { codec: bytesCodec() });
    const client = new Client();
    const worker = new Worker();
    expectTypeOf(client.enqueue<[number, number]>)
      .parameter(1)
      .toEqualTypeOf<[number, number]>();
    worker.register(clicks, ([width, height]) => {
      expectTypeOf(width).toEqualTypeOf<number>();
      expectTypeOf(height).toEqualTypeOf<number>();
    });
    worker.register(parsed, (input) => {
      expectTypeOf(input).toEqualTypeOf<number[]>();
    });
    worker.register(raw, async (input) => {
      expectTypeOf(input).toEqualTypeOf<Uint8Array>();
    });
    const neverCalled = () => {
      void client.enqueue(clicks, [1, 2]);
      void client.enqueue(parsed, ["1"]);
      void client.enqueueMany(clicks, [[1, 2], { args: [1, 2], id: "x" }]);
      // @ts-expect-error: not what the topic takes
      void client.enqueue(clicks, ["1", 2]);
      // @ts-expect-error: the schema's input is what a producer gives
      void client.enqueue(parsed, [1]);
      // @ts-expect-error: not bytes
      void client.enqueue(raw, "text");
    };
    expect(neverCalled).toBeTypeOf("function");
  });
});

describe("a schema", () => {
  test("gives its output, at once or later", async () => {
    expect(checked(numbers(), ["1", "2"], "args")).toEqual([1, 2]);
    await expect(checked(numbers(true), ["1", "2"], "args")).resolves.toEqual([1, 2]);
    expect(checked(undefined, "as it is", "args")).toBe("as it is");
  });

  test("refuses with the path of its first issue", async () => {
    const refusal = expect.objectContaining({
      code: "INVALID_INPUT",
      field: "args[1].text",
      message: "args[1].text: not numeric (and 1 more)",
    });
    expect(() => checked(numbers(), ["1", "x"], "args")).toThrow(refusal);
    await expect(checked(numbers(true), ["1", "x"], "args")).rejects.toEqual(refusal);
  });
});
