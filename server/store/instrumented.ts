/**
 * A decorator over any store: measures each verb's duration, outcome and batch
 * size. Metrics stay out of the stores and out of the engine.
 */
import { TaskqueueError } from "../domain/errors.js";
import { systemClock } from "../lib/clock.js";
import type { Metrics } from "../metrics/registry.js";
import type { Store } from "./store.js";

/** The verbs of the hot path and of the duties: those whose duration tells something. */
const MEASURED = [
  "pulse",
  "enqueue",
  "enqueueStraight",
  "lease",
  "complete",
  "completeStraight",
  "fail",
  "release",
  "progress",
  "held",
  "promote",
  "expire",
  "prune",
  "renewSessions",
  "expiredSessions",
  "appendEvents",
  "describe",
  "scrub",
] as const satisfies readonly (keyof Store)[];

/** Verbs that are told tasks first; others are told a topic before. */
const OF_MANY_TOPICS = new Set(["enqueueStraight", "completeStraight"]);

export function instrumented(store: Store, metrics: Metrics): Store {
  const measured = new Set<PropertyKey>(MEASURED);
  const wrappers = new Map<PropertyKey, unknown>();
  return new Proxy(store, {
    get(target, verb) {
      const known = wrappers.get(verb);
      if (known !== undefined) return known;
      const value: unknown = Reflect.get(target, verb, target);
      if (typeof value !== "function") return value;
      const bound = value.bind(target);
      const wrapper = measured.has(verb) ? measure(String(verb), bound, metrics) : bound;
      wrappers.set(verb, wrapper);
      return wrapper;
    },
  });
}

function measure(verb: string, call: (...args: unknown[]) => Promise<unknown>, metrics: Metrics) {
  const tasks = { verb };
  const at = OF_MANY_TOPICS.has(verb) ? 0 : 1;
  const ok = { verb, outcome: "ok" };
  return (...args: unknown[]): Promise<unknown> => {
    const startedAt = systemClock.monotonic();
    const items = args[at];
    const answer = call(...args);
    const ended = (error?: unknown) => {
      const seconds = (systemClock.monotonic() - startedAt) / 1_000;
      // What the answer leads to comes first.
      setImmediate(() => {
        const outcome = error instanceof TaskqueueError ? error.code : "INTERNAL";
        metrics.storeCallSeconds.observe(error === undefined ? ok : { verb, outcome }, seconds);
        if (Array.isArray(items)) metrics.storeCallTasks.inc(tasks, items.length);
      });
    };
    // Beside the caller, not between it and the store; and behind it, since it listens before a microtask is through.
    queueMicrotask(() => answer.then(() => ended(), ended));
    return answer;
  };
}
