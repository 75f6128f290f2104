/** Draws calls of the verbs about tasks of any topics. */
import type { TopicName } from "../../server/domain/ids.js";
import type { Store, TopicTask } from "../../server/store/store.js";
import { newTask } from "../support/task-factory.js";
import {
  call,
  type Draw,
  IDS,
  pickLeases,
  pickSession,
  pickTask,
  pickTopic,
  TOPICS,
  tasksIn,
  type View,
} from "./pick.js";

const DECLINED = "declined";

/** Whether the store whose answer was seen declined what stands there in the call. */
function wasDeclined(seen: unknown, index: number): boolean {
  if (typeof seen !== "object" || seen === null || !("outcomes" in seen)) return false;
  return Array.isArray(seen.outcomes) && seen.outcomes[index] === DECLINED;
}

/** Where in the call the tasks stand that go on: before the first of their topic that was declined. */
function accepted(tasks: readonly TopicTask[], seen: unknown): number[] {
  const declined = new Set<TopicName>();
  return tasks.flatMap(({ topic }, index) => {
    if (wasDeclined(seen, index)) declined.add(topic);
    return declined.has(topic) ? [] : [index];
  });
}

/** The items at those places. */
function at<Item>(items: readonly Item[], indexes: readonly number[]): Item[] {
  return items.filter((_, index) => indexes.includes(index));
}

export const STRAIGHT_DRAWS = {
  enqueueStraight(view) {
    const { random, now, endedWindowMs } = view;
    const picks = random.several(1, 6, () => {
      const topic = pickQuietTopic(view);
      return { topic, task: pickMostlyPlain(view), session: pickTaker(view, topic) };
    });
    return call(
      "enqueueStraight",
      (world): Parameters<Store["enqueueStraight"]> => [
        picks.map(({ topic, task }) => ({ topic, ...task })),
        picks.map(({ session }) => world.session(session)),
        { now, endedWindowMs },
      ],
      async (store, [tasks, takers, options], seen) => {
        const indexes = accepted(tasks, seen);
        const leases = await store.enqueueStraight(at(tasks, indexes), at(takers, indexes), options);
        const outcomes = tasks.map((_, index) =>
          leases[indexes.indexOf(index)] === undefined ? DECLINED : "straight",
        );
        const leased = at(tasks, indexes).flatMap(({ topic }, index) => {
          const lease = leases[index];
          return lease === undefined ? [] : [{ topic, ...lease }];
        });
        return { outcomes, leased };
      },
      ([tasks]) => tasks,
      (world, [tasks, takers, options]) =>
        tasks.flatMap((task, index) => {
          const taker = takers[index];
          return (taker && world.whyDeclined(task, taker, options)) ?? [];
        }),
    );
  },

  completeStraight(view) {
    const { random, now, endedWindowMs } = view;
    const picks = random.several(1, 3, () => {
      const topic = pickTopic(view, ["leased"]);
      return pickLeases(view, topic).map((pick) => ({ topic, pick }));
    });
    // No lease twice.
    const named = new Map(picks.flat().map((one) => [`${one.topic} ${one.pick.id}`, one]));
    return call(
      "completeStraight",
      (world): Parameters<Store["completeStraight"]> => [
        [...named.values()].map(({ topic, pick }) => ({ topic, ...world.lease(topic, pick) })),
        { now, endedWindowMs },
      ],
      async (store, [leases, options], seen) => {
        const indexes = leases.flatMap((_, index) => (wasDeclined(seen, index) ? [] : [index]));
        const completed = await store.completeStraight(at(leases, indexes), options);
        const outcomes = leases.map((_, index) => (completed[indexes.indexOf(index)] ? "completed" : DECLINED));
        return { outcomes };
      },
      ([leases]) => leases,
      (world, [leases]) => leases.flatMap((lease) => world.story(lease) ?? []),
    );
  },
} satisfies Partial<Record<keyof Store, Draw>>;

/** A topic, most likely one in which nothing waits. */
function pickQuietTopic(view: View): TopicName {
  const quiet = TOPICS.filter((topic) => tasksIn(view, topic, ["ready"]).length === 0);
  return view.random.pick(quiet.length > 0 && view.random.chance(0.9) ? quiet : TOPICS);
}

function pickMostlyPlain(view: View) {
  const { random, now } = view;
  const spec = "y".repeat(random.pick([0, 1, 20]));
  return random.chance(0.9) ? newTask(random.pick(IDS), { enqueuedAtMs: now, spec }) : pickTask(view);
}

function pickTaker(view: View, topic: TopicName) {
  const { random, snapshot, world } = view;
  const open = snapshot.sessions.filter(({ id }) => world.serves(topic, id)).map(({ id }) => ({ id, back: 0 }));
  return open.length > 0 && random.chance(0.93) ? random.pick(open) : pickSession(view);
}
