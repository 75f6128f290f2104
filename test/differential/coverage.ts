/**
 * What the sequences drawn so far have tried: which verb met a task in which
 * state, and what came of it. The run goes on until nothing new turns up, and
 * then EXPECTED must have been met, or the drawing has become too tame.
 */
import { TASK_STATES, type TaskState } from "../../server/domain/states.js";
import type { Store } from "../../server/store/store.js";
import type { PreparedCall } from "./call.js";

const STATES = [...TASK_STATES, "absent"] as const;
const LEASE_VERBS = ["complete", "fail", "release", "progress"] as const;
const MOVES = ["cancel", "requeue", "remove"] as const;

/** Every verb about single tasks from every state, and every outcome it has. */
export const EXPECTED: readonly string[] = [
  ...STATES.flatMap((state) => (state === "absent" ? [] : [`enqueue ${state}: existing`])),
  "enqueue absent: created",
  "enqueue absent: existing",
  ...LEASE_VERBS.flatMap((verb) => STATES.map((state) => `${verb} ${state}: lease_lost`)),
  "complete leased: completed",
  "complete completed: completed",
  "complete absent: completed",
  "fail leased: retried",
  "fail leased: buried",
  "fail leased: aborted",
  "fail scheduled: retried",
  "fail ready: retried",
  "fail dead: buried",
  "release leased: released",
  "release leased: aborted",
  "progress leased: held",
  ...MOVES.map((verb) => `${verb} absent: not_found`),
  ...["scheduled", "ready"].map((state) => `cancel ${state}: done`),
  ...["dead", "completed", "cancelled"].map((state) => `cancel ${state}: wrong_state`),
  "cancel leased: cancel_requested",
  ...["dead", "cancelled"].map((state) => `requeue ${state}: done`),
  ...["scheduled", "ready", "leased", "completed"].map((state) => `requeue ${state}: wrong_state`),
  ...TASK_STATES.map((state) => `remove ${state}: ${state === "leased" ? "wrong_state" : "done"}`),
  ...["expired", "buried", "released", "aborted"].map((outcome) => `expire: ${outcome}`),
  "enqueueStraight absent: straight",
  ...STATES.map((state) => `enqueueStraight ${state}: declined`),
  ...["something waits", "paused", "lost session", "not plain", "known id", "ended lately"].map(
    (reason) => `enqueueStraight: ${reason}`,
  ),
  "enqueueStraight: several topics, some declined",
  "completeStraight leased: completed",
  ...STATES.map((state) => `completeStraight ${state}: declined`),
  ...["untouched", "cancelling asked for", "with progress", "leased the ordinary way"].map(
    (story) => `completeStraight: ${story}`,
  ),
  "completeStraight: several topics, some declined",
  "enqueue: full",
  "lease: leased",
  "lease: lost session",
  "promote: some",
  "promote: none",
  "prune: some",
  "prune: none",
  "resumeSession: resumed",
  "resumeSession: session_lost",
  "renewSessions: renewed",
  "renewSessions: lost",
];

export class Coverage {
  readonly #seen = new Map<string, number>();

  /** `states`: of the subjects, before the call. */
  saw(
    verb: keyof Store,
    { subjects, notes }: PreparedCall,
    states: readonly (TaskState | "absent")[],
    answer: unknown,
  ): void {
    const outcomes = outcomesOf(answer);
    if (subjects.length === outcomes.length) {
      const names = subjects.map(({ topic, id }) => `${topic} ${id}`);
      for (const [index, outcome] of outcomes.entries()) {
        // The second time in a call the task is no longer in that state.
        if (names.indexOf(names[index] ?? "") === index) this.#add(`${verb} ${states[index]}: ${outcome}`);
      }
      const topics = new Set(subjects.flatMap(({ topic }, index) => (outcomes[index] === "declined" ? [] : [topic])));
      if (topics.size > 1 && outcomes.includes("declined")) this.#add(`${verb}: several topics, some declined`);
    }
    for (const word of [...summaryOf(answer), ...notes]) this.#add(`${verb}: ${word}`);
  }

  get size(): number {
    return this.#seen.size;
  }

  get missing(): string[] {
    return EXPECTED.filter((what) => !this.#seen.has(what));
  }

  #add(what: string): void {
    this.#seen.set(what, (this.#seen.get(what) ?? 0) + 1);
  }
}

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null;

/** One word per task of the call. */
function outcomesOf(answer: unknown): string[] {
  if (isFields(answer) && Array.isArray(answer.created)) {
    return answer.created.map((created) => (created ? "created" : "existing"));
  }
  const outcomes: unknown = isFields(answer) && "outcomes" in answer ? answer.outcomes : answer;
  if (!Array.isArray(outcomes)) return [];
  return outcomes.map((outcome: unknown) => String(isFields(outcome) ? (outcome.kind ?? outcome.outcome) : outcome));
}

/** Words for the call as a whole. */
function summaryOf(answer: unknown): string[] {
  if (Array.isArray(answer)) return [...new Set(outcomesOf(answer))];
  if (!isFields(answer)) return [];
  const words: string[] = [];
  if (typeof answer.kind === "string") words.push(answer.kind);
  if (Array.isArray(answer.leased) && answer.leased.length > 0) words.push("leased");
  if (Array.isArray(answer.lostSessions) && answer.lostSessions.length > 0) words.push("lost session");
  for (const count of ["promoted", "pruned", "deleted"]) {
    if (typeof answer[count] === "number") words.push(answer[count] > 0 ? "some" : "none");
  }
  return words;
}
