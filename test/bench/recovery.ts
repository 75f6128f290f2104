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
const IN_FLIGHT = 200;

export const recovery: Benchmark = {
  name: "recovery",
  question: "how soon does work go on after a kill -9?",
  method: [
    `worker: a worker that runs ${HELD} tasks is killed while another one is idle; the time until that one`,
    "has entered the first and the last of them. The default grace of 2 s is part of it: so long a worker",
    `may come back. broker: killed with ${IN_FLIGHT} tasks in flight, and started again at once on the same`,
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
      await using stage = await Stage.open(system, { concurrency: IN_FLIGHT });
      await stage.window(IN_FLIGHT);
      await stage.measure(options.number("warmup"));
      await stage.mark();
      // SDKs choose among brokers at random: kill the one that has the most to do.
      const [victim] = system.brokers.toSorted((a, b) => cpuSeconds(b.pid) - cpuSeconds(a.pid));
      await victim?.kill();
      if (killed === "broker") await victim?.restart();
      const before = (await stage.producerState()).settled;
      await stage.settled(before + 10 * IN_FLIGHT, 60_000);
      await sleep(options.number("warmup") * 1000);
      const [worker] = await stage.workerStates();
      if (killed === "standby") await victim?.restart();
      await stage.drained();
      const { twice } = await stage.verify({ again: "counted" });
      return { pauseMs: (worker?.gapUs ?? 0) / 1000, again: twice };
    },
  };
}

await runIfMain(import.meta, recovery);
