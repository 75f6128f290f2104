/**
 * What happened in a chaos run, as its processes wrote it down.
 *
 * Every process appends to a file of its own, one write(2) per record, so that
 * a kill -9 loses nothing that was written: what the kernel has taken outlives
 * the process. Moments are microseconds on CLOCK_MONOTONIC, which all processes
 * of a machine share.
 *
 * A record is written *before* what it tells can have consequences: `invoked`
 * before the call, `run:started` as a processor's first act, `run:ended` as its
 * last. Whoever finds no record of a thing may conclude that it never had any.
 */
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { FaultName } from "./plan.js";

/** A task as its producer meant it. */
export interface PlannedTask {
  readonly id: string;
  readonly topic: string;
  readonly priority: number;
  readonly retries: number;
  /** Whether the store keeps it after its end for longer than the run lasts. */
  readonly kept: boolean;
  readonly delayMs: number;
  /** Of an attempt; 0: no limit. */
  readonly timeoutMs: number;
}

/** How an attempt ended in its processor; `buried` asks not to be tried again. */
export type RunOutcome = "returned" | "failed" | "buried";

export type TaskStateName = "scheduled" | "ready" | "leased" | "dead" | "completed" | "cancelled";

/** A task as the store lists it at the end. */
export interface ListedTask {
  readonly id: string;
  readonly topic: string;
  readonly state: TaskStateName;
  readonly failures: number;
  readonly lostLeases: number;
  readonly deadReason: string;
}

/** A topic's counters and sizes, by the names of the SDK. */
export type Figures = Readonly<Record<string, number>>;

export type Happening =
  // A producer.
  | { readonly kind: "enqueue:invoked"; readonly call: number; readonly tasks: readonly PlannedTask[] }
  | { readonly kind: "enqueue:acknowledged"; readonly call: number; readonly created: readonly boolean[] }
  /** `unknown`: the tasks may have been kept all the same. */
  | { readonly kind: "enqueue:failed"; readonly call: number; readonly code: string; readonly unknown: boolean }
  // A worker.
  | { readonly kind: "worker:started"; readonly concurrency: number; readonly topics: readonly string[] }
  | { readonly kind: "worker:connected"; readonly session: string; readonly broker: string; readonly resumed: boolean }
  | { readonly kind: "worker:disconnected"; readonly code: string }
  | { readonly kind: "session:lost"; readonly session: string }
  | {
      readonly kind: "run:started";
      readonly topic: string;
      readonly task: string;
      readonly token: string;
      readonly attempt: number;
      readonly failures: number;
    }
  /** The signal fired: LEASE_LOST, CLOSED, TASK_TIMEOUT or TASK_CANCELLED. */
  | { readonly kind: "run:aborted"; readonly token: string; readonly reason: string }
  | { readonly kind: "run:ended"; readonly token: string; readonly outcome: RunOutcome }
  /** The worker handed the task back unfinished; whatever its processor still does is not reported. */
  | { readonly kind: "lease:released"; readonly token: string }
  /** The broker has stored the report on this lease. */
  | { readonly kind: "lease:settled"; readonly token: string }
  /**
   * The broker says that the lease is held no more, or refused the report on
   * it. `uncertain`: it did not say so of this report: the session was over, or
   * the report had been sent twice.
   */
  | { readonly kind: "lease:lost"; readonly token: string; readonly uncertain: boolean }
  // The one who plays fate.
  | { readonly kind: "process:started"; readonly process: string }
  /** `killed` by kill -9, or `exited` by itself with a code. `expected`: fate's doing, or its work was done. */
  | {
      readonly kind: "process:ended";
      readonly process: string;
      readonly how: "killed" | "exited";
      readonly code: number;
      readonly expected: boolean;
    }
  | {
      readonly kind: "fault:injected";
      readonly fault: FaultName;
      readonly number: number;
      /** Processes or ways, by name. */
      readonly targets: readonly string[];
      /** When it began: a process that is asked to leave takes a while. */
      readonly sinceUs: number;
      /** Milliseconds before its beginning whose stored changes it may undo; 0: none. */
      readonly forgetsMs: number;
    }
  | { readonly kind: "fault:lifted"; readonly fault: FaultName; readonly number: number }
  | { readonly kind: "faults:over" }
  /** Everything has ended, so long after the faults were over. */
  | { readonly kind: "quiet"; readonly afterMs: number }
  /** Something had not ended within the bound. */
  | { readonly kind: "overdue"; readonly afterMs: number; readonly left: Figures }
  | {
      readonly kind: "snapshot";
      readonly tasks: readonly ListedTask[];
      readonly topics: Readonly<Record<string, Figures>>;
    }
  /** What a process at rest takes up: at its `start`, or at the `end` of the run. */
  | {
      readonly kind: "resources";
      readonly process: string;
      readonly moment: "start" | "end";
      readonly files: number;
      readonly sockets: number;
      readonly residentBytes: number;
    }
  /** It was asked to stop by SIGTERM, at rest; code -1: it had to be killed. */
  | { readonly kind: "stopped"; readonly process: string; readonly afterMs: number; readonly code: number };

export type HappeningKind = Happening["kind"];
export type HappeningOf<Kind extends HappeningKind> = Extract<Happening, { readonly kind: Kind }>;

/** A happening with when, who, and in which of the queues that a run may have several of. */
export type Recorded<Kind extends HappeningKind = HappeningKind> = HappeningOf<Kind> & {
  readonly atUs: number;
  /** The process, with the number of its life: `worker-1#3`. */
  readonly by: string;
  readonly queue: string;
};

export type History = readonly Recorded[];

export function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/** The record of one process. */
export class Recorder {
  readonly #file: number;
  readonly #by: string;

  constructor(folder: string, by: string) {
    this.#file = openSync(join(folder, `${by}.jsonl`), "a");
    this.#by = by;
  }

  record(happening: Happening, queue = "main"): void {
    writeSync(this.#file, `${JSON.stringify({ atUs: monotonicUs(), by: this.#by, queue, ...happening })}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** All records of a folder, in order of time. A last line that a kill cut off is left out. */
export function readHistory(folder: string): Recorded[] {
  const records = readdirSync(folder)
    .filter((name) => name.endsWith(".jsonl"))
    .sort()
    .flatMap((name) => {
      const lines = readFileSync(join(folder, name), "utf8").split("\n");
      lines.pop();
      return lines.map((line): Recorded => JSON.parse(line));
    });
  return records.sort((a, b) => a.atUs - b.atUs);
}

/** The part of a history that concerns one queue; faults and processes concern all. */
export function ofQueue(history: History, queue: string): Recorded[] {
  return history.filter((record) => record.queue === queue || record.queue === "*");
}
