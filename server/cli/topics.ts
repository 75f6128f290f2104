/** `taskqueue topics`: list, pause, resume and configure topics. */
import type { BackoffOptions, TopicInfo, TopicSettings, TopicSettingsChange } from "@taskqueue/sdk";
import { type Command, InvalidArgumentError } from "commander";
import { LIMITS } from "../domain/limits.js";
import { formatDuration } from "../lib/quantity.js";
import {
  type BrokerOptions,
  collectList,
  decimal,
  duration,
  rate,
  topic,
  wholeNumber,
  withBroker,
} from "./argument.js";
import { withClient } from "./client.js";
import type { BrokerClient, Context } from "./context.js";
import { printLimited, withLimit } from "./list.js";
import { fields, jsonLine, pick } from "./output.js";
import { type Act, examples } from "./program-form.js";
import { STATS_COLUMNS, statsJson } from "./stats-view.js";

const SETTINGS = [
  "numRetries",
  "backoff",
  "timeoutMs",
  "lostLeasesMax",
  "tasksMax",
  "bytesMax",
] as const satisfies readonly (keyof TopicSettings)[];

/** Names of settings as `--reset` takes them. */
const RESETS: ReadonlyMap<string, keyof TopicSettings> = new Map([
  ["num-retries", "numRetries"],
  ["backoff", "backoff"],
  ["timeout", "timeoutMs"],
  ["lost-leases-max", "lostLeasesMax"],
  ["tasks-max", "tasksMax"],
  ["bytes-max", "bytesMax"],
]);

interface ListOptions extends BrokerOptions {
  readonly limit: number;
}

interface ConfigureOptions extends BrokerOptions {
  readonly numRetries?: number;
  readonly backoffInitial?: number;
  readonly backoffFactor?: number;
  readonly backoffMax?: number;
  readonly backoffJitter?: number;
  readonly timeout?: number;
  readonly lostLeasesMax?: number;
  readonly tasksMax?: number;
  readonly bytesMax?: number;
  readonly reset?: (keyof TopicSettings)[];
}

export function addTopics(program: Command, context: Context, act: Act): void {
  const topics = program
    .command("topics")
    .summary("list, pause, resume and configure topics")
    .description("Topics and their settings. Without a subcommand: list.");

  const list = topics.command("list", { isDefault: true }).description("lists the topics, by name, with their sizes");
  examples(withBroker(withLimit(list), context.environment), [
    "taskqueue topics",
    "taskqueue topics list --json",
  ]).action(
    act((options: ListOptions) =>
      withClient(context, options, (client) =>
        printLimited(context, client.admin.listTopics(), { ...options, columns: STATS_COLUMNS, toJson: topicJson }),
      ),
    ),
  );

  for (const verb of ["pause", "resume"] as const) {
    const command = topics
      .command(verb)
      .description(
        verb === "pause"
          ? "stops handing out the topic's tasks; running ones finish"
          : "hands out the topic's tasks again",
      )
      .argument("<topic>", "its name", topic);
    examples(withBroker(command, context.environment), [`taskqueue topics ${verb} clicks`]).action(
      act(async (topicName: string, options: BrokerOptions) => {
        await withClient(context, options, (client) => client.admin[verb](topicName));
        const paused = verb === "pause";
        await context.stdout.write(
          options.json ? jsonLine({ topic: topicName, paused }) : `${topicName} is ${paused ? "paused" : "running"}\n`,
        );
      }),
    );
  }

  addConfigure(topics, context, act);
}

function addConfigure(topics: Command, context: Context, act: Act): void {
  const backoff = (text: string) => atMost(duration(text), LIMITS.backoffMsMax);
  const command = topics
    .command("configure")
    .description("changes the settings named, and shows all that differ from the broker's defaults")
    .argument("<topic>", "it need not exist yet", topic)
    .option("--num-retries <n>", "how often a failed task is tried again", wholeNumber(0, LIMITS.numRetriesMax))
    .option("--backoff-initial <duration>", "waiting time before the first retry", backoff)
    .option("--backoff-factor <n>", "what each further retry multiplies it by", decimal(1, LIMITS.backoffFactorMax))
    .option("--backoff-max <duration>", "the longest waiting time", backoff)
    .option("--backoff-jitter <n>", "the part of it that is random, 0 to 1", rate)
    .option("--timeout <duration>", "limit of one attempt; 0 for none", (text) =>
      atMost(duration(text), LIMITS.timeoutMsMax),
    )
    .option(
      "--lost-leases-max <n>",
      "lost leases before a task goes to the dead queue",
      wholeNumber(1, LIMITS.lostLeasesMax),
    )
    .option("--tasks-max <n>", "tasks the topic may hold; 0 for no bound", wholeNumber(0))
    .option("--bytes-max <n>", "bytes of tasks the topic may hold; 0 for no bound", wholeNumber(0))
    .option("--reset <settings>", `back to the default: ${[...RESETS.keys()].join(", ")}`, collectList(resettable));
  examples(withBroker(command, context.environment), [
    "taskqueue topics configure clicks --num-retries 5 --timeout 30s",
    "taskqueue topics configure clicks --reset timeout,backoff",
    "taskqueue topics configure clicks",
  ]).action(
    act(async (topicName: string, options: ConfigureOptions) => {
      const settings = await withClient(context, options, (client) => configure(client, topicName, options));
      const json = { topic: topicName, settings: pick(settings, SETTINGS) };
      await context.stdout.write(options.json ? jsonLine(json) : settingsText(settings));
    }),
  );
}

async function configure(client: BrokerClient, topicName: string, options: ConfigureOptions): Promise<TopicSettings> {
  const change: TopicSettingsChange = {
    ...Object.fromEntries((options.reset ?? []).map((setting) => [setting, null])),
    ...(options.numRetries === undefined ? {} : { numRetries: options.numRetries }),
    ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout }),
    ...(options.lostLeasesMax === undefined ? {} : { lostLeasesMax: options.lostLeasesMax }),
    ...(options.tasksMax === undefined ? {} : { tasksMax: options.tasksMax }),
    ...(options.bytesMax === undefined ? {} : { bytesMax: options.bytesMax }),
  };
  const backoff: BackoffOptions = {
    ...(options.backoffInitial === undefined ? {} : { initialMs: options.backoffInitial }),
    ...(options.backoffFactor === undefined ? {} : { factor: options.backoffFactor }),
    ...(options.backoffMax === undefined ? {} : { maxMs: options.backoffMax }),
    ...(options.backoffJitter === undefined ? {} : { jitter: options.backoffJitter }),
  };
  if (Object.keys(backoff).length === 0) return await client.admin.configure(topicName, change);
  // A backoff is set as a whole; what the command line leaves out stays as it is.
  const before = options.reset?.includes("backoff") ? undefined : (await client.admin.configure(topicName, {})).backoff;
  return await client.admin.configure(topicName, { ...change, backoff: { ...before, ...backoff } });
}

function topicJson(info: TopicInfo): object {
  return {
    topic: info.topic,
    paused: info.paused,
    stats: statsJson(info.stats),
    settings: pick(info.settings, SETTINGS),
  };
}

function settingsText({ numRetries, backoff, timeoutMs, lostLeasesMax, tasksMax, bytesMax }: TopicSettings): string {
  const ms = (value: number | undefined) => (value === undefined ? undefined : formatDuration(value));
  const text = fields([
    ["num-retries", numRetries],
    ["backoff-initial", ms(backoff?.initialMs)],
    ["backoff-factor", backoff?.factor],
    ["backoff-max", ms(backoff?.maxMs)],
    ["backoff-jitter", backoff?.jitter],
    ["timeout", timeoutMs === 0 ? "none" : ms(timeoutMs)],
    ["lost-leases-max", lostLeasesMax],
    ["tasks-max", tasksMax === 0 ? "none" : tasksMax],
    ["bytes-max", bytesMax === 0 ? "none" : bytesMax],
  ]);
  return text === "" ? "everything is as the broker's defaults say\n" : text;
}

function resettable(text: string): keyof TopicSettings {
  const setting = RESETS.get(text);
  if (setting === undefined) throw new InvalidArgumentError(`It must be one of ${[...RESETS.keys()].join(", ")}.`);
  return setting;
}

function atMost(ms: number, max: number): number {
  if (ms > max) throw new InvalidArgumentError(`It must be at most ${formatDuration(max)}.`);
  return ms;
}
