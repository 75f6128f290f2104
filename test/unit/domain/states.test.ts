import { expect, test } from "vitest";
import {
  DELETABLE_STATES,
  ENDED_STATES,
  isLegal,
  TASK_STATES,
  type TaskState,
  TRANSITIONS,
  type Transition,
} from "../../../server/domain/states.js";
import { attemptOf } from "../../../server/domain/task.js";

const names: readonly Transition[] = [
  "promote",
  "lease",
  "complete",
  "retry",
  "bury",
  "expire",
  "release",
  "abort",
  "cancel",
  "requeue",
];

test("the table of transitions is this one", () => {
  const table = names.flatMap((name) =>
    TASK_STATES.filter((state) => isLegal(name, state)).map((state) => `${state} ${name} ${TRANSITIONS[name].to}`),
  );
  expect(table.toSorted()).toEqual([
    "cancelled requeue ready",
    "dead requeue ready",
    "leased abort cancelled",
    "leased bury dead",
    "leased complete completed",
    "leased expire ready",
    "leased release ready",
    "leased retry scheduled",
    "ready cancel cancelled",
    "ready lease leased",
    "scheduled cancel cancelled",
    "scheduled promote ready",
  ]);
  expect(Object.keys(TRANSITIONS).toSorted()).toEqual([...names].toSorted());
});

test("every state can be reached from a new task, and ended ones are left by a person alone", () => {
  const reached = new Set<TaskState>(["scheduled", "ready"]);
  for (let size = 0; size < reached.size; ) {
    size = reached.size;
    for (const { from, to } of Object.values(TRANSITIONS))
      if (from.some((state) => reached.has(state))) reached.add(to);
  }
  expect([...reached].toSorted()).toEqual([...TASK_STATES].toSorted());
  for (const state of ENDED_STATES) {
    expect(names.filter((name) => isLegal(name, state) && name !== "requeue")).toEqual([]);
  }
});

test("only a held task cannot be deleted", () => {
  const deletable: readonly TaskState[] = DELETABLE_STATES;
  expect(TASK_STATES.filter((state) => !deletable.includes(state))).toEqual(["leased"]);
});

test("the attempt counts runs that failed and runs that were lost, and the one that runs", () => {
  const attempt = (state: TaskState, failures: number, lostLeases: number) =>
    attemptOf({ state, failures, lostLeases });
  expect(attempt("ready", 0, 0)).toBe(0);
  expect(attempt("leased", 0, 0)).toBe(1);
  expect(attempt("scheduled", 2, 0)).toBe(2);
  expect(attempt("leased", 2, 1)).toBe(4);
  expect(attempt("completed", 2, 1)).toBe(4);
  expect(attempt("dead", 3, 0)).toBe(3);
});
