/** How often a task may run: its failures and its lost leases are counted, and bounded. */
import {
  isConfirmed,
  type Ledger,
  mayBeForgotten,
  mayHaveTimedOut,
  type Run,
  recordsOf,
  reportOf,
  wasRefused,
} from "../ledger.js";
import type { Invariant } from "./invariant.js";

/**
 * A task fails at most `retries` + 1 times, and what a run is told of failures
 * before it is true: at least those that were confirmed, at most those that
 * were reported.
 */
export const attemptsBounded: Invariant = (ledger, complain) => {
  for (const { id, plan, runs, listed } of ledger.tasks.values()) {
    const retries = plan?.retries ?? Number.POSITIVE_INFINITY;
    for (const [index, run] of runs.entries()) {
      const { least, most, excused } = failuresOf(ledger, runs.slice(0, index));
      const is = `attempt ${run.attempt} began after ${run.failures} failures`;
      if (run.failures > retries) complain(`${is}, over ${retries} retries`, { task: id });
      if (run.failures > most) complain(`${is}, and only ${most} were reported`, { task: id });
      if (run.failures < least) complain(`${is}, and ${least} were confirmed`, { task: id, excused });
      if (run.attempt <= run.failures) complain(`${is}: the attempt is not counted`, { task: id });
    }
    if (!listed) continue;
    if (listed.failures > retries + 1)
      complain(`failed ${listed.failures} times, over ${retries} retries`, { task: id });
    const { most } = failuresOf(ledger, runs);
    if (listed.failures > most)
      complain(`is said to have failed ${listed.failures} times, and did ${most} times`, { task: id });
    if (listed.deadReason === "retries_exhausted" && listed.failures !== retries + 1) {
      complain(`is dead after ${listed.failures} failures, with ${retries} retries`, { task: id });
    }
    if (listed.deadReason === "do_not_retry" && !runs.some((run) => reportOf(run) === "buried")) {
      complain("is dead as if a processor had asked for it", { task: id });
    }
  }
};

function failuresOf(ledger: Ledger, runs: readonly Run[]): { least: number; most: number; excused: boolean } {
  let least = 0;
  let most = 0;
  let excused = false;
  for (const run of runs) {
    const failed = reportOf(run) === "failed" || reportOf(run) === "buried";
    if ((failed && !wasRefused(ledger, run)) || mayHaveTimedOut(ledger, run)) most++;
    if (!failed || !isConfirmed(run)) continue;
    least++;
    excused ||= mayBeForgotten(ledger, run.endedUs ?? run.startedUs, run.settledUs ?? run.startedUs);
  }
  return { least, most, excused };
}

/** A task is dead once it has lost the leases it may lose, and each one it is charged with can have been lost. */
export const lostLeasesBounded: Invariant = (ledger, complain, { lostLeasesMax }) => {
  // A worker may die between the receipt of a task and the entry of its processor.
  const unseen = recordsOf(ledger.history, "session:lost").length + ledger.killed.size;
  for (const { id, plan, runs, listed } of ledger.tasks.values()) {
    const max = lostLeasesMax(plan?.topic ?? "");
    for (const [index, run] of runs.entries()) {
      const lost = run.attempt - 1 - run.failures;
      const possible = runs.slice(0, index).filter((earlier) => !isConfirmed(earlier)).length + unseen;
      if (lost >= max) complain(`ran again after ${lost} lost leases, and ${max} is the end`, { task: id });
      if (lost > possible)
        complain(`is charged with ${lost} lost leases, and at most ${possible} were lost`, { task: id });
    }
    if (!listed) continue;
    if (listed.lostLeases > max)
      complain(`is charged with ${listed.lostLeases} lost leases, over ${max}`, { task: id });
    if (listed.deadReason === "lost_leases" && listed.lostLeases !== max) {
      complain(`is dead for ${listed.lostLeases} lost leases, and ${max} is the end`, { task: id });
    }
  }
};
