/**
 * Draws calls at random, looking at what the model holds, so that most of them
 * mean something: leases that are held and leases that were lost, repetitions,
 * sessions of old epochs, moments at which something is due.
 *
 * The contract leaves open whether an ended id is remembered between one window
 * and two; a call that would depend on it leaves that task out (`mayBeForgotten`).
 * Likewise a completion repeated after its window, while the record is kept.
 *
 * Which tasks a store declines to let go straight is its own business where the
 * contract names no reason. So the store is asked first, and the model is told the rest: it must agree that
 * those could go. A task behind one of its topic that was declined counts as declined.
 */
import type { Call } from "./call.js";
import { SESSION_DRAWS } from "./draw-sessions.js";
import { STRAIGHT_DRAWS } from "./draw-straight.js";
import { TASK_DRAWS } from "./draw-tasks.js";
import { TOPICS, type View } from "./pick.js";

const DRAWS = { ...TASK_DRAWS, ...STRAIGHT_DRAWS, ...SESSION_DRAWS };

const WEIGHTS: readonly (readonly [number, keyof typeof DRAWS])[] = [
  [20, "enqueue"],
  [14, "enqueueStraight"],
  [9, "completeStraight"],
  [18, "lease"],
  [12, "complete"],
  [11, "fail"],
  [5, "release"],
  [4, "progress"],
  [1, "held"],
  [6, "promote"],
  [4, "expire"],
  [5, "prune"],
  [2, "get"],
  [3, "list"],
  [5, "requeue"],
  [7, "cancel"],
  [3, "remove"],
  [1, "purge"],
  [1, "topics"],
  [1, "describe"],
  [3, "configure"],
  [4, "resumeSession"],
  [3, "renewSessions"],
  [3, "detachSession"],
  [2, "expiredSessions"],
  [1, "extendSessions"],
  [0.5, "closeSession"],
  [1, "sessions"],
];

/** The next call. While nobody serves a topic, a session is opened soon. */
export function drawCall(view: View): Call {
  const { random, snapshot, world } = view;
  const unserved = TOPICS.filter((topic) => !snapshot.sessions.some(({ id }) => world.serves(topic, id)));
  const verb = random.weighted([...WEIGHTS, [1 + 8 * unserved.length, "openSession"] as const]);
  return DRAWS[verb](view);
}
