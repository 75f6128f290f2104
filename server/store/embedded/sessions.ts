/**
 * Sessions: their records as JSON, an index by expiry, and per topic the epoch
 * at which a session is open there, which is all that `lease` looks at.
 */
import type { SessionId } from "../../domain/ids.js";
import type { Millis } from "../../domain/task.js";
import type { NewSession, Page, SessionRecord, SessionRef, Undelivered } from "../store.js";
import type { Place } from "./change.js";
import type { Tables } from "./database.js";
import { endHold, epochOf, openAt } from "./holds.js";
import { bound, expiryKey, expiryMoment, expirySession, sessionPartKey, successor, textKey } from "./keys.js";
import { putParts, readParts, removeParts } from "./parts.js";
import type { TopicState, Topics } from "./topic-state.js";

/** What changes while a session lives. Small, so that a renewal is one small write whatever the session serves. */
interface State {
  readonly id: SessionId;
  readonly epoch: number;
  readonly attached: boolean;
  readonly expiresAtMs: Millis;
  readonly broker: string;
  readonly address: string;
  /** Named by `expiredSessions`: it cannot come back. */
  readonly expiring: boolean;
}

const NOTHING = Buffer.of(0);
const FIRST = Buffer.of(0);
const END = Buffer.of(0xff);
/** Rows looked at in one go. */
const STRIDE = 200;
/** The parts of a session that are apart from its state. */
const OPENED = 0;
const UNDELIVERED = 1;

export class Sessions {
  readonly #tables: Tables;
  readonly #topics: Topics;

  constructor(tables: Tables, topics: Topics) {
    this.#tables = tables;
    this.#topics = topics;
  }

  open(session: NewSession): void {
    const { id, expiresAtMs, broker, address } = session;
    this.#put(this.#find(id), { id, epoch: 1, attached: true, expiresAtMs, broker, address, expiring: false });
    this.#putPart(id, OPENED, session);
    this.#putPart(id, UNDELIVERED, []);
    for (const { topic } of session.subscriptions) {
      openAt(this.#place(this.#topics.create(topic)), id, 1);
    }
  }

  resume(
    { id, secret }: { readonly id: SessionId; readonly secret: string },
    {
      broker,
      address,
      expiresAtMs,
    }: { readonly broker: string; readonly address: string; readonly expiresAtMs: Millis },
  ): { readonly kind: "resumed"; readonly session: SessionRecord } | { readonly kind: "session_lost" } {
    const before = this.#find(id);
    if (before === undefined || before.expiring || this.#opened(id).secret !== secret) return { kind: "session_lost" };
    const epoch = before.epoch + 1;
    const state: State = { ...before, epoch, attached: true, expiresAtMs, broker, address };
    this.#put(before, state);
    const session = this.#record(state);
    for (const { topic } of session.subscriptions) {
      const place = this.#place(this.#topics.find(topic));
      // A topic on which `expire` ended the session's hold stays closed.
      if (epochOf(place, id) !== undefined) openAt(place, id, epoch);
    }
    return { kind: "resumed", session };
  }

  renew(refs: readonly SessionRef[], expiresAtMs: Millis): ("renewed" | "lost")[] {
    return refs.map((ref) => {
      const state = this.#live(ref);
      if (state === undefined) return "lost";
      this.#put(state, { ...state, expiresAtMs });
      return "renewed";
    });
  }

  detach(ref: SessionRef, expiresAtMs: Millis, undelivered: readonly Undelivered[]): void {
    const state = this.#live(ref);
    if (state === undefined) return;
    this.#put(state, { ...state, attached: false, expiresAtMs });
    this.#putPart(ref.id, UNDELIVERED, undelivered);
  }

  expired({ now, limit }: { readonly now: Millis; readonly limit: number }): {
    readonly sessions: readonly SessionRecord[];
    readonly nextMs?: Millis;
  } {
    const sessions: SessionRecord[] = [];
    for (const state of this.#byExpiry()) {
      const { expiresAtMs } = state;
      if (expiresAtMs <= now && sessions.length < limit) {
        sessions.push(this.#record(state));
        if (!state.expiring) this.#put(state, { ...state, expiring: true });
      } else if (!state.expiring) {
        return { sessions, nextMs: expiresAtMs };
      }
    }
    return { sessions };
  }

  isAnyExpired(now: Millis): boolean {
    const key = this.#tables.expiry.firstKey(FIRST, END);
    return key !== undefined && expiryMoment(key) <= now;
  }

  extend(untilMs: Millis): number {
    let extended = 0;
    for (const state of this.#byExpiry()) {
      if (state.expiresAtMs >= untilMs) break;
      if (state.expiring) continue;
      this.#put(state, { ...state, expiresAtMs: untilMs });
      extended += 1;
    }
    return extended;
  }

  close({ id, epoch }: SessionRef): void {
    const state = this.#find(id);
    if (state?.epoch !== epoch) return;
    for (const { topic } of this.#opened(id).subscriptions) endHold(this.#place(this.#topics.find(topic)), id);
    this.#tables.session.remove(textKey(id));
    this.#tables.expiry.remove(expiryKey(state.expiresAtMs, id));
    removeParts(this.#tables.sessionPart, sessionPartKey(id, OPENED));
    removeParts(this.#tables.sessionPart, sessionPartKey(id, UNDELIVERED));
  }

  #place(topic: TopicState): Place {
    return { tables: this.#tables, topic };
  }

  list({ after, limit }: { readonly after?: string; readonly limit: number }): Page<SessionRecord> {
    const start = after === undefined ? FIRST : successor(bound(textKey(after)));
    const states = this.#tables.session.rows(start, END, limit + 1).map(({ value }) => parseState(value));
    const rows = states.slice(0, limit).map((state) => this.#record(state));
    const last = rows.at(-1);
    return last !== undefined && states.length > limit ? { rows, next: last.id } : { rows };
  }

  /** In order of expiry. States may be changed meanwhile, as long as their expiry moves to after what was looked at. */
  *#byExpiry(): Generator<State> {
    for (let from: Buffer = FIRST; ; ) {
      const keys = this.#tables.expiry.keys(from, END, STRIDE);
      for (const key of keys) {
        const state = this.#find(expirySession(key));
        if (state !== undefined) yield state;
      }
      const last = keys.at(-1);
      if (last === undefined || keys.length < STRIDE) return;
      from = successor(last);
    }
  }

  #find(id: string): State | undefined {
    const value = this.#tables.session.get(textKey(id));
    return value === undefined ? undefined : parseState(value);
  }

  /** The session, if this epoch of it is alive. */
  #live({ id, epoch }: SessionRef): State | undefined {
    const state = this.#find(id);
    return state?.epoch === epoch && !state.expiring ? state : undefined;
  }

  #record({ expiring: _, ...state }: State): SessionRecord {
    const undelivered: Undelivered[] = JSON.parse(
      readParts(this.#tables.sessionPart, sessionPartKey(state.id, UNDELIVERED)).toString(),
    );
    return { ...this.#opened(state.id), ...state, undelivered };
  }

  #opened(id: SessionId): NewSession {
    return JSON.parse(readParts(this.#tables.sessionPart, sessionPartKey(id, OPENED)).toString());
  }

  #putPart(id: SessionId, kind: number, value: unknown): void {
    putParts(this.#tables.sessionPart, sessionPartKey(id, kind), Buffer.from(JSON.stringify(value)));
  }

  #put(before: State | undefined, state: State): void {
    const { session, expiry } = this.#tables;
    session.put(textKey(state.id), Buffer.from(JSON.stringify(state)));
    if (before?.expiresAtMs === state.expiresAtMs) return;
    if (before !== undefined) expiry.remove(expiryKey(before.expiresAtMs, state.id));
    expiry.put(expiryKey(state.expiresAtMs, state.id), NOTHING);
  }
}

function parseState(value: Buffer): State {
  return JSON.parse(value.toString());
}
