/** What was accepted is there until it is done, and nothing else is. */
import {
  type Enqueue,
  type Ledger,
  mayBeForgotten,
  promiseOf,
  reportOf,
  type TaskView,
  wasRefused,
} from "../ledger.js";
import type { Complaint, Invariant } from "./invariant.js";

/**
 * Every task whose enqueue was acknowledged is listed at the end, or was
 * completed by somebody: a run of it returned, and the store did not refuse its
 * report.
 */
export const acceptedIsKept: Invariant = (ledger, complain) => {
  if (!ledger.snapshot) return;
  for (const task of ledger.tasks.values()) {
    const promise = promiseOf(task);
    if (promise) checkTask(ledger, task, promise, complain);
  }
};

function checkTask(ledger: Ledger, task: TaskView, promise: Enqueue, complain: Complaint): void {
  const { id, plan, listed, runs } = task;
  const about = {
    task: id,
    excused: mayBeForgotten(ledger, promise.invokedUs, promise.acknowledgedUs ?? promise.invokedUs),
  };
  const isDone = runs.some((run) => reportOf(run) === "returned" && !wasRefused(ledger, run));
  if (!listed) {
    if (plan?.kept) complain("was accepted, is kept after its end, and is not there", about);
    else if (runs.length === 0) complain("was accepted, never ran, and is gone", about);
    else if (!isDone) complain("was accepted, is gone, and no run of it can have completed it", about);
  } else if (listed.state === "completed" && !isDone) {
    complain("is completed, though no run of it can have completed it", { task: id });
  } else if (listed.state === "cancelled") {
    complain("is cancelled, and nobody asked for that", { task: id });
  }
}

/** What runs, or is listed, was asked for. */
export const nothingInvented: Invariant = (ledger, complain) => {
  for (const { id, plan, enqueues } of ledger.tasks.values()) {
    if (!plan) complain("exists, and nobody enqueued it", { task: id });
    else if (enqueues.every(({ refused }) => refused)) complain("exists, and its enqueue was refused", { task: id });
  }
};

/** However often an enqueue is repeated, it makes one task. */
export const enqueuedOnce: Invariant = (ledger, complain) => {
  for (const { id, enqueues } of ledger.tasks.values()) {
    const created = enqueues.filter((enqueue) => enqueue.created);
    const first = created[0];
    if (!first || created.length === 1) continue;
    const excused = mayBeForgotten(ledger, first.invokedUs, first.acknowledgedUs ?? first.invokedUs);
    complain(`was created ${created.length} times by ${enqueues.length} calls`, { task: id, excused });
  }
};
