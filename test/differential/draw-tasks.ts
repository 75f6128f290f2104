/** Draws calls of the verbs about tasks. What the contract leaves open is left out of calls and answers. */

import { TASK_STATES } from "../../server/domain/states.js";
import type { Expired, Store } from "../../server/store/store.js";
import { allPages, byId } from "../support/snapshot.js";
import {
  asSubjects,
  call,
  type Draw,
  EXTERNAL_IDS,
  holdersOn,
  isClear,
  pickDemands,
  pickIds,
  pickLeases,
  pickMoment,
  pickSession,
  pickTask,
  pickTopic,
  TOPICS,
  unique,
} from "./pick.js";

/** Pieces after which a verb that is called until it is done counts as endless. */
const PIECES_MAX = 1000;

export const TASK_DRAWS = {
  enqueue(view) {
    const { random, now, endedWindowMs } = view;
    const topic = random.pick(TOPICS);
    const tasks = random.several(0, 4, () => pickTask(view));
    const demands = random.chance(0.3) ? pickDemands(view, topic) : undefined;
    const tasksMax = random.chance(0.2) ? random.int(1, 6) : 0;
    const bytesMax = random.chance(0.2) ? random.int(1, 200) : 0;
    return call(
      "enqueue",
      (world): Parameters<Store["enqueue"]> => [
        topic,
        tasks.filter(({ id }) => {
          const held = world.state(topic, id) !== "absent";
          return held || !world.mayBeForgotten(topic, id, { now, endedWindowMs });
        }),
        {
          now,
          endedWindowMs,
          tasksMax,
          bytesMax,
          ...(demands && { demands: demands.map((demand) => world.demand(demand)) }),
        },
      ],
      async (store, args) => {
        const answer = await store.enqueue(...args);
        return answer.kind === "full" ? answer : { ...answer, lostSessions: unique(answer.lostSessions) };
      },
      ([, enqueued]) => enqueued,
    );
  },

  lease(view) {
    const topic = pickTopic(view, ["ready"]);
    const demands = pickDemands(view, topic);
    return call(
      "lease",
      (world): Parameters<Store["lease"]> => [topic, demands.map((demand) => world.demand(demand)), { now: view.now }],
      async (store, args) => {
        const answer = await store.lease(...args);
        return { ...answer, lostSessions: unique(answer.lostSessions) };
      },
    );
  },

  complete(view) {
    const { random, now, endedWindowMs } = view;
    const topic = pickTopic(view, ["leased"]);
    const picks = pickLeases(view, topic).map((pick) => ({
      pick,
      result: random.chance(0.3) ? { result: Buffer.from(`result ${now}`) } : {},
    }));
    const demands = random.chance(0.3) ? pickDemands(view, topic) : undefined;
    return call(
      "complete",
      (world): Parameters<Store["complete"]> => {
        const moment = { now, endedWindowMs };
        const all = picks.map(({ pick }) => pick);
        const settled = picks.filter(({ pick }, index) => {
          const { id } = pick;
          const free = world.mayRecogniseToken(topic, id, moment) || world.mayBeForgotten(topic, id, moment);
          // Without a window a repetition within the call is free too.
          const repeats = endedWindowMs === 0 && all.slice(0, index).some((earlier) => earlier.id === id);
          return !free && !repeats && isClear(world, topic, pick, all);
        });
        return [
          topic,
          settled.map(({ pick, result }) => ({ ...world.lease(topic, pick), ...result })),
          { now, endedWindowMs, ...(demands && { demands: demands.map((demand) => world.demand(demand)) }) },
        ];
      },
      async (store, args) => {
        const answer = await store.complete(...args);
        return { ...answer, lostSessions: unique(answer.lostSessions) };
      },
      ([, completions]) => completions,
    );
  },

  fail(view) {
    const { random, now, endedWindowMs } = view;
    const topic = pickTopic(view, ["leased"]);
    const picks = pickLeases(view, topic).map((pick) => ({
      pick,
      error: random.pick(["", "error", "ошибка\n\t"]),
      next: random.chance(0.6)
        ? ({ kind: "retry", dueAtMs: pickMoment(view) } as const)
        : ({ kind: "bury", reason: random.pick(["retries_exhausted", "do_not_retry"] as const) } as const),
    }));
    return call(
      "fail",
      (world): Parameters<Store["fail"]> => [
        topic,
        picks
          .filter(({ pick }, _index, all) =>
            isClear(
              world,
              topic,
              pick,
              all.map((other) => other.pick),
            ),
          )
          .map(({ pick, error, next }) => ({ ...world.lease(topic, pick), error, next })),
        { now, endedWindowMs },
      ],
      (store, args) => store.fail(...args),
      ([, items]) => items,
    );
  },

  release(view) {
    const { now, endedWindowMs } = view;
    const topic = pickTopic(view, ["leased"]);
    const picks = pickLeases(view, topic);
    return call(
      "release",
      (world): Parameters<Store["release"]> => [
        topic,
        picks.map((pick) => world.lease(topic, pick)),
        { now, endedWindowMs },
      ],
      (store, args) => store.release(...args),
      ([, items]) => items,
    );
  },

  progress(view) {
    const { random } = view;
    const topic = pickTopic(view, ["leased"]);
    const picks = pickLeases(view, topic).map((pick) => ({
      pick,
      note: random.chance(0.7) ? { progress: { fraction: random.next(), message: random.pick(["", "µ"]) } } : {},
    }));
    return call(
      "progress",
      (world): Parameters<Store["progress"]> => [
        topic,
        picks.map(({ pick, note }) => ({ ...world.lease(topic, pick), ...note })),
      ],
      (store, args) => store.progress(...args),
      ([, items]) => items,
    );
  },

  held(view) {
    const topic = view.random.pick(TOPICS);
    const { id } = pickSession(view);
    return call(
      "held",
      (): Parameters<Store["held"]> => [topic, id],
      async (store, args) => byId(await store.held(...args)),
    );
  },

  promote(view) {
    const { random, now } = view;
    const topic = pickTopic(view, ["scheduled"]);
    const limit = random.pick([1, 2, 100]);
    return call(
      "promote",
      (): Parameters<Store["promote"]> => [topic, { now, limit }],
      (store, args) => store.promote(...args),
    );
  },

  expire(view) {
    const { random, now, endedWindowMs } = view;
    const topic = pickTopic(view, ["leased"]);
    const holders = holdersOn(view, topic);
    const id = holders.length > 0 && random.chance(0.8) ? random.pick(holders) : pickSession(view).id;
    const spare = random.chance(0.3);
    const options = {
      now,
      endedWindowMs,
      charge: random.chance(0.7) ? ("lost" as const) : ("none" as const),
      lostLeasesMax: random.int(1, 3),
      error: `lost at ${now}`,
      limit: random.pick([1, 2, 100]),
    };
    return call(
      "expire",
      (world): Parameters<Store["expire"]> => {
        const undelivered = spare ? world.tokensOf(topic, id).slice(0, 2) : [];
        return [topic, id, { ...options, undelivered }];
      },
      // Which leases end first is open, so it goes on until all have.
      async (store, args) => {
        const expired: Expired[] = [];
        for (let piece = 0; piece < PIECES_MAX; piece += 1) {
          const answer = await store.expire(...args);
          expired.push(...answer.expired);
          if (!answer.more) return byId(expired);
        }
        throw new Error("expire does not come to an end");
      },
    );
  },

  prune(view) {
    const { random, now, endedWindowMs } = view;
    const topic = pickTopic(view, ["completed", "cancelled"]);
    const limit = random.pick([1, 3, 100]);
    return call(
      "prune",
      (): Parameters<Store["prune"]> => [topic, { now, endedWindowMs, limit }],
      // Which tasks go first is open, so it goes on until none does.
      async (store, args) => {
        let pruned = 0;
        for (let piece = 0; piece < PIECES_MAX; piece += 1) {
          const answer = await store.prune(...args);
          pruned += answer.pruned;
          if (answer.pruned < limit) return { ...answer, pruned };
        }
        throw new Error("prune does not come to an end");
      },
    );
  },

  get(view) {
    const topic = view.random.pick(TOPICS);
    const ids = pickIds(view, topic, TASK_STATES);
    return call(
      "get",
      (): Parameters<Store["get"]> => [topic, ids],
      (store, args) => store.get(...args),
    );
  },

  list(view) {
    const { random } = view;
    const topic = random.pick(TOPICS);
    const limit = random.int(1, 3);
    const state = random.pick(TASK_STATES);
    const externalId = random.pick(EXTERNAL_IDS);
    const query = externalId === "" ? { state } : random.chance(0.5) ? { externalId } : { externalId, state };
    return call(
      "list",
      (): Parameters<Store["list"]> => [topic, { ...query, limit }],
      (store, [name, { limit: size, ...rest }]) => allPages((page) => store.list(name, { ...rest, ...page }), size),
    );
  },

  requeue(view) {
    const { random, now } = view;
    const topic = pickTopic(view, ["dead", "cancelled"]);
    const states = random.chance(0.8) ? (["dead", "cancelled"] as const) : TASK_STATES;
    const ids = pickIds(view, topic, [random.pick(states)]);
    const which = random.chance(0.6) ? { ids } : { oldestDead: random.int(1, 3) };
    return call(
      "requeue",
      (): Parameters<Store["requeue"]> => [topic, which, { now }],
      async (store, args) => {
        const { more, ...answer } = await store.requeue(...args);
        return "ids" in which ? answer : { ...answer, more };
      },
      () => ("ids" in which ? asSubjects(which.ids) : []),
    );
  },

  cancel(view) {
    const { random, now, endedWindowMs } = view;
    const topic = random.pick(TOPICS);
    const states = random.chance(0.8) ? (["leased", "ready", "scheduled"] as const) : TASK_STATES;
    const ids = pickIds(view, topic, [random.pick(states)]);
    return call(
      "cancel",
      (): Parameters<Store["cancel"]> => [topic, ids, { now, endedWindowMs }],
      (store, args) => store.cancel(...args),
      ([, items]) => asSubjects(items),
    );
  },

  remove(view) {
    const { random } = view;
    const topic = random.pick(TOPICS);
    const ids = pickIds(view, topic, [random.pick(TASK_STATES)]);
    return call(
      "remove",
      (): Parameters<Store["remove"]> => [topic, ids],
      (store, args) => store.remove(...args),
      ([, items]) => asSubjects(items),
    );
  },

  purge(view) {
    const { random } = view;
    const topic = random.pick(TOPICS);
    const state = random.pick(["scheduled", "ready", "dead", "completed", "cancelled"] as const);
    const limit = random.int(1, 4);
    return call(
      "purge",
      (): Parameters<Store["purge"]> => [topic, state, limit],
      (store, args) => store.purge(...args),
    );
  },
} satisfies Partial<Record<keyof Store, Draw>>;
