import { readFileSync } from "node:fs";
import { createFileRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { EnqueueRequest } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { Task } from "@taskqueue/sdk/gen/taskqueue/v1/task.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TaskqueueError } from "../../../server/domain/errors.js";
import { LIMITS } from "../../../server/domain/limits.js";
import { type TaskInput, taskInput } from "../../../server/grpc/task-input.js";
import { decodeStrictly, readEnqueue } from "../../../server/grpc/task-scan.js";
import { nested, pieces, SEED, tasks, unknownFields } from "../../support/arbitraries.js";
import { NOW } from "../../support/task-factory.js";

const OPTIONS = { now: NOW, taskBytesMax: LIMITS.taskBytesMax };

type Outcome = { readonly input: TaskInput; readonly hadId: boolean } | { readonly refused: string };

/** An EnqueueRequest with these encoded tasks. */
function request(...encoded: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(encoded.flatMap((bytes) => [Buffer.from([10, ...lengthOf(bytes)]), bytes]));
}

function lengthOf(bytes: Uint8Array): number[] {
  const length: number[] = [];
  for (let rest = bytes.length; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...length, rest];
    length.push((rest % 128) | 128);
  }
}

function outcomeOf(act: () => { readonly input: TaskInput; readonly hadId: boolean }): Outcome {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof TaskqueueError)) throw error;
    return { refused: `${error.code} ${error.field}: ${error.message}` };
  }
}

/** What the generated decoder and the checks say. */
function decoded(bytes: Uint8Array, options = OPTIONS): Outcome {
  return outcomeOf(() => {
    let task: Task;
    try {
      task = decodeStrictly(bytes);
    } catch {
      const message = `tasks[0]: must be a well-formed Task (got "${bytes.length} bytes")`;
      throw new TaskqueueError("INVALID_ARGUMENT", message, { field: "tasks[0]" });
    }
    return { input: taskInput("tasks[0]", task, options), hadId: task.id !== "" };
  });
}

function scanned(bytes: Uint8Array, options = OPTIONS): Outcome {
  return outcomeOf(() => {
    const { tasks, withIds } = readEnqueue(request(bytes), options);
    const [input] = tasks;
    if (input === undefined || tasks.length !== 1) throw new Error("not one task");
    return { input, hadId: withIds };
  });
}

const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, readFileSync(new URL("../../../server/grpc/descriptor.binpb", import.meta.url))),
);

/** Reads it with another decoder, which is strict about UTF-8. */
function readStrictly(spec: Uint8Array): void {
  const schema = registry.getMessage("taskqueue.v1.Task");
  if (schema === undefined) throw new Error("the descriptor has no Task");
  toBinary(schema, fromBinary(schema, spec));
}

/** Nesting that any protobuf library reads: they stop at 100 messages, and a level takes up to three. */
const DEPTH_ANYWHERE = 32;

function compare(bytes: Uint8Array, options = OPTIONS, depth = 1): Outcome {
  const scan = scanned(bytes, options);
  const decode = decoded(bytes, options);
  if ("refused" in scan || "refused" in decode) {
    expect(scan).toEqual(decode);
    return scan;
  }
  const { spec, id, ...rest } = scan.input;
  const { spec: otherSpec, id: otherId, ...otherRest } = decode.input;
  expect(rest).toEqual(otherRest);
  expect(scan.hadId).toBe(decode.hadId);
  if (decode.hadId) expect(id).toBe(otherId);
  else expect(id).toMatch(/^[\w-]{20}$/);
  const task = Task.decode(spec);
  expect(task).toEqual(Task.decode(otherSpec));
  expect(task).toMatchObject({ topic: "", id: "" });
  if (depth <= DEPTH_ANYWHERE) readStrictly(spec);
  return scan;
}

describe("a scanned task is what the generated decoder and the checks make of it", () => {
  const count = { accepted: 0, refused: 0 };
  const note = (outcome: Outcome) => {
    if ("refused" in outcome) count.refused += 1;
    else count.accepted += 1;
  };

  test.each([true, false])("as clients encode it (with rare fields: %s)", (rare) => {
    fc.assert(
      fc.property(tasks({ rare }), (task) => note(compare(Task.encode(task).finish()))),
      { seed: SEED, numRuns: 2_000 },
    );
    expect(count.accepted).toBeGreaterThan(200);
    expect(count.refused).toBeGreaterThan(200);
  });

  /** Puts pieces into an order that `draw` decides. */
  function shuffled(all: readonly Uint8Array[], draw: fc.Stream<number>): Uint8Array {
    const left = [...all];
    const order: Uint8Array[] = [];
    while (left.length > 0) order.push(...left.splice((draw.next().value ?? 0) % left.length, 1));
    return Buffer.concat(order);
  }

  test("with its fields in any order", () => {
    fc.assert(
      fc.property(tasks({ rare: false }), fc.infiniteStream(fc.nat()), (task, draw) => {
        compare(shuffled(pieces(task), draw));
      }),
      { seed: SEED, numRuns: 2_000 },
    );
  });

  test("with fields that are repeated, and fields of a newer version", () => {
    const extras = fc.array(unknownFields, { maxLength: 2 });
    fc.assert(
      fc.property(
        tasks({ rare: true }),
        tasks({ rare: false }),
        extras,
        fc.infiniteStream(fc.nat()),
        (task, other, unknown, draw) => {
          compare(shuffled([...pieces(task), ...pieces(other).slice(0, 3), ...unknown], draw));
        },
      ),
      { seed: SEED, numRuns: 2_000 },
    );
  });

  test("with bytes changed, cut off, put in or left out", () => {
    const mutations = fc.array(
      fc.record({ kind: fc.constantFrom("set", "cut", "insert", "drop", "flip"), at: fc.nat(), byte: fc.nat(255) }),
      { minLength: 1, maxLength: 3 },
    );
    fc.assert(
      fc.property(tasks({ rare: false }), mutations, (task, changes) => {
        let bytes = [...Task.encode(task).finish()];
        for (const { kind, at, byte } of changes) {
          const position = bytes.length === 0 ? 0 : at % bytes.length;
          if (kind === "set") bytes[position] = byte;
          else if (kind === "cut") bytes = bytes.slice(0, position);
          else if (kind === "insert") bytes.splice(position, 0, byte);
          else if (kind === "drop") bytes.splice(position, 1);
          else bytes[position] = (bytes[position] ?? 0) ^ (1 << (byte % 8));
        }
        note(compare(Buffer.from(bytes)));
      }),
      { seed: SEED, numRuns: 4_000 },
    );
  });

  test("of random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        compare(bytes);
      }),
      { seed: SEED, numRuns: 2_000 },
    );
  });

  test.each(["list", "object"] as const)("up to the deepest %s that is allowed, and beyond it", (kind) => {
    for (let depth = 1; depth < LIMITS.argsDepthMax + 4; depth += 1) {
      // The list of arguments is the first level.
      const bytes = Task.encode(Task.fromPartial({ topic: "t", args: [nested(depth, kind)] })).finish();
      const outcome = compare(bytes, OPTIONS, depth + 1);
      expect("refused" in outcome, `${depth} within args`).toBe(depth >= LIMITS.argsDepthMax);
      if ("refused" in outcome) expect(outcome.refused).toMatch(/must not nest deeper than|well-formed Task/);
    }
  });

  test("with a priority beyond int32, which protobuf reads by its low bits", () => {
    const priority = Buffer.from([0x40, 0x85, 0x80, 0x80, 0x80, 0x10]);
    const outcome = compare(Buffer.concat([Task.encode(Task.fromPartial({ topic: "t" })).finish(), priority]));
    expect(outcome).toMatchObject({ input: { head: { priority: 5 } } });
  });

  test("with text that is not UTF-8 is refused, not mended", () => {
    for (const field of ["args", "metadata", "payload"] as const) {
      const task = {
        args: { args: ["#"] },
        metadata: { metadata: { k: "#" } },
        payload: { payload: Buffer.from("#") },
      };
      const bytes = Buffer.from(Task.encode(Task.fromPartial({ topic: "t", ...task[field] })).finish());
      bytes[bytes.indexOf("#")] = 0xff;
      expect("refused" in compare(bytes), field).toBe(field !== "payload");
    }
  });

  test("at the limit of its bytes, and one beyond", () => {
    for (const field of ["payload", "args"] as const) {
      const make = (bytes: number) =>
        Task.encode(
          Task.fromPartial({
            topic: "t",
            id: "i",
            ...(field === "payload" ? { payload: Buffer.alloc(bytes, 97) } : { args: ["a".repeat(bytes)] }),
          }),
        ).finish();
      for (let bytes = 900; bytes < 1_010; bytes += 1) {
        const outcome = compare(make(bytes), { ...OPTIONS, taskBytesMax: 1_000 });
        const spec = make(bytes).length - 6;
        expect("refused" in outcome, `${field} of ${bytes}`).toBe(spec > 1_000);
        if ("refused" in outcome) expect(outcome.refused).toMatch(/^TASK_TOO_LARGE tasks\[0\]/);
      }
    }
  });
});

describe("a request", () => {
  const plain = (id: string) => Task.encode(Task.fromPartial({ topic: "clicks", id, args: [640, 480] })).finish();

  test("keeps a plain task as it was encoded", () => {
    const bytes = plain("a");
    const { tasks, withIds } = readEnqueue(request(bytes), OPTIONS);
    expect(withIds).toBe(true);
    expect(tasks).toMatchObject([{ topic: "clicks", id: "a", dueAtMs: NOW, head: { priority: 0, externalId: "" } }]);
    expect(Buffer.from(tasks[0]?.spec ?? []).equals(bytes.subarray("clicks".length + "a".length + 4))).toBe(true);
  });

  test("keeps the order of its tasks, and tells whether all had ids", () => {
    const { tasks, withIds } = readEnqueue(request(plain("a"), plain(""), plain("c")), OPTIONS);
    expect(tasks.map(({ id }) => id)).toEqual(["a", tasks[1]?.id, "c"]);
    expect(withIds).toBe(false);
  });

  test("holds 1 to 1,000 tasks", () => {
    const many = (count: number) => request(...Array.from({ length: count }, (_, index) => plain(`t${index}`)));
    expect(readEnqueue(many(LIMITS.batchMax), OPTIONS).tasks.length).toBe(LIMITS.batchMax);
    for (const count of [0, LIMITS.batchMax + 1]) {
      expect(() => readEnqueue(many(count), OPTIONS)).toThrow(
        `tasks: must hold 1 to 1000 tasks (got "${count} tasks")`,
      );
    }
  });

  test("names the task that is refused", () => {
    expect(() => readEnqueue(request(plain("a"), plain("b b")), OPTIONS)).toThrow(/^tasks\[1\]\.id: must be 1 to 128/);
  });

  test("tolerates fields of a newer version around its tasks", () => {
    fc.assert(
      fc.property(fc.array(unknownFields, { maxLength: 4 }), (unknown) => {
        const bytes = Buffer.concat([
          request(plain("a")),
          ...unknown.filter((field) => field[0] !== 0x18),
          request(plain("b")),
        ]);
        expect(readEnqueue(bytes, OPTIONS).tasks.map(({ id }) => id)).toEqual(
          EnqueueRequest.decode(bytes).tasks.map(({ id }) => id),
        );
      }),
      { seed: SEED, numRuns: 200 },
    );
  });

  test("that is cut off anywhere is refused", () => {
    const whole = request(plain("a"), plain("b"));
    for (let length = 1; length < whole.length; length += 1) {
      if (length === request(plain("a")).length) continue;
      expect(() => readEnqueue(whole.subarray(0, length), OPTIONS), `${length} bytes`).toThrow(TaskqueueError);
    }
  });

  test("of random bytes is read or refused, and nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        outcomeOf(() => {
          const { tasks } = readEnqueue(bytes, OPTIONS);
          throw new TaskqueueError("INTERNAL", `${tasks.length} tasks`);
        });
      }),
      { seed: SEED, numRuns: 3_000 },
    );
  });
});
