/** What random tasks are made of, for property tests: mostly valid, and near the rules where they are not. */
import { Task } from "@taskqueue/sdk/gen/taskqueue/v1/task.js";
import fc from "fast-check";
import { LIMITS } from "../../server/domain/limits.js";

/** Property tests are the same in every run; a failure prints what shrank it. */
export const SEED = 20_260_101;

const NAME_CHARACTERS = [..."abcXYZ019_.:/-@+=~ é\n"];
const text = (maxLength: number) => fc.string({ unit: "binary", maxLength });

const oneOf = <Value>(usual: fc.Arbitrary<Value>, odd: fc.Arbitrary<Value>) =>
  fc.oneof({ arbitrary: usual, weight: 9 }, { arbitrary: odd, weight: 1 });

export const topics = oneOf(
  fc.constantFrom("clicks", "a", "_x", "mail.send:v2/eu-1", "t".repeat(128)),
  fc.oneof(fc.string({ unit: fc.constantFrom(...NAME_CHARACTERS), maxLength: 12 }), fc.constant("t".repeat(129))),
);

export const ids = oneOf(
  fc.constantFrom("", "id-1", "@order+7=x~", "i".repeat(128)),
  fc.oneof(fc.string({ unit: fc.constantFrom(...NAME_CHARACTERS), maxLength: 12 }), fc.constant("i".repeat(129))),
);

/** JSON values, some of which JSON cannot carry. */
export const values: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(null, true, false, 0, -0, 1.5, "", "text", [], {}),
    oneOf(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY)),
    text(20),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(
      text(8).filter((key) => key !== "__proto__"),
      tie("value"),
      { maxKeys: 4 },
    ),
  ),
})).value;

/** A value within `depth` lists or objects. */
export function nested(depth: number, kind: "list" | "object"): unknown {
  let value: unknown = kind === "list" ? [] : {};
  for (let level = 1; level < depth; level += 1) value = kind === "list" ? [value] : { k: value };
  return value;
}

const durations = fc.record({
  seconds: oneOf(fc.integer({ min: 0, max: 1_000 }), fc.constantFrom(-1, 400_000_000, 2 ** 40)),
  nanos: oneOf(fc.constantFrom(0, 1, 999_999, 1_000_000, 500_000_000), fc.constantFrom(-1, 1_000_000_000, 2 ** 31 - 1)),
});

const backoffs = fc.record({
  initial: fc.option(durations, { nil: undefined }),
  factor: oneOf(fc.constantFrom(0, 1, 2, 1.5, 100), fc.constantFrom(0.5, 101, Number.NaN, -1)),
  max: fc.option(durations, { nil: undefined }),
  jitter: fc.option(oneOf(fc.constantFrom(0, 0.2, 1), fc.constantFrom(-0.1, 1.1, Number.NaN)), { nil: undefined }),
});

const metadata = fc.dictionary(
  oneOf(fc.constantFrom("traceparent", "a.b-c_d", "k"), fc.constantFrom("", "UPPER", "ü")),
  oneOf(text(20), fc.constant("v".repeat(LIMITS.metadataValueBytesMax + 1))),
  { maxKeys: 3 },
);

const INT32 = [0, 1, -1, 127, 128, 2 ** 31 - 1, -(2 ** 31)];

/** Fields a plain task has, and with `rare` the others too. */
export function tasks({ rare }: { readonly rare: boolean }): fc.Arbitrary<Task> {
  const seldom = <Value>(arbitrary: fc.Arbitrary<Value>, absent: Value) =>
    rare ? fc.oneof({ arbitrary: fc.constant(absent), weight: 3 }, { arbitrary, weight: 1 }) : fc.constant(absent);
  const payloads = fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes));
  const input: fc.Arbitrary<Pick<Task, "args" | "payload">> = fc.oneof(
    fc.record({ args: fc.array(values, { maxLength: 5 }), payload: fc.constant(Buffer.alloc(0)) }),
    fc.record({ args: fc.constant(undefined), payload: payloads }),
    fc.record({ args: fc.constantFrom<unknown[]>([], [1]), payload: payloads }),
  );
  return fc
    .record({
      topic: topics,
      id: ids,
      input,
      contentType: seldom(fc.constantFrom("application/json", "x".repeat(256), "a\u0001b"), ""),
      externalId: fc.oneof(
        fc.constant(""),
        fc.constantFrom("order-7", "ö", "x".repeat(255), "y".repeat(256)),
        text(10),
      ),
      numRetries: fc.constantFrom(undefined, 0, 1, 5, LIMITS.numRetriesMax, LIMITS.numRetriesMax + 1, -1),
      priority: fc.constantFrom(...INT32),
      runAt: seldom(
        fc.constantFrom(new Date(0), new Date(-1), new Date("2026-01-02"), new Date("2036-06-01")),
        undefined,
      ),
      delay: seldom<Task["delay"]>(durations, undefined),
      timeout: seldom<Task["timeout"]>(durations, undefined),
      metadata: seldom<Task["metadata"]>(metadata, {}),
      backoff: seldom<Task["backoff"]>(backoffs, undefined),
      retention: seldom<Task["retention"]>(durations, undefined),
    })
    .map(({ input, ...fields }) => ({ ...fields, ...input }));
}

/** The fields of a task as bytes, one piece each, in the order of their numbers. */
export function pieces(task: Task): Uint8Array[] {
  const empty: Task = Task.fromPartial({});
  return Object.entries(task).flatMap(([key, value]) => {
    const bytes = Task.encode({ ...empty, [key]: value }).finish();
    return bytes.length > 0 ? [bytes] : [];
  });
}

const UNKNOWN_FIELDS = [
  // Field 100: a number, 8 bytes, text, 4 bytes; field 2000: a message; field 3: as a number.
  "a006ff7f",
  "a1060102030405060708",
  "a20603666f6f",
  "a50601020304",
  "827d020801",
  "1805",
].map((hex) => Buffer.from(hex, "hex"));

export const unknownFields = fc.constantFrom(...UNKNOWN_FIELDS);
