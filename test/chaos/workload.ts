/**
 * What producers enqueue and what processors do, drawn from the run's seed: the
 * producer and every worker that ever gets a task come to the same view of it
 * without a word between them.
 */
import { Random } from "../support/random.js";
import type { RunOutcome } from "./history.js";

/** The topics of a run. Of `kept` tasks the end is visible in the store; the others disappear, as is the default. */
export const TOPICS = [
  { name: "plain", kept: false },
  { name: "kept", kept: true },
  { name: "flaky", kept: true },
  { name: "fragile", kept: true },
] as const;

/** For workers that take one task at a time. */
export const ORDERED = { name: "ordered", kept: true } as const;

export type TopicRow = (typeof TOPICS)[number] | typeof ORDERED;

export function topicRow(name: string): TopicRow {
  const row = [...TOPICS, ORDERED].find((topic) => topic.name === name);
  if (!row) throw new Error(`there is no topic ${name}`);
  return row;
}

/** Tasks of the topic `fragile` are dead after the first lease they lose. */
export const LOST_LEASES_MAX = { fragile: 1 } as const;

export function lostLeasesMaxOf(topic: string): number {
  return topic === "fragile" ? LOST_LEASES_MAX.fragile : 3;
}

/** Longer than any run. */
export const KEPT_MS = 24 * 3_600_000;

export interface Draft {
  readonly topic: TopicRow;
  readonly priority: number;
  readonly retries: number;
  readonly delayMs: number;
  /** 0: no limit. */
  readonly timeoutMs: number;
}

export function draftTask(random: Random, topics: readonly TopicRow[]): Draft {
  const topic = random.pick(topics);
  return {
    topic,
    priority: random.int(-2, 2),
    retries: topic.name === "flaky" ? random.int(0, 3) : 0,
    delayMs: topic.name !== ORDERED.name && random.chance(0.1) ? random.int(20, 400) : 0,
    timeoutMs: topic.name === "flaky" && random.chance(0.05) ? 150 : 0,
  };
}

/** What the processor of a task does in one attempt. */
export interface Deed {
  readonly forMs: number;
  readonly outcome: RunOutcome;
  /** Whether it stops when its signal fires, as a good processor does; else it goes on to its end. */
  readonly heedsSignal: boolean;
}

export function deedOf(seed: number, task: { id: string; topic: string; failures: number; timeoutMs: number }): Deed {
  const random = randomOf(seed, task.id);
  const heedsSignal = random.chance(0.7);
  const drawnMs = drawDuration(random, task.topic);
  // Only once: a task that fails four times has to end, too.
  const forMs = task.failures === 0 ? drawnMs : Math.min(drawnMs, 200);
  const failsUntil = task.topic === "flaky" && random.chance(0.5) ? random.int(1, 4) : 0;
  const isHopeless = task.topic === "flaky" && random.chance(0.05);
  if (task.timeoutMs > 0 && task.failures === 0)
    return { forMs: task.timeoutMs + 2_000, outcome: "returned", heedsSignal };
  if (isHopeless) return { forMs, outcome: "buried", heedsSignal };
  return { forMs, outcome: task.failures < failsUntil ? "failed" : "returned", heedsSignal };
}

/** Milliseconds: mostly a few, seldom so many that a fault is bound to come in between. */
function drawDuration(random: Random, topic: string): number {
  // Slow enough for a queue to form.
  if (topic === ORDERED.name) return random.int(20, 40);
  const draw = random.next();
  const ms = draw < 0.75 ? random.int(0, 5) : draw < 0.96 ? random.int(20, 200) : random.int(400, 2_000);
  // Long enough to be lost with its worker now and then.
  return topic === "fragile" ? 200 + ms : ms;
}

/** The chance of one named thing. */
export function randomOf(seed: number, name: string): Random {
  let hash = 2_166_136_261 ^ seed;
  for (const character of name) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 16_777_619);
  return new Random(hash);
}
