/**
 * Asks workers that say nothing for a sign of life, and gives up on those that
 * do not answer. What counts is how long they have been asked, not how long they
 * have been quiet: a worker that has nothing to say owes nothing, so one that is
 * stuck has the whole session timeout, whenever that begins.
 */
import type { EngineContext } from "./context.js";
import type { WorkerSession } from "./worker-session.js";

/** How many times per heartbeat it is looked who is due. */
export const LOOKS_PER_HEARTBEAT = 8;
/**
 * How much longer a worker may be quiet that holds nothing: nobody waits for it, and most of what idle workers cost is
 * being asked. With a heartbeat of half the session timeout, workers still hear of the broker within that.
 */
const UNLEASED_FACTOR = 1.5;

export class Heartbeats {
  readonly #context: EngineContext;
  readonly #sessions: ReadonlySet<WorkerSession>;
  readonly #onSilent: (session: WorkerSession) => void;
  /** On the monotonic clock. */
  #lookedAt = Number.POSITIVE_INFINITY;
  #number = 0;

  constructor(
    context: EngineContext,
    sessions: ReadonlySet<WorkerSession>,
    onSilent: (session: WorkerSession) => void,
  ) {
    this.#context = context;
    this.#sessions = sessions;
    this.#onSilent = onSilent;
  }

  tick(): undefined {
    const { clock, options } = this.#context;
    const now = clock.monotonic();
    // A process that stood still has read nothing meanwhile: no worker is to blame for that.
    const stoodStill = now - this.#lookedAt > options.sessionTimeoutMs / 2;
    this.#lookedAt = now;
    this.#number++;
    for (const session of this.#sessions) {
      if (stoodStill) session.heard();
      else this.#look(session, now);
    }
  }

  #look(session: WorkerSession, now: number): void {
    const { heartbeatMs, sessionTimeoutMs } = this.#context.options;
    const { askedAt, heardAt, heldCount } = session;
    if (askedAt === undefined) {
      const quietMs = heldCount > 0 ? heartbeatMs : UNLEASED_FACTOR * heartbeatMs;
      if (now - heardAt >= quietMs) session.ask(this.#number);
    } else if (now - askedAt > sessionTimeoutMs) {
      this.#onSilent(session);
    }
  }
}
