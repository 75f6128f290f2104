/**
 * What happens to an attempt, as decided by the seed: the same seed, producer,
 * task number and attempt always meet the same fate, in whatever process and
 * order they run.
 */
import type { Plan } from "./plan.js";

/** Numbers in [0, 1), a new one with every call. */
export type Random = () => number;

export interface Fate {
  readonly runMs: number;
  readonly end: "complete" | "fail" | "hang" | "crash";
}

/** A sequence that depends on nothing but its arguments. */
export function seeded(...parts: readonly (string | number)[]): Random {
  // FNV-1a over the text, then mulberry32: fast, and even enough for a simulation.
  let state = 0x811c9dc5;
  for (const char of parts.join("/")) state = Math.imul(state ^ (char.codePointAt(0) ?? 0), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Odds = Pick<Plan, "seed" | "runTimeMs" | "failureRate" | "hangRate" | "crashRate">;

/** @param task tells the tasks of a run apart, and is the same in every run: `producer/number` */
export function fateOf(plan: Odds, task: string, attempt: number): Fate {
  const random = seeded(plan.seed, task, attempt);
  const runMs = random() * plan.runTimeMs;
  const draw = random();
  if (draw < plan.crashRate) return { runMs, end: "crash" };
  if (draw < plan.crashRate + plan.hangRate) return { runMs, end: "hang" };
  if (draw < plan.crashRate + plan.hangRate + plan.failureRate) return { runMs, end: "fail" };
  return { runMs, end: "complete" };
}
