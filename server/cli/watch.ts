/** `taskqueue watch`: events as they happen. */
import type { EventType, WatchEvent, WatchOptions } from "@taskqueue/sdk";
import { type Command, InvalidArgumentError } from "commander";
import { type BrokerOptions, collectList, taskId, topic, wholeNumber, withBroker } from "./argument.js";
import { withClient } from "./client.js";
import { type Context, untilSignal } from "./context.js";
import { age, jsonLine, pick, safe, short } from "./output.js";
import { type Act, examples } from "./program-form.js";
import { statsJson } from "./stats-view.js";

/** In the order of a task's life. */
const EVENT_TYPES = [
  "MANAGER_START",
  "MANAGER_STOP",
  "MANAGER_STATS",
  "TASK_ENQUEUE",
  "TASK_START",
  "TASK_PROGRESS",
  "TASK_RETRY",
  "TASK_COMPLETION",
  "TASK_FAILURE",
  "TASK_RELEASE",
  "TASK_EXPIRE",
  "TASK_REQUEUE",
  "TASK_CANCEL",
  "TASK_DELETE",
] as const satisfies readonly EventType[];

interface Options extends BrokerOptions {
  readonly topic?: string[];
  readonly id?: string[];
  readonly externalId?: string[];
  readonly types?: EventType[];
  readonly after?: string;
  readonly count?: number;
}

export function addWatch(program: Command, context: Context, act: Act): void {
  const command = program
    .command("watch")
    .summary("follow events")
    .description(
      "Prints events as they happen, until Ctrl-C. Filters of different kinds must all match; within one kind any " +
        "value may. Without --types all are shown but MANAGER_STATS, which comes once a second.",
    )
    .option("--topic <topics>", "only of these topics", collectList(topic))
    .option("--id <ids>", "only of tasks with these ids", collectList(taskId))
    .option(
      "--external-id <ids>",
      "only of tasks with these external ids",
      collectList((text) => text),
    )
    .option("--types <types>", `only these: ${EVENT_TYPES.join(", ")}`, collectList(eventType))
    .option("--after <cursor>", "begin after this cursor, from an earlier watch")
    .option("--count <n>", "end after so many events", wholeNumber(1));
  examples(withBroker(command, context.environment), [
    "taskqueue watch",
    "taskqueue watch --topic clicks --types task_retry,task_failure",
    "taskqueue watch --external-id order-4711 --json | jq -c '[.type, .error]'",
  ]).action(act((options: Options) => watch(context, options)));
}

async function watch(context: Context, options: Options): Promise<void> {
  using stop = untilSignal(context);
  await withClient(context, options, async (client) => {
    await using events = client.watch(watchOptions(options, stop.signal));
    let cursor: string;
    try {
      cursor = await events.ready;
    } catch (error) {
      // Ctrl-C before a broker answered.
      if (stop.signal.aborted) return;
      throw error;
    }
    let count = 0;
    for await (const event of events) {
      cursor = event.cursor;
      if (event.dropped && !options.json) await context.stderr.write("events before this one were lost\n");
      await context.stdout.write(options.json ? jsonLine(eventJson(event)) : eventLine(event));
      count += 1;
      if (count === options.count) break;
    }
    if (!options.json) await context.stderr.write(`to go on from here: --after ${cursor}\n`);
  });
}

function watchOptions({ topic, id, externalId, types, after }: Options, signal: AbortSignal): WatchOptions {
  return {
    signal,
    types: types ?? EVENT_TYPES.filter((type) => type !== "MANAGER_STATS"),
    ...(topic === undefined ? {} : { topics: topic }),
    ...(id === undefined ? {} : { taskIds: id }),
    ...(externalId === undefined ? {} : { externalIds: externalId }),
    ...(after === undefined ? {} : { after }),
  };
}

function eventJson(event: WatchEvent): object {
  return {
    ...pick(event, [
      "type",
      "at",
      "broker",
      "worker",
      "topic",
      "taskId",
      "externalId",
      "attempt",
      "durationMs",
      "error",
    ]),
    progress: event.progress,
    stats: event.stats === undefined ? undefined : statsJson(event.stats),
    ...pick(event, ["cursor", "dropped"]),
  };
}

function eventLine(event: WatchEvent): string {
  const { stats, progress } = event;
  const parts = [
    event.topic && `${event.topic} ${event.taskId}`,
    event.externalId && `external id ${event.externalId}`,
    event.attempt > 0 && `attempt ${event.attempt}`,
    event.worker && `by ${event.worker}`,
    event.topic === "" && event.broker,
    event.durationMs !== undefined && `after ${age(event.durationMs)}`,
    progress && `${Math.round(progress.fraction * 100)} % ${progress.message}`.trim(),
    stats && `ready ${stats.inputQueueSize}, leased ${stats.workQueueSize}, dead ${stats.deadQueueSize}`,
    event.error && short(event.error, 200),
  ];
  const at = new Date(event.at.getTime() - event.at.getTimezoneOffset() * 60_000).toISOString().slice(11, 23);
  const text = parts.filter((part) => typeof part === "string" && part !== "").join("  ");
  return `${at}  ${event.type.padEnd(15)}  ${safe(text)}\n`;
}

function eventType(text: string): EventType {
  const name = text.toUpperCase().replaceAll("-", "_");
  const found = EVENT_TYPES.find((type) => type === name || type === `TASK_${name}`);
  if (found === undefined) throw new InvalidArgumentError(`It must be one of ${EVENT_TYPES.join(", ")}.`);
  return found;
}
