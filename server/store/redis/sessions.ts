/**
 * Sessions. Their records are in one slot, their holds on topics in the topics'
 * slots: each verb orders its steps so that one which fails in between leaves a
 * session that expires, and that it can be called again.
 */
import type { SessionId, TopicName } from "../../domain/ids.js";
import { LIMITS } from "../../domain/limits.js";
import type { NewSession, Page, SessionRecord, SessionRef } from "../store.js";
import type { Connection } from "./connection.js";
import { closeSession } from "./scripts/close-session.js";
import { type DetachSessionCall, detachSession } from "./scripts/detach-session.js";
import { type ExpiredSessionsAnswer, expiredSessions } from "./scripts/expired-sessions.js";
import { extendSessions } from "./scripts/extend-sessions.js";
import { type HoldCall, hold } from "./scripts/hold.js";
import { openSession } from "./scripts/open-session.js";
import { renewSessions } from "./scripts/renew-sessions.js";
import { type ResumeSessionAnswer, type ResumeSessionCall, resumeSession } from "./scripts/resume-session.js";
import { sessions } from "./scripts/sessions.js";

const NO_TOPICS: ReadonlySet<TopicName> = new Set();

export class Sessions {
  readonly #connection: Connection;
  /** Those that were opened or resumed here, until they are known to be lost or over. */
  readonly #own = new Map<SessionId, { readonly epoch: number; readonly topics: ReadonlySet<TopicName> }>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async open(session: NewSession): Promise<void> {
    await this.#connection.run(openSession, session);
    await this.#hold(session, 1, "open");
    this.#note(session, 1);
  }

  async resume(call: ResumeSessionCall): Promise<ResumeSessionAnswer> {
    const answer = await this.#connection.run(resumeSession, call);
    if (answer.kind !== "resumed") return answer;
    await this.#hold(answer.session, answer.session.epoch, "resume");
    this.#note(answer.session, answer.session.epoch);
    return answer;
  }

  async renew(refs: readonly SessionRef[], expiresAtMs: number): Promise<readonly ("renewed" | "lost")[]> {
    const outcomes: ("renewed" | "lost")[] = [];
    for (let first = 0; first < refs.length; first += LIMITS.batchMax) {
      const some = refs.slice(first, first + LIMITS.batchMax);
      outcomes.push(...(await this.#connection.run(renewSessions, { sessions: some, expiresAtMs })));
    }
    for (const [i, ref] of refs.entries()) if (outcomes[i] === "lost") this.#forget(ref);
    return outcomes;
  }

  detach(call: DetachSessionCall): Promise<void> {
    this.#forget(call);
    return this.#connection.run(detachSession, call);
  }

  expired(options: { readonly now: number; readonly limit: number }): Promise<ExpiredSessionsAnswer> {
    return this.#connection.run(expiredSessions, options);
  }

  async extend(untilMs: number): Promise<number> {
    let extended = 0;
    for (let skip = 0, more = true; more; ) {
      const answer = await this.#connection.run(extendSessions, { untilMs, skip, limit: LIMITS.batchMax });
      extended += answer.extended;
      ({ skip, more } = answer);
    }
    return extended;
  }

  async close(ref: SessionRef): Promise<void> {
    this.#forget(ref);
    const answer = await this.#connection.run(closeSession, { ...ref, step: "bar" });
    if (answer.kind !== "barred") return;
    await this.#hold(answer.session, ref.epoch, "close");
    await this.#connection.run(closeSession, { ...ref, step: "forget" });
  }

  /** On which topics the session was opened or resumed here at that epoch. Whether it still is open, Redis knows. */
  topicsOf({ id, epoch }: SessionRef): ReadonlySet<TopicName> {
    const own = this.#own.get(id);
    return own?.epoch === epoch ? own.topics : NO_TOPICS;
  }

  #note({ id, subscriptions }: NewSession, epoch: number): void {
    this.#own.set(id, { epoch, topics: new Set(subscriptions.map(({ topic }) => topic)) });
  }

  /** Not if it came back meanwhile. */
  #forget({ id, epoch }: SessionRef): void {
    if ((this.#own.get(id)?.epoch ?? 0) <= epoch) this.#own.delete(id);
  }

  page({ after = "", limit }: { readonly after?: string; readonly limit: number }): Promise<Page<SessionRecord>> {
    return this.#connection.run(sessions, { after, limit });
  }

  async #hold({ id, subscriptions }: NewSession, epoch: number, why: HoldCall["why"]): Promise<void> {
    await Promise.all(
      subscriptions.map(({ topic }) => this.#connection.run(hold, { topic, session: { id, epoch }, why })),
    );
  }
}
