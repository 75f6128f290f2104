/**
 * One run of the simulator, from its broker to its verdict.
 *
 * Whatever ends it (a limit, a signal, an error), it ends in the same order:
 * producers stop, workers close, the books are compared with the broker's, and
 * the broker started here, if any, stops last.
 */
import { randomBytes } from "node:crypto";
import { readConfig } from "../../config.js";
import { pause } from "../../lib/clock.js";
import { formatDuration } from "../../lib/quantity.js";
import type { BrokerClient, Context, RunningBroker } from "../context.js";
import { type ExitCode, UsageError } from "../exit-code.js";
import { fields, jsonLine } from "../output.js";
import { start } from "../serve.js";
import { statsJson } from "../stats-view.js";
import { allEnded, audit, type Summary } from "./audit.js";
import {
  localProducer,
  localWorker,
  type Producers,
  producerProcesses,
  type Workers,
  workerProcesses,
} from "./crew.js";
import { Ledger } from "./ledger.js";
import { makePlan, type Plan, type SimulateOptions } from "./plan.js";
import { statsLine } from "./stats-line.js";

/** How often it asks whether all tasks have ended. */
const ASK_MS = 250;

export async function simulate(context: Context, options: SimulateOptions): Promise<ExitCode> {
  const broker = options.address === undefined ? await ownBroker(context, options) : undefined;
  try {
    const address = options.address ?? broker?.address ?? "";
    const plan = makePlan(options, `sim-${randomBytes(4).toString("hex")}`, address);
    const client = await context.connect({ address: plan.address });
    try {
      return await new Simulation(context, options, plan, client).run();
    } finally {
      await client.close();
    }
  } finally {
    await broker?.stop();
  }
}

/** A broker inside this process: on the Redis named, else on a folder that goes away with it. */
async function ownBroker(context: Context, options: SimulateOptions): Promise<RunningBroker> {
  const flags = new Map([
    ["listen", "127.0.0.1:0"],
    ["http", "off"],
    ["sweep", formatDuration(options.pollInterval)],
    ["log-level", "warn"],
    ["namespace", options.redisNamespace],
    ...(options.redis === undefined ? [["data", ":memory:"] as const] : [["redis", redisUrl(options)] as const]),
  ]);
  return await start(context, readConfig(flags, {}));
}

function redisUrl({ redis = "", redisDb }: SimulateOptions): string {
  if (redisDb === 0) return redis;
  const url = redis.includes("://") ? redis : `redis://${redis}`;
  const named = /^\w+:\/\/[^/]*\/(\d+)$/.exec(url)?.[1];
  if (named !== undefined && named !== String(redisDb)) {
    throw new UsageError(`--redis names database ${named} and --redis-db ${redisDb}`);
  }
  return named === undefined ? `${url.replace(/\/$/, "")}/${redisDb}` : url;
}

class Simulation {
  readonly #context: Context;
  readonly #options: SimulateOptions;
  readonly #plan: Plan;
  readonly #client: BrokerClient;
  readonly #ledger = new Ledger();
  /** Aborts when the simulation shall end now, whether its tasks have ended or not. */
  readonly #stop = new AbortController();
  #producers: Producers | undefined;
  #workers: Workers | undefined;

  constructor(context: Context, options: SimulateOptions, plan: Plan, client: BrokerClient) {
    this.#context = context;
    this.#options = options;
    this.#plan = plan;
    this.#client = client;
  }

  async run(): Promise<ExitCode> {
    const { run, seed, address } = this.#plan;
    await this.#say({ run, seed, address }, `run ${run}, seed ${seed}, broker ${address.join(",")}`);
    const undo = this.#context.onSignal((signal) => this.#onSignal(signal));
    // Not undone: whether anybody reads the summary or not, the broker has to be stopped.
    this.#context.onOutputClosed(() => this.#stop.abort());
    const logged = new AbortController();
    const log = this.#log(logged.signal);
    let aborted = 0;
    try {
      await this.#startWorkers();
      this.#startProducers();
      await this.#untilEnd();
      this.#producers?.stop();
      await this.#producers?.done;
      aborted = (await this.#workers?.close(this.#options.shutdownTimeout)) ?? 0;
    } catch (error) {
      this.#producers?.kill();
      await this.#workers?.close(0).catch(() => {});
      throw error;
    } finally {
      logged.abort();
      await log;
      undo();
    }
    const summary = await audit(this.#client, this.#plan, this.#ledger, aborted);
    await this.#say(summary, `exiting\n${summaryText(summary)}`);
    return summary.lost > 0 || aborted > 0 ? 1 : 0;
  }

  async #startWorkers(): Promise<void> {
    this.#workers =
      this.#options.workers === 0
        ? await localWorker(this.#plan, this.#context, this.#ledger)
        : await workerProcesses(this.#plan, this.#options.workers, this.#ledger);
  }

  #startProducers(): void {
    const { producers, count = Number.POSITIVE_INFINITY, duration } = this.#options;
    const ledger = this.#ledger;
    this.#producers =
      producers === 0
        ? localProducer(this.#plan, { client: this.#client, context: this.#context, ledger, count })
        : producerProcesses(this.#plan, producers, count, ledger);
    // Waited for in untilEnd, which may be late.
    this.#producers.done.catch(() => {});
    if (duration !== undefined) {
      void pause(this.#context.clock, duration, this.#stop.signal).then(() => this.#producers?.stop());
    }
  }

  /** Resolves when there is nothing more to wait for; rejects with the first error of a producer or worker. */
  async #untilEnd(): Promise<void> {
    const signalled = new Promise<void>((resolve) => {
      if (this.#stop.signal.aborted) resolve();
      this.#stop.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    const failed = this.#workers?.failed;
    await Promise.race([this.#producers?.done, signalled, ...(failed === undefined ? [] : [failed])]);
    while (!this.#stop.signal.aborted && !(await allEnded(this.#client, this.#plan, this.#ledger))) {
      await Promise.race([
        pause(this.#context.clock, ASK_MS, this.#stop.signal),
        ...(failed === undefined ? [] : [failed]),
      ]);
    }
  }

  #onSignal(signal: "SIGINT" | "SIGTERM"): void {
    if (this.#stop.signal.aborted) {
      this.#producers?.kill();
      this.#workers?.kill();
      this.#context.exit(signal === "SIGINT" ? 130 : 143);
    }
    if (!this.#options.json) void this.#context.stdout.write(`signal ${signal}\n`);
    this.#stop.abort();
  }

  /** A line of stats per interval. A broker that does not answer costs its line, and nothing else. */
  async #log(signal: AbortSignal): Promise<void> {
    const { logInterval } = this.#options;
    if (logInterval === 0) return;
    for (;;) {
      await pause(this.#context.clock, logInterval, signal);
      if (signal.aborted) return;
      const report = await this.#client.stats().catch(() => undefined);
      if (report !== undefined)
        await this.#say({ at: report.at, stats: statsJson(report.stats) }, statsLine(report.stats));
    }
  }

  async #say(json: object, text: string): Promise<void> {
    await this.#context.stdout.write(this.#options.json ? jsonLine(json) : `${text.trimEnd()}\n`);
  }
}

function summaryText(summary: Summary): string {
  return (
    fields([
      ["accepted", summary.accepted],
      ["finished", summary.finished],
      ["dead", summary.dead],
      ["left waiting", summary.waiting],
      ["lost", summary.lost],
      ["finished more than once", summary.repeated],
      ["attempts failed", summary.failed],
      ["attempts hung", summary.hung],
      ["processes crashed", summary.crashes],
      ["attempts cut off", summary.aborted],
    ]) + summary.lostIds.map((id) => `lost: ${id}\n`).join("")
  );
}
