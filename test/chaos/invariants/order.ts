/** In which order the tasks of a topic run. */
import { type Enqueue, type Ledger, promiseOf, type Run, recordsOf, type TaskView } from "../ledger.js";
import type { Complaint, Invariant } from "./invariant.js";

/**
 * A worker that runs one task at a time and serves one topic is given the ready
 * tasks in order of priority, then of their enqueues.
 *
 * It gives its next credit when it has ended a run. Whatever was acknowledged
 * before that moment was ready when its next task was chosen, unless it was
 * leased already, which the tokens tell. Only first runs of tasks without delay
 * are looked at: when another one is ready, only the store knows. Means nothing
 * where faults were injected.
 */
export const order: Invariant = (ledger, complain) => {
  if (ledger.faults.length > 0) return;
  for (const worker of recordsOf(ledger.history, "worker:started")) {
    const [topic] = worker.topics;
    if (worker.concurrency === 1 && worker.topics.length === 1) checkWorker(ledger, worker.by, topic, complain);
  }
};

interface Entry {
  readonly task: TaskView;
  readonly promise: Enqueue;
  readonly first: Run | undefined;
}

function checkWorker(ledger: Ledger, by: string, topic: string | undefined, complain: Complaint): void {
  const entries = [...ledger.tasks.values()].flatMap((task): Entry[] => {
    const promise = promiseOf(task);
    const isPlain = task.plan?.delayMs === 0 && task.plan.topic === topic;
    return promise && isPlain ? [{ task, promise, first: task.runs[0] }] : [];
  });
  const byFirst = new Map(entries.map((entry) => [entry.first, entry]));
  const runs = ledger.runs.filter((run) => run.by === by).sort((a, b) => a.startedUs - b.startedUs);
  for (const [index, run] of runs.entries()) {
    const chosen = byFirst.get(run);
    const creditUs = runs[index - 1]?.endedUs;
    if (!chosen || creditUs === undefined) continue;
    const passed = entries.find(
      (entry) =>
        (entry.promise.acknowledgedUs ?? Number.POSITIVE_INFINITY) < creditUs &&
        (entry.first === undefined || entry.first.token > run.token) &&
        comesBefore(entry, chosen),
    );
    if (passed) complain(`was leased before ${passed.task.id}, which was ready and comes first`, { task: run.task });
  }
}

/** Certainly: where two enqueues overlapped, either order is right. */
function comesBefore(one: Entry, other: Entry): boolean {
  const [a, b] = [one.task.plan, other.task.plan];
  if (!a || !b) return false;
  if (a.priority !== b.priority) return a.priority < b.priority;
  if (one.promise.invokedUs === other.promise.invokedUs) return one.promise.index < other.promise.index;
  return (one.promise.acknowledgedUs ?? Number.POSITIVE_INFINITY) < other.promise.invokedUs;
}
