/**
 * A history seen by task and by lease: what was asked, what was promised, who
 * ran what, and what the broker said about it. No judgement here; that is what
 * invariants/ is for.
 */
import type { Figures, HappeningKind, History, ListedTask, PlannedTask, Recorded, RunOutcome } from "./history.js";
import type { FaultName } from "./plan.js";

/** One call of a producer, as far as it concerns one task. */
export interface Enqueue {
  readonly invokedUs: number;
  /** Its place in the call. */
  readonly index: number;
  /** When the producer heard that the task is kept. */
  acknowledgedUs: number | undefined;
  created: boolean | undefined;
  /** It was refused, and nothing was stored. */
  refused: boolean;
}

/** One lease in the hands of a worker, from the entry of its processor. */
export interface Run {
  readonly token: string;
  readonly task: string;
  readonly topic: string;
  readonly by: string;
  readonly startedUs: number;
  readonly attempt: number;
  readonly failures: number;
  endedUs: number | undefined;
  outcome: RunOutcome | undefined;
  /** Handed back unfinished: nothing else is reported on the lease. */
  releasedUs: number | undefined;
  abortedUs: number | undefined;
  abortReason: string | undefined;
  /** The broker said that the report is stored. */
  settledUs: number | undefined;
  /** The broker said that the lease is lost, or refused the report. */
  lostUs: number | undefined;
  /** A report on it may have been stored all the same. */
  isLossUncertain: boolean;
}

export interface TaskView {
  readonly id: string;
  readonly plan: PlannedTask | undefined;
  readonly enqueues: Enqueue[];
  /** In order of their tokens: in the order in which the store leased them. */
  readonly runs: Run[];
  listed: ListedTask | undefined;
}

export interface FaultView {
  readonly fault: FaultName;
  readonly targets: readonly string[];
  readonly fromUs: number;
  untilUs: number;
  readonly forgetsMs: number;
}

export interface Ledger {
  readonly history: History;
  readonly tasks: ReadonlyMap<string, TaskView>;
  readonly runs: readonly Run[];
  readonly faults: readonly FaultView[];
  /** Lives of processes that ended by kill -9. */
  readonly killed: ReadonlySet<string>;
  readonly topics: Readonly<Record<string, Figures>>;
  /** Undefined when the run ended without one. */
  readonly snapshot: Recorded<"snapshot"> | undefined;
}

export function isKind<Kind extends HappeningKind>(record: Recorded, kind: Kind): record is Recorded<Kind> {
  return record.kind === kind;
}

export function recordsOf<Kind extends HappeningKind>(history: History, kind: Kind): Recorded<Kind>[] {
  return history.filter((record) => isKind(record, kind));
}

export function readLedger(history: History): Ledger {
  const tasks = new Map<string, TaskView>();
  const taskOf = (id: string, plan?: PlannedTask): TaskView => {
    let task = tasks.get(id);
    if (!task) {
      task = { id, plan, enqueues: [], runs: [], listed: undefined };
      tasks.set(id, task);
    }
    return task;
  };
  readEnqueues(history, taskOf);
  const runs = readRuns(history);
  for (const run of runs) taskOf(run.task).runs.push(run);
  for (const task of tasks.values()) task.runs.sort(byToken);
  const snapshot = recordsOf(history, "snapshot").at(-1);
  for (const listed of snapshot?.tasks ?? []) taskOf(listed.id).listed = listed;
  const killed = recordsOf(history, "process:ended").filter(({ how }) => how === "killed");
  return {
    history,
    tasks,
    runs,
    faults: readFaults(history),
    killed: new Set(killed.map(({ process }) => process)),
    topics: snapshot?.topics ?? {},
    snapshot,
  };
}

function readEnqueues(history: History, taskOf: (id: string, plan: PlannedTask) => TaskView): void {
  const calls = new Map<string, Enqueue[]>();
  for (const record of history) {
    if (isKind(record, "enqueue:invoked")) {
      const call = record.tasks.map((plan, index): Enqueue => {
        const enqueue = {
          invokedUs: record.atUs,
          index,
          acknowledgedUs: undefined,
          created: undefined,
          refused: false,
        };
        taskOf(plan.id, plan).enqueues.push(enqueue);
        return enqueue;
      });
      calls.set(`${record.by} ${record.call}`, call);
    } else if (isKind(record, "enqueue:acknowledged")) {
      for (const [index, enqueue] of (calls.get(`${record.by} ${record.call}`) ?? []).entries()) {
        enqueue.acknowledgedUs = record.atUs;
        enqueue.created = record.created[index];
      }
    } else if (isKind(record, "enqueue:failed") && !record.unknown) {
      for (const enqueue of calls.get(`${record.by} ${record.call}`) ?? []) enqueue.refused = true;
    }
  }
}

function readRuns(history: History): Run[] {
  const runs: Run[] = [];
  // A token is given once; where a store gave it twice, each worker speaks of its own run.
  const latest = new Map<string, Run>();
  for (const record of history) {
    if (isKind(record, "run:started")) {
      const run = newRun(record);
      runs.push(run);
      latest.set(`${record.by} ${record.token}`, run);
    } else if ("token" in record) {
      const run = latest.get(`${record.by} ${record.token}`);
      if (run) note(run, record);
    }
  }
  return runs;
}

function byToken(a: Run, b: Run): number {
  if (a.token === b.token) return a.startedUs - b.startedUs;
  return a.token < b.token ? -1 : 1;
}

function newRun({ token, task, topic, by, atUs, attempt, failures }: Recorded<"run:started">): Run {
  return {
    token,
    task,
    topic,
    by,
    startedUs: atUs,
    attempt,
    failures,
    endedUs: undefined,
    outcome: undefined,
    releasedUs: undefined,
    abortedUs: undefined,
    abortReason: undefined,
    settledUs: undefined,
    lostUs: undefined,
    isLossUncertain: false,
  };
}

/** The first word on a thing stands. */
function note(run: Run, record: Recorded): void {
  switch (record.kind) {
    case "run:aborted":
      run.abortedUs ??= record.atUs;
      run.abortReason ??= record.reason;
      return;
    case "run:ended":
      run.endedUs ??= record.atUs;
      run.outcome ??= record.outcome;
      return;
    case "lease:released":
      run.releasedUs ??= record.atUs;
      return;
    case "lease:settled":
      if (run.lostUs === undefined) run.settledUs ??= record.atUs;
      return;
    case "lease:lost":
      if (run.settledUs !== undefined || run.lostUs !== undefined) return;
      run.lostUs = record.atUs;
      run.isLossUncertain = record.uncertain;
      return;
  }
}

function readFaults(history: History): FaultView[] {
  const faults = new Map<number, FaultView>();
  for (const record of history) {
    if (isKind(record, "fault:injected")) {
      const { fault, targets, sinceUs, forgetsMs } = record;
      faults.set(record.number, { fault, targets, fromUs: sinceUs, untilUs: Number.POSITIVE_INFINITY, forgetsMs });
    } else if (isKind(record, "fault:lifted")) {
      const fault = faults.get(record.number);
      if (fault) fault.untilUs = record.atUs;
    }
  }
  return [...faults.values()];
}

// ── What follows from it ─────────────────────────────────────────────────────

/** Whether a change that was stored at some moment of this time may have been undone by a fault. */
export function mayBeForgotten({ faults }: Ledger, fromUs: number, untilUs: number): boolean {
  return faults.some(
    (fault) => fault.forgetsMs > 0 && fromUs <= fault.untilUs && untilUs >= fault.fromUs - fault.forgetsMs * 1_000,
  );
}

/** What the worker reported on the lease, if it got that far. */
export function reportOf(run: Run): RunOutcome | "released" | undefined {
  return run.releasedUs === undefined ? run.outcome : "released";
}

/** The worker was told that its report is stored. */
export function isConfirmed(run: Run): boolean {
  return run.settledUs !== undefined && reportOf(run) !== undefined;
}

export function isCompleted(run: Run): boolean {
  return isConfirmed(run) && reportOf(run) === "returned";
}

/**
 * Whether it is certain that the store did not take the report: it was refused,
 * and nothing had gone wrong since it was made. Else the refusal may be the
 * second answer: the first one, which said that the report is stored, was lost
 * on its way to the broker, or to the worker.
 */
export function wasRefused({ history, faults }: Ledger, run: Run): boolean {
  const { lostUs, endedUs, releasedUs, by } = run;
  if (lostUs === undefined || run.isLossUncertain) return false;
  const reportedUs = Math.min(endedUs ?? lostUs, releasedUs ?? lostUs);
  const hadFaults = faults.some(({ fromUs, untilUs }) => fromUs <= lostUs && untilUs >= reportedUs);
  if (hadFaults) return false;
  return !history.some(
    (record) =>
      record.by === by &&
      record.atUs >= reportedUs &&
      record.atUs <= lostUs &&
      (record.kind === "worker:disconnected" || record.kind === "worker:connected"),
  );
}

/** Whether the broker may have failed the attempt for taking too long. */
export function mayHaveTimedOut({ tasks }: Ledger, run: Run): boolean {
  return (tasks.get(run.task)?.plan?.timeoutMs ?? 0) > 0 && !isCompleted(run);
}

/** When the worker stopped claiming the task, if it did. */
export function gaveUpUs(run: Run): number {
  const { endedUs, releasedUs, lostUs, abortedUs, abortReason } = run;
  const told = abortReason === "LEASE_LOST" || abortReason === "CLOSED" ? abortedUs : undefined;
  const moments = [endedUs, releasedUs, lostUs, told].filter((moment) => moment !== undefined);
  return Math.min(Number.POSITIVE_INFINITY, ...moments);
}

/** A call that promised to keep the task; the first one. */
export function promiseOf(task: TaskView): Enqueue | undefined {
  return task.enqueues.find(({ acknowledgedUs }) => acknowledgedUs !== undefined);
}
