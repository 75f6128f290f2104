/**
 * Ends sessions whose worker is gone: what they held runs elsewhere.
 *
 * Any broker may reap any session; the store makes sure that a session which is
 * being reaped cannot come back, and names it again until it is closed, so that
 * another broker finishes what a dead one began. At most a few sessions per
 * tick, so that a mass death is worked off at a bounded rate and not as a storm.
 */

import type { TopicName } from "../domain/ids.js";
import { LIMITS } from "../domain/limits.js";
import type { Expired, SessionRecord } from "../store/store.js";
import type { EngineContext } from "./context.js";
import type { EventType } from "./events.js";

const SESSIONS_PER_TICK = 20;
const TICK_MS_MIN = 50;
const TICK_MS_MAX = 1_000;

export class Reaper {
  readonly #context: EngineContext;
  readonly #storeAvailable: () => boolean;

  constructor(context: EngineContext, storeAvailable: () => boolean) {
    this.#context = context;
    this.#storeAvailable = storeAvailable;
  }

  /** Returns the milliseconds after which to look again. */
  async tick(): Promise<number | undefined> {
    // After an outage sessions are extended first: see StoreMonitor.
    if (!this.#storeAvailable()) return undefined;
    const { store } = this.#context;
    const now = this.#context.now();
    const { sessions, nextMs } = await store.expiredSessions({ now, limit: SESSIONS_PER_TICK });
    for (const session of sessions) await this.#reap(session);
    if (sessions.length === SESSIONS_PER_TICK) return TICK_MS_MIN;
    if (nextMs === undefined) return undefined;
    // Not later than a grace: a stream may be lost meanwhile, here or on another broker.
    const latestMs = Math.min(TICK_MS_MAX, this.#context.options.graceMs);
    return Math.max(TICK_MS_MIN, Math.min(nextMs - this.#context.now(), latestMs));
  }

  async #reap(session: SessionRecord): Promise<void> {
    const { store, log } = this.#context;
    const error = `the lease was lost: worker ${session.worker} died or fell silent`;
    const count = await endLeases(this.#context, session, "lost", error);
    await store.closeSession(session);
    log.info({ session: session.id, worker: session.worker, leases: count }, "a session expired");
  }
}

/** Ends all leases of a session on all its topics. Returns how many. */
export async function endLeases(
  context: EngineContext,
  session: SessionRecord,
  charge: "lost" | "none",
  error: string,
): Promise<number> {
  const { store, options, settings } = context;
  let count = 0;
  for (const { topic } of session.subscriptions) {
    if (charge === "lost" && settings.known(topic) === undefined) await settings.refresh(topic);
    const undelivered = session.undelivered.find((entry) => entry.topic === topic)?.tokens ?? [];
    for (let more = true; more; ) {
      const answer = await store.expire(topic, session.id, {
        now: context.now(),
        charge,
        undelivered,
        lostLeasesMax: settings.lostLeasesMax(topic),
        error,
        endedWindowMs: options.endedWindowMs,
        limit: LIMITS.batchMax,
      });
      more = answer.more;
      count += answer.expired.length;
      for (const expired of answer.expired) tellExpired(context, topic, session.worker, expired, error);
    }
  }
  return count;
}

const TOLD = {
  expired: ["TASK_EXPIRE"],
  buried: ["TASK_EXPIRE", "TASK_FAILURE"],
  released: ["TASK_RELEASE"],
  aborted: ["TASK_CANCEL"],
} as const satisfies Record<Expired["outcome"], readonly EventType[]>;

function tellExpired(context: EngineContext, topic: TopicName, worker: string, expired: Expired, error: string): void {
  for (const type of TOLD[expired.outcome]) {
    if (!context.events.offer(type, topic, 1)?.admits(expired.id, expired.externalId)) continue;
    context.events.emit({
      type,
      atMs: context.now(),
      broker: context.options.broker,
      worker,
      topic,
      taskId: expired.id,
      attempt: Math.max(1, expired.failures + expired.lostLeases),
      ...(expired.externalId === "" ? {} : { externalId: expired.externalId }),
      ...(type === "TASK_EXPIRE" || type === "TASK_FAILURE" ? { error } : {}),
    });
  }
}
