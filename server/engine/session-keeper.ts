/**
 * Keeps the sessions of the workers attached here alive: one store call for all
 * of them per interval, whatever they hold. Asks quiet workers for a sign of
 * life, and gives up on those that give none.
 */
import { LIMITS } from "../domain/limits.js";
import type { EngineContext } from "./context.js";
import type { WorkerSession } from "./worker-session.js";

export class SessionKeeper {
  readonly #context: EngineContext;
  readonly #sessions: ReadonlySet<WorkerSession>;
  readonly #onSilent: (session: WorkerSession) => void;
  #beats = 0;
  /** On the monotonic clock, when the latest tick was over. */
  #restedAt = Number.POSITIVE_INFINITY;

  constructor(
    context: EngineContext,
    sessions: ReadonlySet<WorkerSession>,
    onSilent: (session: WorkerSession) => void,
  ) {
    this.#context = context;
    this.#sessions = sessions;
    this.#onSilent = onSilent;
  }

  async tick(): Promise<undefined> {
    const { clock } = this.#context;
    try {
      await this.#tick(clock.monotonic());
    } finally {
      this.#restedAt = clock.monotonic();
    }
  }

  async #tick(now: number): Promise<void> {
    const { options, store } = this.#context;
    // A process that stood still has read nothing meanwhile: no worker is to blame for that.
    if (now - this.#restedAt > 2 * options.heartbeatMs) for (const session of this.#sessions) session.heard();
    this.#beats++;
    const alive: WorkerSession[] = [];
    for (const session of [...this.#sessions]) {
      const silentMs = now - session.heardAt;
      if (silentMs > options.sessionTimeoutMs) {
        this.#onSilent(session);
        continue;
      }
      alive.push(session);
      if (silentMs > options.heartbeatMs / 2) session.outbox.heartbeat(this.#beats);
    }
    for (let from = 0; from < alive.length; from += LIMITS.batchMax) {
      const batch = alive.slice(from, from + LIMITS.batchMax);
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
