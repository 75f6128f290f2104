/** `taskqueue stats`: counters and sizes, once or as a series. */
import type { StatsReport } from "@taskqueue/sdk";
import type { Command } from "commander";
import { pause } from "../lib/clock.js";
import { type BrokerOptions, interval, topic, withBroker } from "./argument.js";
import { withClient } from "./client.js";
import { type BrokerClient, type Context, untilSignal } from "./context.js";
import { jsonLine, table } from "./output.js";
import { type Act, examples } from "./program-form.js";
import { STATS_COLUMNS, seriesLine, seriesTitle, statsJson, statsText } from "./stats-view.js";

/** Lines of a series between two titles. */
const LINES_PER_TITLE = 20;

interface Options extends BrokerOptions {
  readonly watch?: true | number;
  readonly perTopic?: boolean;
}

export function addStats(program: Command, context: Context, act: Act): void {
  const command = program
    .command("stats")
    .summary("show counters and sizes")
    .description("Shows counters since the beginning and sizes now, of one topic or of the whole namespace.")
    .argument("[topic]", "of this topic alone", topic)
    .option("--per-topic", "a row for each topic, up to 1,000")
    .option("--watch [interval]", "again and again, with rates; every second by default; Ctrl-C ends it", interval);
  examples(withBroker(command, context.environment), [
    "taskqueue stats",
    "taskqueue stats clicks --json | jq .stats.inputQueueSize",
    "taskqueue stats --per-topic",
    "taskqueue stats --watch 5s",
  ]).action(act((topicName: string | undefined, options: Options) => stats(context, topicName, options)));
}

async function stats(context: Context, topicName: string | undefined, options: Options): Promise<void> {
  await withClient(context, options, async (client) => {
    const read = () => readStats(client, topicName, options);
    if (options.watch === undefined) {
      await context.stdout.write(show(await read(), topicName, options));
    } else await follow(context, read, topicName, options);
  });
}

function readStats(
  client: BrokerClient,
  topicName: string | undefined,
  { perTopic = false }: Options,
): Promise<StatsReport> {
  return client.stats({ ...(topicName === undefined ? {} : { topic: topicName }), perTopic });
}

async function follow(
  context: Context,
  read: () => Promise<StatsReport>,
  topicName: string | undefined,
  options: Options,
): Promise<void> {
  using stop = untilSignal(context);
  const intervalMs = typeof options.watch === "number" ? options.watch : 1_000;
  let before: StatsReport | undefined;
  for (let n = 0; !stop.signal.aborted; n += 1) {
    const report = await read();
    if (options.json) await context.stdout.write(show(report, topicName, options));
    else if (options.perTopic)
      await context.stdout.write(`${report.at.toISOString()}\n${show(report, topicName, options)}\n`);
    else {
      const title = n % LINES_PER_TITLE === 0 ? seriesTitle() : "";
      await context.stdout.write(title + seriesLine(report, before));
    }
    before = report;
    await pause(context.clock, intervalMs, stop.signal);
  }
}

function show(report: StatsReport, topicName: string | undefined, { json, perTopic = false }: Options): string {
  if (json) {
    return jsonLine({
      at: report.at,
      topic: topicName,
      stats: statsJson(report.stats),
      ...(perTopic
        ? {
            topics: report.topics.map((row) => ({ topic: row.topic, paused: row.paused, stats: statsJson(row.stats) })),
          }
        : {}),
    });
  }
  return perTopic ? table(STATS_COLUMNS, report.topics) : statsText(report.stats);
}
