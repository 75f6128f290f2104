/** Who may run a task, and when nobody may any more. */
import {
  gaveUpUs,
  isCompleted,
  isConfirmed,
  type Ledger,
  mayBeForgotten,
  type Run,
  recordsOf,
  reportOf,
  type TaskView,
} from "../ledger.js";
import type { Complaint, Invariant } from "./invariant.js";

/**
 * At most one lease of a task is valid at any time. The tokens tell the order
 * of the leases, and a later lease is the end of an earlier one. So:
 *
 * - no token is given twice;
 * - of the leases of a task at most one is completed, and it is the last one;
 * - who was still at it when the next one began is refused, or told;
 * - and no worker that lives on believes for ever in a lease that is over.
 */
export const oneValidLease: Invariant = (ledger, complain) => {
  for (const task of ledger.tasks.values()) {
    const [first, second] = task.runs.filter(isCompleted);
    if (first && second) {
      const excused = completionForgotten(ledger, first);
      complain(`was completed by ${name(first)} and by ${name(second)}, and both were confirmed`, {
        task: task.id,
        excused,
      });
    }
    for (const [index, run] of task.runs.entries()) {
      const next = task.runs[index + 1];
      if (next) checkPair(ledger, task, run, next, complain);
    }
  }
};

function checkPair(ledger: Ledger, task: TaskView, run: Run, next: Run, complain: Complaint): void {
  const about = { task: task.id, excused: completionForgotten(ledger, run) };
  if (next.token === run.token) complain(`was handed out twice, as ${name(run)} and as ${name(next)}`, about);
  if (isCompleted(run) && next.startedUs <= (run.settledUs ?? 0)) {
    complain(`was leased as ${name(next)} while ${name(run)} held it, whose completion was confirmed`, about);
  } else if (isConfirmed(run) && reportOf(run) !== "released" && gaveUpUs(run) > next.startedUs && !isCompleted(run)) {
    complain(`was leased as ${name(next)} while ${name(run)} held it, whose failure was confirmed`, about);
  } else if (gaveUpUs(run) === Number.POSITIVE_INFINITY && !ledger.killed.has(run.by)) {
    complain(`was leased as ${name(next)}, and ${name(run)} was never told that its lease is lost`, about);
  }
}

/** No run begins once the completion of the task was confirmed, and the task is not listed as if it were to run. */
export const nothingAfterCompletion: Invariant = (ledger, complain) => {
  for (const task of ledger.tasks.values()) {
    const done = task.runs.find(isCompleted);
    if (!done) continue;
    const about = { task: task.id, excused: completionForgotten(ledger, done) };
    const after = task.runs.find((run) => run.token > done.token && run.startedUs > (done.settledUs ?? 0));
    if (after) complain(`ran as ${name(after)} after ${name(done)} had completed it`, about);
    const state = task.listed?.state ?? "completed";
    if (state !== "completed") complain(`is ${state}, though ${name(done)} completed it`, about);
  }
};

/** Where only such faults were injected as a live worker must survive, no lease was lost. */
export const leasesSpared: Invariant = (ledger, complain, expected) => {
  if (!expected.leasesSpared) return;
  for (const { by, session } of recordsOf(ledger.history, "session:lost"))
    complain(`${by} lost its session ${session}`);
  for (const run of ledger.runs) {
    // One that ran out of time is taken away for that.
    const isOver = reportOf(run) !== undefined || run.abortReason === "TASK_TIMEOUT";
    if (run.lostUs !== undefined && !isOver) complain(`${name(run)} was lost while it ran`, { task: run.task });
  }
  for (const [topic, figures] of Object.entries(ledger.topics)) {
    if (figures.expired) complain(`topic ${topic} counts ${figures.expired} lost leases`);
  }
};

function completionForgotten(ledger: Ledger, run: Run): boolean {
  return mayBeForgotten(ledger, run.startedUs, run.settledUs ?? run.startedUs);
}

function name({ token, by }: Run): string {
  return `lease ${token} of ${by}`;
}
