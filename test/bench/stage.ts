/**
 * A producer and worker processes around a system, for one run: starts them,
 * takes figures over a window, and proves at the end that every task was
 * handled exactly once and that the system's own counts agree.
 *
 * "In flight" means: the producer enqueues as long as (enqueued - completed) is
 * below the window; it learns of completions, which are those that the system
 * has confirmed as stored, from the workers over a Unix socket (roles/gate.ts).
 */
import { setTimeout as sleep } from "node:timers/promises";
import { removeFolder, temporaryFolder } from "../support/guardian.js";
import { until } from "../support/until.js";
import { nowUs } from "./clock.js";
import { cpuSeconds, machineBusySeconds } from "./cpu.js";
import type { Role } from "./role.js";
import type { ProducerCommands, ProducerConfig, ProducerState } from "./roles/producing.js";
import { Tally } from "./roles/tally.js";
import type { WorkerConfig, WorkerState } from "./roles/working.js";
import type { Distribution } from "./statistics.js";
import type { Counted, System } from "./system.js";

/** Figures of one run, by name; see figures.ts for how they are printed. */
export type Figures = Record<string, number>;

export interface StageOptions
  extends Partial<Omit<ProducerConfig, "target" | "gate">>,
    Partial<Omit<WorkerConfig, "target" | "gate">> {
  /** Worker processes to begin with. Default 1. */
  workerProcesses?: number;
}

interface Snapshot {
  settled: number;
  atUs: number;
  busySeconds: number;
  cpu: Map<string, number>;
}

export class Stage implements AsyncDisposable {
  readonly system: System;
  readonly producer: Role;
  readonly workers: Role[] = [];
  /** Further processes whose CPU time is counted; whoever adds one ends it. */
  readonly others: Role[] = [];
  readonly #folder: string;
  readonly #gate: string;
  readonly #options: StageOptions;

  private constructor(system: System, producer: Role, folder: string, gate: string, options: StageOptions) {
    this.system = system;
    this.producer = producer;
    this.#folder = folder;
    this.#gate = gate;
    this.#options = options;
  }

  static async open(system: System, options: StageOptions = {}): Promise<Stage> {
    const folder = temporaryFolder();
    const gate = `${folder}/gate`;
    const { topics = 1, payloadBytes = 100, call = "one", workerProcesses = 1 } = options;
    const producer = await system.startProducer({ topics, payloadBytes, call, gate });
    const stage = new Stage(system, producer, folder, gate, options);
    for (let index = 0; index < workerProcesses; index += 1) await stage.addWorker();
    return stage;
  }

  async addWorker(overrides: Partial<WorkerConfig> = {}): Promise<Role> {
    const { topics = 1, concurrency = 25, workers = 1, workMs = 0, connections } = this.#options;
    const worker = await this.system.startWorker({
      topics,
      concurrency,
      workers,
      workMs,
      gate: this.#gate,
      ...(connections === undefined ? {} : { connections }),
      ...overrides,
    });
    this.workers.push(worker);
    return worker;
  }

  /** Keeps `size` tasks unfinished from now on. */
  window(size: number): Promise<unknown> {
    return this.produce("window", { size });
  }

  /** Enqueues `count` tasks with at most `unacknowledged` unanswered. Resolves with the seconds it took. */
  async send(count: number, unacknowledged?: number): Promise<number> {
    const bound = unacknowledged === undefined ? {} : { unacknowledged };
    const { fromUs, toUs } = await this.produce<"send", { fromUs: number; toUs: number }>("send", { count, ...bound });
    return (toUs - fromUs) / 1e6;
  }

  /** Resolves when every task sent is done. */
  async drained(): Promise<void> {
    await this.produce("window", { size: 0 });
    await this.produce("idle", {});
  }

  /** Forgets the latencies of the warm-up. */
  async mark(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.ask({ do: "mark" })));
  }

  async latencies(): Promise<{ fromCall: Distribution; fromDue: Distribution }> {
    const [worker] = this.workers;
    if (worker === undefined || this.workers.length > 1) throw new Error("latencies are taken with one worker process");
    return worker.ask({ do: "latencies" });
  }

  producerState(): Promise<ProducerState> {
    return this.produce("state", {});
  }

  workerStates(): Promise<WorkerState[]> {
    return Promise.all(this.workers.map((worker) => worker.ask<WorkerState>({ do: "state" })));
  }

  /** Tells the producer what to do; resolves with its answer. */
  produce<Name extends keyof ProducerCommands, Answer>(
    what: Name,
    argument: ProducerCommands[Name],
    timeoutMs = 600_000,
  ): Promise<Answer> {
    return this.producer.ask<Answer>({ do: what, ...argument }, { timeoutMs });
  }

  /** Resolves when the workers have settled this many tasks in all. */
  async settled(count: number, timeoutMs = 600_000): Promise<void> {
    await until(`${count} tasks are done`, async () => (await this.producerState()).settled >= count, { timeoutMs });
  }

  /** Rate of completions, and CPU time of every process, over the next `seconds`. */
  async measure(seconds: number): Promise<Figures> {
    const before = await this.#snapshot();
    await sleep(seconds * 1000);
    const after = await this.#snapshot();
    return usage(before, after, after.settled - before.settled);
  }

  /** The same while `work` is done, which resolves with the number of tasks it was. */
  async measureWhile(work: () => Promise<number>): Promise<Figures> {
    const before = await this.#snapshot();
    const tasks = await work();
    return usage(before, await this.#snapshot(), tasks);
  }

  /** Throws when a task was not handled exactly once, or the system's counts say something else. */
  async verify({ waiting = false, again = "forbidden" }: { waiting?: boolean; again?: "forbidden" | "counted" } = {}) {
    const { sent, acknowledged, settled } = await this.producerState();
    const all = new Tally();
    for (const worker of this.workers) {
      all.merge(Tally.fromBase64((await worker.ask<{ counts: string }>({ do: "tally" })).counts));
    }
    const { never, again: twice, foreign } = all.judge(waiting ? 0 : sent);
    const complaints = [
      ...(acknowledged === sent ? [] : [`${acknowledged} of ${sent} enqueues were acknowledged`]),
      ...(waiting || settled === sent || again === "counted" ? [] : [`${settled} of ${sent} tasks were settled`]),
      ...(never === 0 ? [] : [`${never} of ${sent} tasks were never handled`]),
      ...(twice === 0 || again === "counted" ? [] : [`${twice} of ${sent} tasks were handled more than once`]),
      ...(foreign === 0 ? [] : [`${foreign} tasks were handled that nobody enqueued`]),
      ...(await this.#audit(sent, waiting, again)),
    ];
    if (complaints.length > 0) throw new Error(`WRONG DELIVERY: ${complaints.join("; ")}`);
    return { sent, twice };
  }

  /** Counts may lag behind the last report by a moment. */
  async #audit(sent: number, waiting: boolean, again: "forbidden" | "counted"): Promise<string[]> {
    const agrees = async () => {
      complaints = await this.system.audit(sent, waiting);
      if (again === "counted") complaints = complaints.filter((text) => !/started|expired|released/.test(text));
      return complaints.length === 0;
    };
    let complaints: string[] = [];
    await until("the counts agree", agrees, { timeoutMs: 5_000 }).catch(() => {});
    return complaints;
  }

  async #snapshot(): Promise<Snapshot> {
    const states = await this.workerStates();
    const cpu = new Map<string, number>();
    const processes: Counted[] = [...this.system.servers, this.producer, ...this.workers, ...this.others];
    for (const { name, pid } of processes) cpu.set(name, (cpu.get(name) ?? 0) + cpuSeconds(pid));
    return {
      settled: states.reduce((sum, { settled }) => sum + settled, 0),
      atUs: nowUs(),
      busySeconds: machineBusySeconds(),
      cpu,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Workers first: the producer's socket should be there when they leave.
    await Promise.all(this.workers.map((worker) => worker.stop()));
    await this.producer.stop();
    removeFolder(this.#folder);
  }
}

/**
 * Figures from two snapshots. `others` is what everything else on the machine
 * used meanwhile, the kernel's own work and this driver included, in percent of
 * one core.
 */
function usage(before: Snapshot, after: Snapshot, tasks: number): Figures {
  const elapsed = (after.atUs - before.atUs) / 1e6;
  const figures: Figures = { rate: tasks / elapsed };
  let ours = 0;
  for (const [name, used] of after.cpu) {
    const spent = used - (before.cpu.get(name) ?? 0);
    ours += spent;
    figures[`${name}Us`] = (spent / tasks) * 1e6;
    figures[`${name}Cpu`] = (spent / elapsed) * 100;
  }
  figures.allUs = (ours / tasks) * 1e6;
  figures.others = Math.max(0, ((after.busySeconds - before.busySeconds - ours) / elapsed) * 100);
  return figures;
}
