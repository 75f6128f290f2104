/** How soon work goes on after a kill -9. */
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../support/until.js";
import { nowUs } from "./clock.js";
import { cpuSeconds } from "./cpu.js";
import { type Benchmark, type Case, type Options, runIfMain } from "./harness.js";
import type { WorkerState } from "./roles/working.js";
import { type Figures, Stage } from "./stage.js";
import { durabilityOf, STORES, type StoreName } from "./systems.js";
import { Taskqueue } from "./taskqueue.js";

const HELD = 100;
const RATE = 2_000;
const CONCURRENCY = 200;
const AFTERWARDS_SECONDS = 8;

export const recovery: Benchmark = {
  name: "recovery",
  question: "how soon does work go on after a kill -9?",
  method: [
    `worker: a worker that runs ${HELD} tasks is killed while another one is idle; the time until that one`,
    "has entered the first and the last of them. The default grace of 2 s is part of it: so long a worker",
    `may come back. broker: killed while ${RATE} tasks come in a second, and started again at once on the same`,
    "address; its start is part of the time. standby: killed while a second broker on the same Redis",
    "stands by. pause: the longest time without a completion. run again: tasks that ran more than once.",
    "Nothing may be lost, and every task must be completed.",
  ],
  options: { system: { default: "redis,embedded", help: "redis, embedded" } },
  columns: [
    { figure: "firstMs", title: "first ms" },
    { figure: "lastMs", title: "last ms", range: true },
    { figure: "pauseMs", title: "pause ms", range: true },
    { figure: "again", title: "run again" },
  ],
  cases: (options) =>
    options
      .someOf("system", STORES)
      .flatMap((name) => [
        killedWorker(options, name),
        killedBroker(options, name, "broker"),
        ...(name === "redis" ? [killedBroker(options, name, "standby")] : []),
      ]),
};

function killedWorker(options: Options, name: StoreName): Case {
  return {
    of: { system: name, durability: durabilityOf(name, options.system), killed: "worker" },
    async measure() {
      await using system = await Taskqueue.start({ ...options.system, store: name });
      await using stage = await Stage.open(system, { concurrency: HELD, workerProcesses: 0 });
      const victim = await stage.addWorker({ workMs: -1 });
      await stage.send(HELD);
      await until(
        "the victim holds all tasks",
        async () => (await victim.ask<WorkerState>({ do: "state" })).handled === HELD,
      );
      stage.workers.length = 0;
      const heir = await stage.addWorker();
      const killedUs = nowUs();
      await victim.kill();
      await stage.settled(HELD, 60_000);
      const { firstUs, lastUs } = await heir.ask<WorkerState>({ do: "state" });
      await stage.verify({ again: "counted" });
      return { firstMs: (firstUs - killedUs) / 1000, lastMs: (lastUs - killedUs) / 1000, again: HELD };
    },
  };
}

function killedBroker(options: Options, name: StoreName, killed: "broker" | "standby"): Case {
  return {
    of: { system: name, durability: durabilityOf(name, options.system), killed },
    async measure(): Promise<Figures> {
      const brokers = killed === "standby" ? 2 : 1;
      await using system = await Taskqueue.start({ ...options.system, store: name, brokers });
      await using stage = await Stage.open(system, { concurrency: CONCURRENCY });
      const warmup = options.number("warmup");
      const going = stage.produce("pace", { rate: RATE, seconds: warmup + AFTERWARDS_SECONDS });
      await sleep(warmup * 1000);
      await stage.mark();
      // SDKs choose among brokers at random: kill the one that has the most to do.
      const [victim] = system.brokers.toSorted((a, b) => cpuSeconds(b.pid) - cpuSeconds(a.pid));
      await victim?.kill();
      if (killed === "broker") await victim?.restart();
      await going;
      // What the broker stored and could not confirm any more is done, though the worker was never told.
      const { sent } = await stage.producerState();
      const done = async () => (await system.client.stats()).stats.completed === sent;
      await until(`${sent} tasks are completed`, done, { timeoutMs: 60_000 });
      const [worker] = await stage.workerStates();
      const { twice } = await stage.verify({ again: "counted" });
      if (killed === "standby") await victim?.restart();
      return { pauseMs: (worker?.gapUs ?? 0) / 1000, again: twice };
    },
  };
}

await runIfMain(import.meta, recovery);
