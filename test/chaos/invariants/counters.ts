/** What the queue tells of itself is what its lists hold, and what the workers know. */
import type { Figures, TaskStateName } from "../history.js";
import {
  isCompleted,
  isConfirmed,
  type Ledger,
  mayBeForgotten,
  mayHaveTimedOut,
  promiseOf,
  type Run,
  reportOf,
  type TaskView,
  wasRefused,
} from "../ledger.js";
import type { Complaint, Invariant } from "./invariant.js";

const SIZES: Readonly<Record<string, TaskStateName>> = {
  inputQueueSize: "ready",
  workQueueSize: "leased",
  deadQueueSize: "dead",
  scheduledSize: "scheduled",
  completedSize: "completed",
  cancelledSize: "cancelled",
};

const SETTLED = ["completed", "retried", "failed", "released", "expired", "aborted"] as const;

/** Sizes are those of the lists, counters agree with each other, and with what the producers and workers saw. */
export const countersEqualRecount: Invariant = (ledger, complain) => {
  for (const [topic, figures] of Object.entries(ledger.topics)) {
    const check = (what: string, told: number, least: number, most = least) => {
      if (told >= least && told <= most) return;
      const range = least === most ? `${least}` : `${least} to ${most}`;
      complain(`topic ${topic} tells of ${told} ${what}, and the recount is ${range}`);
    };
    const tasks = [...ledger.tasks.values()].filter((task) => (task.plan?.topic ?? task.listed?.topic) === topic);
    checkLists(figures, tasks, check);
    checkSums(topic, figures, complain);
    checkTasks(ledger, figures, tasks, check);
    checkLeases(ledger, figures, tasks, check);
  }
};

type Check = (what: string, told: number, least: number, most?: number) => void;

function figure(figures: Figures, name: string): number {
  return figures[name] ?? Number.NaN;
}

function count(tasks: readonly TaskView[], predicate: (task: TaskView) => boolean): number {
  return tasks.filter(predicate).length;
}

function checkLists(figures: Figures, tasks: readonly TaskView[], check: Check): void {
  for (const [size, state] of Object.entries(SIZES)) {
    check(
      `${state} tasks`,
      figure(figures, size),
      count(tasks, ({ listed }) => listed?.state === state),
    );
  }
}

function checkSums(topic: string, figures: Figures, complain: Complaint): void {
  const started = figure(figures, "started");
  const ended = SETTLED.reduce((sum, name) => sum + figure(figures, name), figure(figures, "workQueueSize"));
  if (started !== ended) {
    complain(`topic ${topic} tells of ${started} started leases, and of ${ended} that ended or are running`);
  }
  const gone = ["completed", "cancelled", "aborted", "deleted"];
  const there = ["inputQueueSize", "workQueueSize", "deadQueueSize", "scheduledSize"];
  const enqueued = figure(figures, "enqueued");
  const accounted = [...gone, ...there].reduce((sum, name) => sum + figure(figures, name), 0);
  if (enqueued !== accounted) {
    complain(`topic ${topic} tells of ${enqueued} enqueued tasks, and of ${accounted} that ended or are there`);
  }
}

function checkTasks(ledger: Ledger, figures: Figures, tasks: readonly TaskView[], check: Check): void {
  const isThere = (task: TaskView) => {
    const promise = promiseOf(task);
    if (!promise?.acknowledgedUs) return false;
    return !mayBeForgotten(ledger, promise.invokedUs, promise.acknowledgedUs);
  };
  const invoked = count(tasks, ({ enqueues }) => enqueues.some(({ refused }) => !refused));
  check("enqueued tasks", figure(figures, "enqueued"), count(tasks, isThere), invoked);
  const isDone = (task: TaskView) => {
    const run = task.runs.find(isCompleted);
    return run !== undefined && !mayBeForgotten(ledger, run.startedUs, run.settledUs ?? run.startedUs);
  };
  const mayBeDone = ({ runs }: TaskView) =>
    runs.some((run) => reportOf(run) === "returned" && !wasRefused(ledger, run));
  check("completed tasks", figure(figures, "completed"), count(tasks, isDone), count(tasks, mayBeDone));
}

function checkLeases(ledger: Ledger, figures: Figures, tasks: readonly TaskView[], check: Check): void {
  const runs = tasks.flatMap((task) => task.runs);
  const stands = (from: number, until: number | undefined) => !mayBeForgotten(ledger, from, until ?? from);
  const seen = runs.filter((run) => stands(run.startedUs, run.settledUs)).length;
  check("started leases", figure(figures, "started"), seen, Number.POSITIVE_INFINITY);
  const failed = runs.filter((run) => reportOf(run) === "failed" || reportOf(run) === "buried");
  const certainly = failed.filter((run) => isConfirmed(run) && stands(run.startedUs, run.settledUs)).length;
  const mayHaveFailed = (run: Run) =>
    mayHaveTimedOut(ledger, run) || (failed.includes(run) && !wasRefused(ledger, run));
  const possibly = runs.filter(mayHaveFailed).length;
  check("failures", figure(figures, "retried") + figure(figures, "failed"), certainly, possibly);
  const buried = count(tasks, ({ listed }) => listed?.state === "dead" && listed.deadReason !== "lost_leases");
  check("failed tasks", figure(figures, "failed"), buried);
}
