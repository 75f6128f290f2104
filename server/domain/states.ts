/**
 * The life of a task: which states there are, and which moves between them are
 * legal.
 *
 * Everything here is pure. Time comes in as an argument and storage is someone
 * else's job, so the whole file can be read, and tested, as a table. The stores
 * must agree with it: the conformance suite walks TRANSITIONS, so a new row
 * here is a new test against every store.
 */
export const TASK_STATES = ["scheduled", "ready", "leased", "dead", "completed", "cancelled"] as const;

export type TaskState = (typeof TASK_STATES)[number];

/** States in which a task waits for nothing more; only a person can move it on. */
export const ENDED_STATES = ["dead", "completed", "cancelled"] as const satisfies readonly TaskState[];

export const TRANSITIONS = {
  promote: { from: ["scheduled"], to: "ready" }, // its time has come
  lease: { from: ["ready"], to: "leased" }, // handed to a worker
  complete: { from: ["leased"], to: "completed" }, // the worker is done
  retry: { from: ["leased"], to: "scheduled" }, // failed, retries left
  bury: { from: ["leased"], to: "dead" }, // failed, none left; or too many leases lost
  expire: { from: ["leased"], to: "ready" }, // the worker died or fell silent
  release: { from: ["leased"], to: "ready" }, // handed back, charges nothing
  abort: { from: ["leased"], to: "cancelled" }, // the worker let go of a task that was to be cancelled
  cancel: { from: ["scheduled", "ready"], to: "cancelled" }, // before it ran
  requeue: { from: ["dead", "cancelled"], to: "ready" }, // a person's decision
} as const satisfies Record<string, { from: readonly TaskState[]; to: TaskState }>;

export type Transition = keyof typeof TRANSITIONS;

/** Whether the table allows `transition` from `state`. */
export function isLegal(transition: Transition, state: TaskState): boolean {
  const from: readonly TaskState[] = TRANSITIONS[transition].from;
  return from.includes(state);
}

/** States from which a person may delete a task: all but the one in which a worker holds it. */
export const DELETABLE_STATES = TASK_STATES.filter((state) => state !== "leased");

/** Why a task is dead. */
export const DEAD_REASONS = ["retries_exhausted", "do_not_retry", "lost_leases"] as const;

export type DeadReason = (typeof DEAD_REASONS)[number];
