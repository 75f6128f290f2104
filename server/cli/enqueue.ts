/** `taskqueue enqueue`: one task from the command line, or many from standard input. */
import { readFile } from "node:fs/promises";
import type { EnqueueOptions } from "@taskqueue/sdk";
import type { Command } from "commander";
import { LIMITS } from "../domain/limits.js";
import { type BrokerOptions, duration, keyValue, moment, taskId, topic, wholeNumber, withBroker } from "./argument.js";
import { withClient } from "./client.js";
import type { BrokerClient, Context } from "./context.js";
import { type Entry, parseEntry, parseJson } from "./entry-codec.js";
import { UsageError } from "./exit-code.js";
import { lines } from "./lines.js";
import { jsonLine } from "./output.js";
import { type Act, examples } from "./program-form.js";

/** Requests on their way at once, when tasks come from standard input. */
const REQUESTS_MAX = 4;

interface Options extends BrokerOptions {
  readonly id?: string;
  readonly externalId?: string;
  readonly priority?: number;
  readonly numRetries?: number;
  readonly delay?: number;
  readonly runAt?: Date;
  readonly timeout?: number;
  readonly retention?: number;
  readonly metadata?: Record<string, string>;
  readonly payloadFile?: string;
  readonly contentType?: string;
  readonly count?: number;
}

export function addEnqueue(program: Command, context: Context, act: Act): void {
  const command = program
    .command("enqueue")
    .summary("put tasks in")
    .description(
      "Puts a task in and prints its id. Each ARG is a JSON value. With - as the only ARG, tasks are read from " +
        "standard input: a line of JSON is either a list of arguments, or an object with args and options such as " +
        '{"args":[1],"id":"x","externalId":"y","priority":0,"delayMs":0,"runAt":"2030-01-31T12:00:00Z"}.',
    )
    .argument("<topic>", "what kind of work it is", topic)
    .argument("[args...]", "arguments of the processor, each as JSON, or -")
    .option("--id <id>", "enqueueing an id again changes nothing; made up by default", taskId)
    .option("--external-id <id>", "your own name for what the task is about")
    .option("--priority <n>", "lower runs earlier", wholeNumber(-(2 ** 31), 2 ** 31 - 1))
    .option("--num-retries <n>", "how often a failed task is tried again", wholeNumber(0, LIMITS.numRetriesMax))
    .option("--delay <duration>", "wait so long before it may run", duration)
    .option("--run-at <moment>", "do not run it before, such as 2030-01-31T12:00:00Z", moment)
    .option("--timeout <duration>", "limit of one attempt; 0 for none", duration)
    .option("--retention <duration>", "keep it visible, with its result, so long after its end", duration)
    .option("--metadata <key=value>", "travels with the task; may be given again", keyValue)
    .option("--payload-file <file>", "bytes instead of arguments; - is standard input")
    .option("--content-type <type>", "media type of the payload")
    .option("--count <n>", "enqueue so many equal tasks", wholeNumber(1, 10_000_000));
  examples(withBroker(command, context.environment), [
    "taskqueue enqueue clicks 640 480",
    `taskqueue enqueue greet '"hello"' '{"to":"world"}' --delay 10m --num-retries 3`,
    "taskqueue enqueue orders --payload-file order.bin --content-type application/x-protobuf",
    "jq -c '[.width, .height]' clicks.json | taskqueue enqueue clicks -",
  ]).action(act((topicName: string, args: string[], options: Options) => enqueue(context, topicName, args, options)));
}

async function enqueue(context: Context, topicName: string, args: readonly string[], options: Options): Promise<void> {
  const fromInput = args.length === 1 && args[0] === "-";
  refuseContradictions(options, args, fromInput);
  const payload = options.payloadFile === undefined ? undefined : await readPayload(context, options.payloadFile);
  const entries = fromInput ? readEntries(context) : repeat(args, options);
  const { defineTopic, bytesCodec } = await import("@taskqueue/sdk");
  const topics = {
    args: defineTopic<unknown[]>(topicName),
    payload: defineTopic(topicName, { codec: bytesCodec(options.contentType) }),
  };
  const defaults = taskOptions(options);
  // Tasks matter more than their ids: they are enqueued even when nobody reads these any more.
  context.onOutputClosed(() => {});
  await withClient(context, options, async (client) => {
    const send = (batch: Entry[]) =>
      payload === undefined
        ? client.enqueueMany(topics.args, batch, defaults)
        : client.enqueueMany(
            topics.payload,
            batch.map((entry) => ({ ...entry, args: payload })),
            defaults,
          );
    await sendAll(context, entries, send, async (enqueued) => {
      const text = enqueued.map(({ id, created }) =>
        options.json ? jsonLine({ topic: topicName, id, created }) : `${id}\n`,
      );
      await context.stdout.write(text.join(""));
      const existing = enqueued.filter(({ created }) => !created);
      if (existing.length > 0 && !options.json) {
        await context.stderr.write(existing.map(({ id }) => `${id} existed before: nothing was changed\n`).join(""));
      }
    });
  });
}

type Enqueued = Awaited<ReturnType<BrokerClient["enqueueMany"]>>;

/** Batches the entries, keeps a few requests on their way, and shows the results in order. */
async function sendAll(
  context: Context,
  entries: AsyncIterable<Entry> | Iterable<Entry>,
  send: (batch: Entry[]) => Promise<Enqueued>,
  show: (enqueued: Enqueued) => Promise<void>,
): Promise<void> {
  const pending: Promise<Enqueued>[] = [];
  let accepted = 0;
  const settle = async () => {
    const enqueued = await pending.shift();
    if (enqueued === undefined) return;
    accepted += enqueued.length;
    await show(enqueued);
  };
  const post = async (batch: Entry[]) => {
    const request = send(batch);
    // Awaited in its turn; until then a failure must not count as unhandled.
    request.catch(() => {});
    if (pending.push(request) === REQUESTS_MAX) await settle();
  };
  try {
    let batch: Entry[] = [];
    for await (const entry of entries) {
      if (batch.push(entry) === LIMITS.batchMax) {
        await post(batch);
        batch = [];
      }
    }
    if (batch.length > 0) await post(batch);
    while (pending.length > 0) await settle();
  } catch (error) {
    while (pending.length > 0) await settle().catch(() => {});
    if (accepted > 0)
      await context.stderr.write(`${accepted} tasks were accepted before the error; their ids are above\n`);
    throw error;
  }
}

async function* readEntries(context: Context): AsyncGenerator<Entry> {
  for await (const { number, text } of lines(context.stdin)) yield parseEntry(text, `line ${number}`);
}

function* repeat(args: readonly string[], { id, count = 1 }: Options): Generator<Entry> {
  const values = args.map((text, i) => parseJson(text, `argument ${i + 1}`));
  for (let n = 0; n < count; n += 1) yield id === undefined ? { args: values } : { args: values, id };
}

async function readPayload(context: Context, file: string): Promise<Uint8Array> {
  if (file !== "-") {
    return await readFile(file).catch((error: NodeJS.ErrnoException) => {
      throw new UsageError(`--payload-file ${file} cannot be read: ${error.code ?? error.message}`);
    });
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of context.stdin) chunks.push(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  return Buffer.concat(chunks);
}

function refuseContradictions(options: Options, args: readonly string[], fromInput: boolean): void {
  const refuse = (broken: boolean, message: string) => {
    if (broken) throw new UsageError(message);
  };
  refuse(options.payloadFile !== undefined && args.length > 0, "--payload-file and ARGS exclude each other");
  refuse(options.contentType !== undefined && options.payloadFile === undefined, "--content-type needs --payload-file");
  refuse(options.delay !== undefined && options.runAt !== undefined, "--delay and --run-at exclude each other");
  refuse(options.id !== undefined && (options.count ?? 1) > 1, "--id names one task: it excludes --count");
  refuse(fromInput && options.id !== undefined, "--id names one task: put ids into the lines instead");
  refuse(fromInput && options.count !== undefined, "--count and - exclude each other");
}

function taskOptions(options: Options): Omit<EnqueueOptions, "id"> {
  return {
    ...(options.externalId === undefined ? {} : { externalId: options.externalId }),
    ...(options.priority === undefined ? {} : { priority: options.priority }),
    ...(options.numRetries === undefined ? {} : { numRetries: options.numRetries }),
    ...(options.delay === undefined ? {} : { delayMs: options.delay }),
    ...(options.runAt === undefined ? {} : { runAt: options.runAt }),
    ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout }),
    ...(options.retention === undefined ? {} : { retentionMs: options.retention }),
    ...(options.metadata === undefined ? {} : { metadata: options.metadata }),
  };
}
