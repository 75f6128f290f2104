/**
 * `taskqueue simulate`: the options of the end-to-end simulator, those of the
 * original with their names and defaults, and what has come since. What it does
 * is in simulate/.
 */
import { randomInt } from "node:crypto";
import { type Command, Option } from "commander";
import { LIMITS } from "../domain/limits.js";
import { formatDuration } from "../lib/quantity.js";
import { duration, interval, rate, signedDuration, topic, wholeNumber } from "./argument.js";
import type { Context } from "./context.js";
import { UsageError } from "./exit-code.js";
import { type Act, examples } from "./program-form.js";
import type { SimulateOptions } from "./simulate/plan.js";

/** The original's flags, which it also took with one dash. */
const ORIGINAL = [
  "fill-time",
  "run-time",
  "log-interval",
  "poll-interval",
  "num-retries",
  "redis",
  "redis-namespace",
  "redis-db",
  "topics",
  "failure-rate",
  "shutdown-timeout",
];

/** Flags that only mean something to a broker started inside. */
const OF_OWN_BROKER = ["redis", "redisNamespace", "redisDb", "pollInterval"] as const;

/** `-fill-time 0` becomes `--fill-time 0`, for simulate only. */
export function inGnuForm(argv: readonly string[]): string[] {
  if (argv[0] !== "simulate") return [...argv];
  const oneDash = new RegExp(`^-(?=(${ORIGINAL.join("|")})(=|$))`);
  return argv.map((arg) => arg.replace(oneDash, "--").replace(/^-c=/, "-c"));
}

export function addSimulate(program: Command, context: Context, act: Act): void {
  const command = program
    .command("simulate")
    .summary("produce and work random tasks, and check that none is lost")
    .description(
      "Enqueues tasks at random, runs them with random times and failures, and prints a line of stats per interval: " +
        "Q enqueued, S started, R retried, F failed, C completed, IQ/WQ/DQ size of the input, work and dead queue. " +
        "It uses the broker at --address; with --redis a broker of its own on that Redis; with neither, a broker of " +
        "its own that keeps nothing. Ctrl-C stops it gracefully, a second one at once. With --duration or --count it " +
        "waits until all its tasks have ended. Exits with 1 when a task was lost.",
    );
  originalOptions(command);
  command
    .option("--address <address>", "use the broker there, or several with commas; TASKQUEUE_ADDRESS is not looked at")
    .option("--duration <duration>", "enqueue for so long", interval)
    .option("--count <n>", "enqueue so many tasks", wholeNumber(1))
    .option("--burst <n>", "enqueue so many tasks at a time", wholeNumber(1, LIMITS.batchMax), 1)
    .option("--seed <n>", "makes the same random decisions again; random by default", wholeNumber(0, 2 ** 32 - 1))
    .option("--producers <n>", "produce in so many processes; 0 in this one", wholeNumber(0, 1_000), 0)
    .option("--workers <n>", "work in so many processes; 0 in this one", wholeNumber(0, 1_000), 0)
    .option("--timeout <duration>", "limit of one attempt; none by default, with --hang-rate --run-time + 2s", duration)
    .option("--hang-rate <rate>", "attempts that hang until they are told to stop", rate, 0)
    .option("--crash-rate <rate>", "attempts that kill their process; needs --workers", rate, 0)
    .option("--json", "print JSON for programs");
  examples(command, [
    "taskqueue simulate",
    "taskqueue simulate --redis localhost:6379 --fill-time 0 --run-time 0 -c 100 --duration 10s",
    "taskqueue simulate --count 10000 --fill-time 0 --run-time 20ms --workers 3 --crash-rate 0.001 --seed 7",
  ]).action(
    act(async (given: SimulateOptions, self: Command) => {
      const options = checked(given, self);
      const { simulate } = await import("./simulate/simulation.js");
      return await simulate(context, options);
    }),
  );
}

function originalOptions(command: Command): void {
  command
    .option("-c, --concurrency <n>", "tasks a worker runs at once", wholeNumber(1, LIMITS.slotsMax), 5)
    .addOption(time("--fill-time", "longest pause between two enqueues; 0 for none", duration, 500))
    .addOption(time("--run-time", "longest run time of a task", duration, 500))
    .addOption(time("--log-interval", "time between two lines of stats; 0 for none", duration, 1_000))
    .addOption(time("--poll-interval", "the broker's --sweep", interval, 500))
    .option("--num-retries <n>", "retries per task", wholeNumber(0, LIMITS.numRetriesMax), 2)
    .option("--redis <url>", "start a broker on this Redis, host:port or redis://…")
    .option("--redis-namespace <name>", "its namespace there", "taskqueue_e2e")
    .option("--redis-db <n>", "its database there", wholeNumber(0, 9_999), 0)
    .option("--topics <list>", "topics, with commas", topics, ["a", "b", "c"])
    .option("--failure-rate <rate>", "attempts that fail, 0 to 1", rate, 0.05)
    .addOption(
      time("--shutdown-timeout", "how long running tasks may take to end; negative for ever", signedDuration, -1_000),
    );
}

function time(flag: string, help: string, parse: (text: string) => number, byDefault: number): Option {
  return new Option(`${flag} <duration>`, help).argParser(parse).default(byDefault, formatDuration(byDefault));
}

/** The process that simulate starts for each of its producers and workers. */
export function addSimulateChild(program: Command, context: Context, act: Act): void {
  program.command("simulate-child", { hidden: true }).action(
    act(async () => {
      const { runChild } = await import("./simulate/child.js");
      await runChild(context);
    }),
  );
}

function topics(text: string): string[] {
  const names = text.split(",").map((name) => topic(name.trim()));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new UsageError(`topic "${twice}" already exists`);
  return names;
}

/** Refuses what contradicts itself, and fills in what follows from the rest. */
function checked(given: SimulateOptions, command: Command): SimulateOptions {
  if (given.address !== undefined) {
    for (const name of OF_OWN_BROKER) {
      if (command.getOptionValueSource(name) === "cli") {
        const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
        throw new UsageError(`--${flag} is for a broker started here: it excludes --address`);
      }
    }
  }
  if (given.failureRate + given.hangRate + given.crashRate > 1) {
    throw new UsageError("--failure-rate, --hang-rate and --crash-rate must not add up to more than 1");
  }
  if (given.crashRate > 0 && given.workers === 0) {
    throw new UsageError("--crash-rate kills the process of a worker: it needs --workers 1 or more");
  }
  if (given.hangRate > 0 && given.timeout === 0) {
    throw new UsageError("--hang-rate needs a --timeout, or the tasks would hang for ever");
  }
  const timeout = given.timeout ?? (given.hangRate > 0 ? given.runTime + 2_000 : 0);
  return { ...given, timeout, seed: given.seed ?? randomInt(2 ** 32) };
}
