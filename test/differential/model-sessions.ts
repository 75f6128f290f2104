/**
 * The model's sessions. A session is alive until it is named as expired or
 * closed; whoever acts for it must name its epoch. Apart from that it has, on
 * each of its topics, a *hold* at an epoch: what lets it lease there.
 */
import type { SessionId, TopicName } from "../../server/domain/ids.js";
import type { Millis } from "../../server/domain/task.js";
import type { NewSession, Page, SessionRecord, SessionRef, Undelivered } from "../../server/store/store.js";
import { compare, pageOf } from "./model-page.js";

interface Session {
  record: SessionRecord;
  /** Named by `expired`: it can be neither resumed nor renewed, only closed. */
  expiring: boolean;
}

type Resumed = { readonly kind: "resumed"; readonly session: SessionRecord } | { readonly kind: "session_lost" };

export class ModelSessions {
  readonly #sessions = new Map<SessionId, Session>();
  readonly #holds = new Map<TopicName, Map<SessionId, number>>();

  open(session: NewSession): void {
    const record = { ...session, epoch: 1, attached: true, undelivered: [] };
    this.#sessions.set(session.id, { record, expiring: false });
    for (const { topic } of session.subscriptions) this.#holdsOn(topic).set(session.id, 1);
  }

  resume(
    { id, secret }: { readonly id: SessionId; readonly secret: string },
    by: { readonly broker: string; readonly address: string; readonly expiresAtMs: Millis },
  ): Resumed {
    const session = this.#sessions.get(id);
    if (session === undefined || session.expiring || session.record.secret !== secret) return { kind: "session_lost" };
    const epoch = session.record.epoch + 1;
    session.record = { ...session.record, ...by, epoch, attached: true };
    for (const holds of this.#holds.values()) if (holds.has(id)) holds.set(id, epoch);
    return { kind: "resumed", session: session.record };
  }

  renew(ref: SessionRef, expiresAtMs: Millis): "renewed" | "lost" {
    const session = this.#alive(ref);
    if (session === undefined) return "lost";
    session.record = { ...session.record, expiresAtMs };
    return "renewed";
  }

  detach(ref: SessionRef, expiresAtMs: Millis, undelivered: readonly Undelivered[]): void {
    const session = this.#alive(ref);
    if (session !== undefined) session.record = { ...session.record, attached: false, expiresAtMs, undelivered };
  }

  expired({ now, limit }: { readonly now: Millis; readonly limit: number }) {
    const byExpiry = [...this.#sessions.values()].sort((a, b) =>
      compare([a.record.expiresAtMs, a.record.id], [b.record.expiresAtMs, b.record.id]),
    );
    const named = byExpiry.filter((session) => session.record.expiresAtMs <= now).slice(0, limit);
    for (const session of named) session.expiring = true;
    const next = byExpiry.find((session) => !session.expiring);
    return {
      sessions: named.map((session) => session.record),
      ...(next === undefined ? {} : { nextMs: next.record.expiresAtMs }),
    };
  }

  extend(untilMs: Millis): number {
    const sessions = [...this.#sessions.values()];
    const early = sessions.filter((session) => !session.expiring && session.record.expiresAtMs < untilMs);
    for (const session of early) session.record = { ...session.record, expiresAtMs: untilMs };
    return early.length;
  }

  close({ id, epoch }: SessionRef): void {
    if (this.#sessions.get(id)?.record.epoch !== epoch) return;
    this.#sessions.delete(id);
    for (const holds of this.#holds.values()) holds.delete(id);
  }

  page({ after, limit }: { readonly after?: string; readonly limit: number }): Page<SessionRecord> {
    const keyed = [...this.#sessions.values()]
      .map(({ record }) => ({ record, key: [record.id] }))
      .sort((a, b) => compare(a.key, b.key));
    const { page, next } = pageOf(keyed, "sessions", after, limit);
    return { rows: page.map(({ record }) => record), ...next };
  }

  exists(id: SessionId): boolean {
    return this.#sessions.has(id);
  }

  /** The epoch at which the session is open on the topic, if it is. */
  holdOf(topic: TopicName, id: SessionId): number | undefined {
    return this.#holdsOn(topic).get(id);
  }

  /** From now on the session leases nothing on the topic, resumed or not. */
  endHold(topic: TopicName, id: SessionId): void {
    this.#holdsOn(topic).delete(id);
  }

  #alive({ id, epoch }: SessionRef): Session | undefined {
    const session = this.#sessions.get(id);
    return session?.record.epoch === epoch && !session.expiring ? session : undefined;
  }

  #holdsOn(topic: TopicName): Map<SessionId, number> {
    const holds = this.#holds.get(topic) ?? new Map<SessionId, number>();
    this.#holds.set(topic, holds);
    return holds;
  }
}
