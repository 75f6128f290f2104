/**
 * Stores that break a promise, each in one way: what the checker must catch.
 *
 * A mutant is a decorator around a good store, so that everything else about it
 * is real. Every few times (`now and then`) it does something wrong and answers
 * as if it had done right. Two are hostile and yet keep the contract: the
 * checker must have nothing to say about them.
 */
import { openSync } from "node:fs";
import type { TopicName } from "../../server/domain/ids.js";
import type { EnqueueAnswer, LeaseAnswer, Leased, NewTask, Store } from "../../server/store/store.js";
import type { InvariantName } from "./checker.js";

type Verbs = Partial<Store>;

export interface Mutant {
  /** What catches it; undefined: nothing may. */
  readonly caughtBy: InvariantName | undefined;
  readonly verbs: (store: Store, nowAndThen: () => boolean) => Verbs;
}

/** A task that is not passed on, though it is answered as if it were. */
function dropOne(tasks: readonly NewTask[], answer: EnqueueAnswer, index: number): EnqueueAnswer {
  if (index < 0 || answer.kind !== "enqueued") return answer;
  return {
    ...answer,
    created: [...answer.created.slice(0, index), true, ...answer.created.slice(index)].slice(0, tasks.length),
  };
}

export const MUTANTS = {
  none: { caughtBy: undefined, verbs: () => ({}) },

  /** Leases end for no reason, as if the worker had been away; reports on them are refused. */
  "takes-leases-back": {
    caughtBy: undefined,
    verbs: (store, nowAndThen) => takesLeasesBack(store, nowAndThen),
  },

  "forgets-a-task": {
    caughtBy: "accepted-is-kept",
    verbs: (store, nowAndThen) => ({
      async enqueue(topic, tasks, options) {
        const index = nowAndThen() ? 0 : -1;
        const answer = await store.enqueue(
          topic,
          tasks.filter((_, at) => at !== index),
          options,
        );
        return dropOne(tasks, answer, index);
      },
    }),
  },

  "makes-a-task-up": {
    caughtBy: "nothing-invented",
    verbs: (store, nowAndThen) => ({
      async enqueue(topic, tasks, options) {
        const [first] = tasks;
        if (first && nowAndThen()) {
          const copy = { ...first, id: `${first.id}-copy` as typeof first.id };
          await store.enqueue(topic, [copy], { ...options, demands: [] });
        }
        return store.enqueue(topic, tasks, options);
      },
    }),
  },

  "knows-no-ids": {
    caughtBy: "enqueued-once",
    verbs: (store) => ({
      async enqueue(topic, tasks, options) {
        const answer = await store.enqueue(topic, tasks, options);
        return answer.kind === "enqueued" ? { ...answer, created: answer.created.map(() => true) } : answer;
      },
    }),
  },

  "hands-out-twice": {
    caughtBy: "one-valid-lease",
    verbs: (store) => {
      const givenLast = new Map<string, Leased>();
      /** The answer, with a lease that another session was given before in the place of its first one. */
      const twice = async <Answer extends LeaseAnswer>(
        topic: TopicName,
        answer: Answer,
        now: number,
      ): Promise<Answer> => {
        const [first, ...others] = answer.leased;
        if (!first) return answer;
        const twin = givenLast.get(topic);
        givenLast.set(topic, first);
        if (!twin || twin.session === first.session) return answer;
        await store.release(topic, [first], { now, endedWindowMs: 600_000 });
        return { ...answer, leased: [{ ...twin, session: first.session }, ...others] };
      };
      return {
        lease: async (topic, demands, options) => twice(topic, await store.lease(topic, demands, options), options.now),
        complete: async (topic, completions, options) =>
          twice(topic, await store.complete(topic, completions, options), options.now),
        async enqueue(topic, tasks, options) {
          const answer = await store.enqueue(topic, tasks, options);
          return answer.kind === "enqueued" ? twice(topic, answer, options.now) : answer;
        },
      };
    },
  },

  "ignores-the-token": {
    caughtBy: "one-valid-lease",
    verbs: (store, nowAndThen) => ({
      ...takesLeasesBack(store, nowAndThen),
      async complete(topic, completions, options) {
        const records = await store.get(
          topic,
          completions.map(({ id }) => id),
        );
        const current = completions.map((completion, index) => ({ ...completion, ...records[index]?.lease }));
        return store.complete(topic, current, options);
      },
    }),
  },

  "runs-on-after-completion": {
    caughtBy: "nothing-after-completion",
    verbs: (store, nowAndThen) => ({
      async complete(topic, completions, options) {
        if (!nowAndThen()) return store.complete(topic, completions, options);
        await store.release(topic, completions, options);
        const answer = await store.complete(topic, [], options);
        return { ...answer, outcomes: completions.map(() => "completed" as const) };
      },
    }),
  },

  "drops-a-completion": {
    caughtBy: "everything-ends",
    verbs: (store, nowAndThen) => ({
      async complete(topic, completions, options) {
        const index = nowAndThen() ? 0 : -1;
        const answer = await store.complete(
          topic,
          completions.filter((_, at) => at !== index),
          options,
        );
        return index < 0 ? answer : { ...answer, outcomes: ["completed", ...answer.outcomes] };
      },
    }),
  },

  "tires-of-the-living": {
    caughtBy: "leases-spared",
    verbs: (store) => ({
      expiredSessions: ({ now, limit }) => store.expiredSessions({ now: now + 60_000, limit }),
    }),
  },

  "retries-for-ever": {
    caughtBy: "attempts-bounded",
    verbs: (store) => ({
      fail: (topic, failures, options) =>
        store.fail(
          topic,
          failures.map((failure) => ({ ...failure, next: { kind: "retry", dueAtMs: options.now } as const })),
          options,
        ),
    }),
  },

  "forgets-failures": {
    caughtBy: "attempts-bounded",
    verbs: (store) => ({
      async fail(topic, failures, options) {
        await store.release(topic, failures, options);
        return failures.map(() => "retried" as const);
      },
    }),
  },

  "never-gives-up": {
    caughtBy: "lost-leases-bounded",
    verbs: (store) => ({
      expire: (topic, session, options) => store.expire(topic, session, { ...options, lostLeasesMax: 1_000 }),
    }),
  },

  "turns-the-order-round": {
    caughtBy: "order",
    verbs: (store) => ({
      enqueue: (topic, tasks, options) =>
        store.enqueue(
          topic,
          tasks.map((task) => ({ ...task, head: { ...task.head, priority: -task.head.priority } })),
          options,
        ),
    }),
  },

  miscounts: {
    caughtBy: "counters-equal-recount",
    verbs: (store) => ({
      async describe(topics) {
        const rows = await store.describe(topics);
        return rows.map((row) => ({ ...row, stats: { ...row.stats, completed: row.stats.completed + 1 } }));
      },
    }),
  },

  "never-promotes": {
    caughtBy: "everything-ends",
    verbs: () => ({ promote: async () => ({ promoted: 0 }) }),
  },

  "ends-its-process": {
    caughtBy: "nobody-dies",
    verbs: () => ({ complete: () => process.exit(70) }),
  },

  "leaves-files-open": {
    caughtBy: "nothing-leaks",
    verbs: (store) => ({
      complete(topic, completions, options) {
        for (const _ of completions) openSync("/dev/null", "r");
        return store.complete(topic, completions, options);
      },
    }),
  },

  "never-leaves": {
    caughtBy: "nothing-leaks",
    verbs: () => ({ close: () => new Promise(() => {}) }),
  },
} as const satisfies Record<string, Mutant>;

export type MutantName = keyof typeof MUTANTS;

export function isMutantName(name: string): name is MutantName {
  return Object.hasOwn(MUTANTS, name);
}

export function mutantOf(name: MutantName): Mutant {
  return MUTANTS[name];
}

/** The store with the mutant's verbs in the place of its own. */
export function mutated(store: Store, name: MutantName): Store {
  let count = 0;
  const nowAndThen = () => ++count % 5 === 0;
  const verbs = new Map<PropertyKey, unknown>(Object.entries(mutantOf(name).verbs(store, nowAndThen)));
  return new Proxy(store, {
    get(target, verb) {
      const own = verbs.get(verb);
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, verb, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function takesLeasesBack(store: Store, nowAndThen: () => boolean): Verbs {
  const takeBack = async (topic: TopicName, answer: LeaseAnswer, now: number) => {
    const [first] = answer.leased;
    if (first && nowAndThen()) await store.release(topic, [first], { now, endedWindowMs: 600_000 });
  };
  return {
    async lease(topic, demands, options) {
      const answer = await store.lease(topic, demands, options);
      await takeBack(topic, answer, options.now);
      return answer;
    },
    async enqueue(topic, tasks, options) {
      const answer = await store.enqueue(topic, tasks, options);
      if (answer.kind === "enqueued") await takeBack(topic, answer, options.now);
      return answer;
    },
  };
}
