/**
 * What faults cost, from histories: the figures of the table in
 * docs/operations.md.
 */
import { check, type Violation } from "./checker.js";
import type { History } from "./history.js";
import { type FaultView, isCompleted, type Ledger, promiseOf, readLedger, type TaskView } from "./ledger.js";

export interface Cost {
  /** How many there were. */
  readonly faults: number;
  /** Tasks whose enqueue was acknowledged. */
  readonly tasks: number;
  /** Of those, not completed, not dead, and not there. */
  readonly lost: number;
  /** Tasks that two leases were confirmed for, or held at once. */
  readonly doubled: number;
  /** Tasks lost or doubled only because the store forgot what its fsync mode lets it forget. */
  readonly excused: number;
  /** Runs that began because an earlier run of the task was lost or handed back. */
  readonly redelivered: number;
  /** Per fault, milliseconds until the queue was as good as new. */
  readonly recoveryMs: readonly number[];
}

const LOSSES = new Set(["accepted-is-kept"]);
const DOUBLES = new Set(["one-valid-lease", "nothing-after-completion"]);

export function costOf(history: History): Cost {
  const ledger = readLedger(history);
  const { violations, excused } = check(history);
  const tasksOf = (list: readonly Violation[], names: ReadonlySet<string>) =>
    new Set(list.filter(({ invariant }) => names.has(invariant)).map(({ task }) => task)).size;
  const all = [...violations, ...excused];
  const tasks = [...ledger.tasks.values()];
  const redelivered = tasks.reduce((sum, { runs }) => {
    const failed = runs.at(-1)?.failures ?? 0;
    return sum + Math.max(0, runs.length - 1 - failed);
  }, 0);
  return {
    faults: ledger.faults.length,
    tasks: tasks.filter((task) => promiseOf(task)).length,
    lost: tasksOf(all, LOSSES),
    doubled: tasksOf(all, DOUBLES),
    excused: tasksOf(all, LOSSES) - tasksOf(violations, LOSSES) + tasksOf(all, DOUBLES) - tasksOf(violations, DOUBLES),
    redelivered,
    recoveryMs: ledger.faults.flatMap((fault) => recoveryMs(ledger, fault) ?? []),
  };
}

/**
 * From the moment of the fault until a task that was enqueued after it has been
 * accepted and has begun, and what was under way has been answered, or runs
 * again; and at least for as long as any enqueue made during it waited for its
 * answer. A fault that lasts is counted from its end, when there is nothing left
 * to wait for but the queue itself.
 */
function recoveryMs(ledger: Ledger, fault: FaultView): number | undefined {
  const lastsUntilItIsLifted = !/-(kill|restart|cut|flush|forget)$/.test(fault.fault);
  const fromUs = lastsUntilItIsLifted ? fault.untilUs : fault.fromUs;
  if (!Number.isFinite(fromUs)) return undefined;
  let wellUs = Number.POSITIVE_INFINITY;
  let interruptedUs = fromUs;
  for (const task of ledger.tasks.values()) {
    wellUs = Math.min(wellUs, firstServiceUs(task, fromUs));
    interruptedUs = Math.max(
      interruptedUs,
      fromUs + waitedUs(task, fault, fromUs),
      answeredUs(task, fault.fromUs),
      resumedUs(task, fault.fromUs),
    );
  }
  // A run that ends before the next enqueue says nothing.
  if (!Number.isFinite(wellUs)) return undefined;
  return Math.max(0, Math.max(wellUs, interruptedUs) - fromUs) / 1_000;
}

/** When a task that was enqueued after that moment had been accepted and begun. */
function firstServiceUs(task: TaskView, fromUs: number): number {
  const [enqueue] = task.enqueues;
  const [run] = task.runs;
  if (!enqueue || !run || enqueue.invokedUs < fromUs || enqueue.acknowledgedUs === undefined)
    return Number.POSITIVE_INFINITY;
  return Math.max(enqueue.acknowledgedUs, run.startedUs);
}

/** For how long after `fromUs` the answer to an enqueue that was made during the fault was waited for; 0 for other tasks. */
function waitedUs(task: TaskView, fault: FaultView, fromUs: number): number {
  const [enqueue] = task.enqueues;
  const acknowledgedUs = promiseOf(task)?.acknowledgedUs;
  if (!enqueue || acknowledgedUs === undefined) return 0;
  if (enqueue.invokedUs < fault.fromUs || enqueue.invokedUs > fault.untilUs) return 0;
  return acknowledgedUs - Math.max(enqueue.invokedUs, fromUs);
}

/** When the answers came to an enqueue and to a report that were under way; 0 when there were none. */
function answeredUs({ enqueues, runs }: TaskView, atUs: number): number {
  const underWay = (askedUs: number | undefined, answerUs: number | undefined) =>
    askedUs !== undefined && answerUs !== undefined && askedUs < atUs && answerUs > atUs ? answerUs : 0;
  const accepted = enqueues.map(({ invokedUs, acknowledgedUs }) => underWay(invokedUs, acknowledgedUs));
  const settled = runs.map(({ endedUs, settledUs, lostUs }) => underWay(endedUs, settledUs ?? lostUs));
  return Math.max(0, ...accepted, ...settled);
}

/** When a task whose run the fault had ended for good ran again; never later than its last run. */
function resumedUs({ runs }: TaskView, atUs: number): number {
  const interrupted = runs.findLast((run) => run.startedUs < atUs);
  if (!interrupted || isCompleted(interrupted)) return 0;
  if ((interrupted.endedUs ?? Number.POSITIVE_INFINITY) < atUs || interrupted.settledUs !== undefined) return 0;
  return runs.find((run) => run.startedUs >= atUs)?.startedUs ?? 0;
}

export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? Number.NaN;
}
