/**
 * The worker's part, for any system. A Consumer knows how to take tasks and
 * finish them; what is counted and timed is decided here, in the same way for
 * all systems.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { nowUs } from "../clock.js";
import { Sample } from "../statistics.js";
import { roleConfig, serve } from "./control.js";
import { Gate } from "./gate.js";
import { Tally } from "./tally.js";

export interface WorkerConfig {
  /** Where the system is: one address or URL, or several. */
  target: string | string[];
  topics: number;
  /** Tasks run at once, by all workers of this process together. */
  concurrency: number;
  /** Workers in this process. */
  workers: number;
  /** The producer's Unix socket. */
  gate: string;
  /** How long a task takes. 0: its handler returns at once; negative: it never does. */
  workMs: number;
  /** Connections, for the systems in which each holds one task at a time. */
  connections?: number;
}

export interface Consumer {
  close(): Promise<unknown>;
}

/** Entered for each task. */
export type Handle = (n: number, callUs: number, dueUs: number) => void | Promise<void>;

/** Told how many tasks the system has stored as done since the last time. */
export type Settled = (count: number) => void;

export interface WorkerState {
  handled: number;
  settled: number;
  atUs: number;
  firstUs: number;
  lastUs: number;
  /** When the latest completion was confirmed. */
  settledUs: number;
  /** The longest time without a completion since `mark`. */
  gapUs: number;
}

/** What a worker can be told. */
export interface WorkerCommands {
  state: object;
  /** Forget the latencies so far: a measurement begins. */
  mark: object;
  /** Distributions of the time from the call of enqueue, and from the moment it was due, to the handler's entry. */
  latencies: object;
  /** How often each task was handled. */
  tally: object;
}

class Counts {
  readonly tally = new Tally();
  readonly fromCall = new Sample();
  readonly fromDue = new Sample();
  #handled = 0;
  #settled = 0;
  #firstUs = 0;
  #lastUs = 0;
  #settledUs = 0;
  #gapUs = 0;

  entered(n: number, callUs: number, dueUs: number): void {
    const atUs = nowUs();
    this.tally.add(n);
    this.#handled += 1;
    this.fromCall.add(atUs - callUs);
    this.fromDue.add(atUs - dueUs);
    if (this.#firstUs === 0) this.#firstUs = atUs;
    this.#lastUs = atUs;
  }

  settled(count: number): void {
    const atUs = nowUs();
    this.#settled += count;
    if (this.#settledUs > 0) this.#gapUs = Math.max(this.#gapUs, atUs - this.#settledUs);
    this.#settledUs = atUs;
  }

  get state(): WorkerState {
    return {
      handled: this.#handled,
      settled: this.#settled,
      atUs: nowUs(),
      firstUs: this.#firstUs,
      lastUs: this.#lastUs,
      settledUs: this.#settledUs,
      gapUs: this.#gapUs,
    };
  }

  mark(): undefined {
    this.fromCall.clear();
    this.fromDue.clear();
    this.#firstUs = 0;
    this.#gapUs = 0;
  }
}

/** What a worker's program does. */
export async function runWorker(
  connect: (config: WorkerConfig, handle: Handle, settled: Settled) => Promise<Consumer>,
): Promise<void> {
  const config = roleConfig<WorkerConfig>();
  const { workMs } = config;
  const counts = new Counts();
  const gate = await Gate.connect(config.gate);
  const handle: Handle = (n, callUs, dueUs) => {
    counts.entered(n, callUs, dueUs);
    if (workMs > 0) return sleep(workMs);
    return workMs < 0 ? new Promise<void>(() => {}) : undefined;
  };
  const consumer = await connect(config, handle, (count) => {
    counts.settled(count);
    gate.add(count);
  });
  serve<WorkerCommands>(
    {
      state: () => counts.state,
      mark: () => counts.mark(),
      latencies: () => ({ fromCall: counts.fromCall.distribution(), fromDue: counts.fromDue.distribution() }),
      tally: () => ({ counts: counts.tally.toBase64() }),
    },
    () => consumer.close(),
  );
}
