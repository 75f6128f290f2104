/**
 * Keeps the sessions of the workers attached here alive in the store: one call
 * for all of them per interval, whatever they hold.
 */
import { LIMITS } from "../domain/limits.js";
import type { EngineContext } from "./context.js";
import type { WorkerSession } from "./worker-session.js";

export class SessionKeeper {
  readonly #context: EngineContext;
  readonly #sessions: ReadonlySet<WorkerSession>;

  constructor(context: EngineContext, sessions: ReadonlySet<WorkerSession>) {
    this.#context = context;
    this.#sessions = sessions;
  }

  async tick(): Promise<undefined> {
    const { options, store } = this.#context;
    const all = [...this.#sessions];
    for (let from = 0; from < all.length; from += LIMITS.batchMax) {
      const batch = all.slice(from, from + LIMITS.batchMax);
      const expiresAtMs = this.#context.now() + options.sessionTimeoutMs;
      const outcomes = await store.renewSessions(
        batch.map((session) => session.ref),
        expiresAtMs,
      );
      for (const [index, session] of batch.entries()) {
        if (outcomes[index] === "lost") session.sessionLost();
      }
    }
  }
}
