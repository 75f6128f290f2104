import { TaskqueueError } from "@taskqueue/sdk";
import { describe, expect, test } from "vitest";
import { type FakeOptions, type Outcome, runWith } from "./fake-context.js";

interface Call {
  topic: { name: string; codec?: { contentType: string } };
  items: { args: unknown }[];
  options: object;
}

/** Accepts everything; ids are given or `n1`, `n2`, …. */
async function enqueue(
  argv: readonly string[],
  options: FakeOptions & { existing?: string; fail?: (call: number) => Error | undefined } = {},
): Promise<Outcome & { calls: Call[] }> {
  const calls: Call[] = [];
  let n = 0;
  const enqueueMany = async (
    topic: Call["topic"],
    items: (Call["items"][number] & { id?: string })[],
    opts: object,
  ) => {
    calls.push({ topic, items, options: opts });
    const error = options.fail?.(calls.length);
    if (error) throw error;
    return items.map(({ id }) => ({ id: id ?? `n${++n}`, created: id === undefined || id !== options.existing }));
  };
  const outcome = await runWith(["enqueue", ...argv], { ...options, client: { enqueueMany } });
  return { ...outcome, calls };
}

describe("arguments", () => {
  test("are JSON values, negative numbers too; the id is printed", async () => {
    const { code, stdout, calls } = await enqueue(["clicks", "640", "-480", '"a b"', '{"x":[null]}']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "n1\n" });
    expect(calls).toHaveLength(1);
    expect(calls[0]).toMatchObject({
      topic: { name: "clicks" },
      items: [{ args: [640, -480, "a b", { x: [null] }] }],
      options: {},
    });
  });

  test.each([
    ["hello", /argument 1 must be JSON; a text needs quotes: '"hello"'/],
    ["{x:1}", /argument 1 must be JSON/],
    ["12345678901234567890", /no exact JSON number: send it as a text/],
    ['[{"n":9007199254740993}]', /9007199254740993/],
  ])("%s is refused", async (text, message) => {
    const { code, stderr, calls } = await enqueue(["clicks", text]);
    expect({ code, calls }).toEqual({ code: 2, calls: [] });
    expect(stderr).toMatch(message);
  });

  test("numbers that a double holds exactly pass, and so do digits in a text", async () => {
    const { calls } = await enqueue([
      "clicks",
      "9007199254740992",
      "1e300",
      '"12345678901234567890"',
      "1234567890.1234567890",
    ]);
    expect(calls[0]?.items[0]?.args).toEqual([9007199254740992, 1e300, "12345678901234567890", 1234567890.1234567]);
  });
});

describe("options", () => {
  test("become those of the SDK", async () => {
    const { calls } = await enqueue([
      ...[
        "clicks",
        "--id",
        "x",
        "--external-id",
        "order 1",
        "--priority",
        "-5",
        "--num-retries",
        "3",
        "--delay",
        "1m30s",
      ],
      ...["--timeout", "0", "--retention", "1d", "--metadata", "a=1", "--metadata", "b=x=y"],
    ]);
    expect(calls[0]?.items).toEqual([{ args: [], id: "x" }]);
    expect(calls[0]?.options).toEqual({
      externalId: "order 1",
      priority: -5,
      numRetries: 3,
      delayMs: 90_000,
      timeoutMs: 0,
      retentionMs: 86_400_000,
      metadata: { a: "1", b: "x=y" },
    });
  });

  test("--run-at is a moment", async () => {
    const { calls } = await enqueue(["clicks", "--run-at", "2030-01-31T12:00:00Z"]);
    expect(calls[0]?.options).toEqual({ runAt: new Date("2030-01-31T12:00:00Z") });
  });

  test.each([
    ["--delay", "1s", "--run-at", "2030-01-31T12:00:00Z"],
    ["--id", "x", "--count", "2"],
    ["-", "--id", "x"],
    ["-", "--count", "2"],
    ["1", "--payload-file", "x"],
    ["--content-type", "text/plain"],
    ["--payload-file", "/no/such/file"],
    ["--metadata", "key"],
  ])("%s %s %s %s is refused", async (...argv) => {
    expect(await enqueue(["clicks", ...argv])).toMatchObject({ code: 2, calls: [] });
  });

  test("--count makes many, in batches of 1,000", async () => {
    const { calls, stdout } = await enqueue(["clicks", "1", "--count", "2500"]);
    expect(calls.map(({ items }) => items.length)).toEqual([1000, 1000, 500]);
    expect(stdout.split("\n")).toHaveLength(2501);
  });

  test("a payload comes from a file or standard input", async () => {
    const { calls, code } = await enqueue(["clicks", "--payload-file", "-", "--content-type", "text/plain"], {
      stdin: ["ab", "c"],
    });
    expect(code).toBe(0);
    expect(calls[0]).toMatchObject({ topic: { codec: { contentType: "text/plain" } } });
    expect(Buffer.from(calls[0]?.items[0]?.args as Uint8Array).toString()).toBe("abc");
  });
});

describe("results", () => {
  test("an id that existed is printed, with a note", async () => {
    const { code, stdout, stderr } = await enqueue(["clicks", "--id", "x"], { existing: "x" });
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: "x\n",
      stderr: "x existed before: nothing was changed\n",
    });
  });

  test("--json prints a document per task", async () => {
    const { stdout } = await enqueue(["clicks", "--id", "x", "--json"], { existing: "x" });
    expect(stdout).toBe('{"topic":"clicks","id":"x","created":false}\n');
  });
});

describe("tasks from standard input", () => {
  test("are lists of arguments, or objects with options; lines may be cut anywhere", async () => {
    const { calls, stdout } = await enqueue(["clicks", "-", "--priority", "2"], {
      stdin: ["[1,", '2]\n\n{"args":["a"],"id":"x","delayMs":5}\n{"runAt":"2030-01-31T12:00:00Z"}', "\n[]"],
    });
    expect(calls[0]?.items).toEqual([
      { args: [1, 2] },
      { args: ["a"], id: "x", delayMs: 5 },
      { args: [], runAt: new Date("2030-01-31T12:00:00Z") },
      { args: [] },
    ]);
    expect(calls[0]?.options).toEqual({ priority: 2 });
    expect(stdout).toBe("n1\nx\nn2\nn3\n");
  });

  test("nothing at all is fine", async () => {
    expect(await enqueue(["clicks", "-"])).toMatchObject({ code: 0, stdout: "", calls: [] });
  });

  test.each([
    ["5", /line 2 must be a list of arguments or an object/],
    ["[1", /line 2 must be JSON/],
    ['{"args":{}}', /line 2: args must be a list/],
    ['{"runAt":5}', /line 2: runAt must be a moment/],
  ])("a bad line (%s) is named, and the tasks before it are not sent with it", async (line, message) => {
    const { code, stderr } = await enqueue(["clicks", "-"], { stdin: `[1]\n${line}\n` });
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  test("after an error it tells how many tasks were accepted, and prints their ids", async () => {
    const fail = (call: number) => (call === 3 ? new TaskqueueError("TOPIC_FULL", "the topic is full") : undefined);
    const { code, stdout, stderr } = await enqueue(["clicks", "-"], { stdin: "[1]\n".repeat(2_500), fail });
    expect(code).toBe(1);
    expect(stdout.trim().split("\n")).toHaveLength(2_000);
    expect(stderr).toBe("2000 tasks were accepted before the error; their ids are above\nerror: the topic is full\n");
  });
});
