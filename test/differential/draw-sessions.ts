/** Draws calls of the verbs about topics and sessions. */
import type { Store } from "../../server/store/store.js";
import { allPages, byId } from "../support/snapshot.js";
import { newSession } from "../support/task-factory.js";
import { call, type Draw, pickSession, TOPICS } from "./pick.js";

export const SESSION_DRAWS = {
  topics(view) {
    const limit = view.random.int(1, 3);
    return call(
      "topics",
      (): Parameters<Store["topics"]> => [{ limit }],
      (store, [{ limit: size }]) => allPages((page) => store.topics(page), size),
    );
  },

  describe(view) {
    const topics = view.random.several(1, 3, () => view.random.pick(TOPICS));
    return call(
      "describe",
      (): Parameters<Store["describe"]> => [topics],
      (store, args) => store.describe(...args),
    );
  },

  configure(view) {
    const { random } = view;
    const topic = random.pick(TOPICS);
    const settings = {
      paused: random.chance(0.2),
      ...(random.chance(0.3) ? { numRetries: random.int(0, 5) } : {}),
      ...(random.chance(0.3) ? { backoff: { initialMs: 1, factor: 1 + random.next(), maxMs: 9, jitter: 0.2 } } : {}),
    };
    return call(
      "configure",
      (): Parameters<Store["configure"]> => [topic, settings],
      (store, args) => store.configure(...args),
    );
  },

  openSession(view) {
    const { random } = view;
    const topics = TOPICS.filter(() => random.chance(0.85));
    const expiresAtMs = view.now + random.int(0, 2000);
    const session = newSession(`s${view.opened + 1}`, topics, { expiresAtMs, startedAtMs: view.now });
    const times = random.chance(0.1) ? 2 : 1;
    return call(
      "openSession",
      (): Parameters<Store["openSession"]> => [session],
      async (store, args) => {
        for (let time = 0; time < times; time += 1) await store.openSession(...args);
      },
    );
  },

  resumeSession(view) {
    const { random } = view;
    const { id } = pickSession(view);
    const secret = random.chance(0.9) ? `secret of ${id}` : "wrong";
    const by = { broker: `b${random.int(1, 3)}`, address: "x", expiresAtMs: view.now + random.int(0, 2000) };
    return call(
      "resumeSession",
      (): Parameters<Store["resumeSession"]> => [{ id, secret }, by],
      (store, args) => store.resumeSession(...args),
    );
  },

  renewSessions(view) {
    const picks = view.random.several(0, 3, () => pickSession(view));
    const expiresAtMs = view.now + view.random.int(0, 2000);
    return call(
      "renewSessions",
      (world): Parameters<Store["renewSessions"]> => [picks.map((pick) => world.session(pick)), expiresAtMs],
      (store, args) => store.renewSessions(...args),
    );
  },

  detachSession(view) {
    const { random } = view;
    const pick = pickSession(view);
    const topics = TOPICS.filter(() => random.chance(0.5));
    const expiresAtMs = view.now + random.int(0, 50);
    return call(
      "detachSession",
      (world): Parameters<Store["detachSession"]> => [
        world.session(pick),
        expiresAtMs,
        topics.map((topic) => ({ topic, tokens: world.tokensOf(topic, pick.id) })),
      ],
      (store, args) => store.detachSession(...args),
    );
  },

  expiredSessions(view) {
    return call(
      "expiredSessions",
      (): Parameters<Store["expiredSessions"]> => [{ now: view.now, limit: 100 }],
      async (store, args) => {
        const { sessions, nextMs } = await store.expiredSessions(...args);
        return { sessions: byId(sessions), nextMs };
      },
    );
  },

  extendSessions(view) {
    const untilMs = view.now + view.random.int(-50, 200);
    return call(
      "extendSessions",
      (): Parameters<Store["extendSessions"]> => [untilMs],
      (store, args) => store.extendSessions(...args),
    );
  },

  closeSession(view) {
    const pick = pickSession(view);
    return call(
      "closeSession",
      (world): Parameters<Store["closeSession"]> => [world.session(pick)],
      (store, args) => store.closeSession(...args),
    );
  },

  sessions(view) {
    const limit = view.random.int(1, 3);
    return call(
      "sessions",
      (): Parameters<Store["sessions"]> => [{ limit }],
      (store, [{ limit: size }]) => allPages((page) => store.sessions(page), size),
    );
  },
} satisfies Partial<Record<keyof Store, Draw>>;
