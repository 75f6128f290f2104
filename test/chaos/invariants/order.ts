/** In which order the tasks of a topic run. */
import { type Enqueue, type Ledger, promiseOf, type Run, recordsOf, type TaskView } from "../ledger.js";
import type { Invariant } from "./invariant.js";

/**
 * A worker that runs one task at a time and serves one topic takes the ready
 * tasks in order of priority, then of their enqueues.
 *
 * It gives its next credit when it has ended a run. Whatever was acknowledged
 * before that moment was ready when the next task was chosen; if it comes
 * before that task and runs later, the order is broken. Only first runs of
 * tasks without delay are looked at: when another one is ready, only the store
 * knows. Means nothing where faults were injected.
 */
export const order: Invariant = (ledger, complain) => {
  if (ledger.faults.length > 0) return;
  for (const worker of recordsOf(ledger.history, "worker:started")) {
    if (worker.concurrency === 1 && worker.topics.length === 1) checkWorker(ledger, worker.by, complain);
  }
};

function checkWorker(ledger: Ledger, by: string, complain: Parameters<Invariant>[1]): void {
  const runs = ledger.runs.filter((run) => run.by === by).sort((a, b) => a.startedUs - b.startedUs);
  const waiting = new Map<string, { readonly task: TaskView; readonly promise: Enqueue }>();
  for (const task of ledger.tasks.values()) {
    const promise = promiseOf(task);
    if (promise && task.plan?.delayMs === 0 && task.plan.topic === runs[0]?.topic)
      waiting.set(task.id, { task, promise });
  }
  let previous: Run | undefined;
  for (const run of runs) {
    const chosen = waiting.get(run.task);
    const creditUs = previous?.endedUs ?? Number.NEGATIVE_INFINITY;
    waiting.delete(run.task);
    previous = run;
    if (!chosen || chosen.task.runs[0] !== run) continue;
    for (const other of waiting.values()) {
      if ((other.promise.acknowledgedUs ?? Number.POSITIVE_INFINITY) >= creditUs || !comesBefore(other, chosen))
        continue;
      complain(`ran before ${other.task.id}, which was ready and comes first`, { task: run.task });
      break;
    }
  }
}

type Waiting = { readonly task: TaskView; readonly promise: Enqueue };

/** Certainly: where two enqueues overlapped, either order is right. */
function comesBefore(one: Waiting, other: Waiting): boolean {
  const [a, b] = [one.task.plan, other.task.plan];
  if (!a || !b) return false;
  if (a.priority !== b.priority) return a.priority < b.priority;
  if (one.promise.invokedUs === other.promise.invokedUs) return one.promise.index < other.promise.index;
  return (one.promise.acknowledgedUs ?? Number.POSITIVE_INFINITY) < other.promise.invokedUs;
}
