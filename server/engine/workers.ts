/**
 * The workers attached to this broker: opening, resuming and ending their
 * sessions. What a session holds and how it is fed is WorkerSession's business.
 */

import assert from "node:assert";
import { randomBytes } from "node:crypto";
import { TaskqueueError } from "../domain/errors.js";
import { type LeaseToken, parseSessionId, type SessionId, type TaskId, type TopicName } from "../domain/ids.js";
import { LIMITS } from "../domain/limits.js";
import type { SessionRecord, Subscription } from "../store/store.js";
import type { EngineContext } from "./context.js";
import { wireTokenOf } from "./held-lease.js";
import { endLeases } from "./reaper.js";
import { type Ways, WorkerSession } from "./worker-session.js";

/** Tasks looked at in one call for cancellations: they come with all their bytes. */
const RECALL_BATCH = 100;

/** How a worker introduces itself. */
export interface WorkerHello {
  readonly worker: string;
  readonly sdk: string;
  readonly address: string;
  readonly subscriptions: readonly Subscription[];
  readonly slots: number;
  readonly bytesMax: number;
  readonly resume: { readonly id: SessionId; readonly secret: string; readonly tokens: readonly string[] } | undefined;
}

/** Why a stream is to end that the worker did not end itself. */
export type EndReason = "session_lost" | "session_moved" | "draining" | "silent";

export class Workers {
  readonly #context: EngineContext;
  readonly #ways: Ways;
  readonly #sessions = new Set<WorkerSession>();
  readonly #ends = new Map<WorkerSession, (reason: EndReason) => void>();
  #draining = false;
  #stopped = false;

  constructor(context: EngineContext, ways: Ways) {
    this.#context = context;
    this.#ways = ways;
  }

  get sessions(): ReadonlySet<WorkerSession> {
    return this.#sessions;
  }

  /** Opens or resumes a session. `onEnd` is called at most once, when the broker ends it. */
  async attach(hello: WorkerHello, onEnd: (reason: EndReason) => void): Promise<WorkerSession> {
    if (this.#draining) throw draining();
    for (const { topic } of hello.subscriptions) {
      if (this.#context.settings.known(topic) === undefined) await this.#context.settings.refresh(topic);
    }
    const record = hello.resume ? await this.#resume(hello, hello.resume) : await this.#open(hello);
    const session: WorkerSession = new WorkerSession(
      this.#context,
      record,
      { slots: hello.slots, bytesMax: hello.bytesMax, onLost: () => this.#end(session, "session_moved") },
      this.#ways,
    );
    if (hello.resume) await this.#takeUp(session, hello.resume.tokens);
    if (this.#stopped) throw draining();
    // An older stream of the same session on this broker is a half-open connection.
    for (const other of [...this.#sessions]) {
      if (other.ref.id === record.id) this.#end(other, "session_moved");
    }
    this.#sessions.add(session);
    this.#ends.set(session, onEnd);
    session.start();
    if (hello.resume) void this.recallCancels(session);
    if (this.#draining) session.drain(0);
    return session;
  }

  async #open(hello: WorkerHello): Promise<SessionRecord> {
    const { options, store } = this.#context;
    const now = this.#context.now();
    const id = parseSessionId(randomBytes(12).toString("base64url"));
    assert(id, "base64url is fit for a session id");
    const session = {
      id,
      secret: randomBytes(18).toString("base64url"),
      worker: hello.worker,
      sdk: hello.sdk,
      address: hello.address,
      broker: options.broker,
      subscriptions: hello.subscriptions,
      slots: hello.slots,
      startedAtMs: now,
      expiresAtMs: now + options.sessionTimeoutMs,
    };
    await store.openSession(session);
    return { ...session, epoch: 1, attached: true, undelivered: [] };
  }

  async #resume(hello: WorkerHello, resume: { id: SessionId; secret: string }): Promise<SessionRecord> {
    const { options, store } = this.#context;
    const answer = await store.resumeSession(resume, {
      broker: options.broker,
      address: hello.address,
      expiresAtMs: this.#context.now() + options.sessionTimeoutMs,
    });
    if (answer.kind === "session_lost") {
      throw new TaskqueueError("SESSION_LOST", `session ${resume.id} is over, or the secret is wrong`);
    }
    return answer.session;
  }

  /** Compares what the store says the session holds with what the worker says. */
  async #takeUp(session: WorkerSession, tokens: readonly string[]): Promise<void> {
    const { store, options } = this.#context;
    const claimed = new Set(tokens);
    for (const { topic } of session.record.subscriptions) {
      const leases = await store.held(topic, session.ref.id);
      if (leases.length === 0) continue;
      const kept = leases.filter((lease) => claimed.delete(wireTokenOf(lease.token, topic)));
      session.adopt(topic, kept);
      const unreceived = leases.filter((lease) => !kept.includes(lease));
      for (let from = 0; from < unreceived.length; from += LIMITS.batchMax) {
        const batch = unreceived.slice(from, from + LIMITS.batchMax);
        await store.release(topic, batch, { now: this.#context.now(), endedWindowMs: options.endedWindowMs });
      }
    }
    for (const token of claimed) session.outbox.lost(token);
  }

  /** The store may have lost writes: compares what the sessions hold with what it says, one after the other. */
  async compare(): Promise<void> {
    for (const session of [...this.#sessions]) await session.compare();
  }

  /** Tells a worker to stop what somebody asked to cancel while nobody here listened. */
  async recallCancels(session: WorkerSession): Promise<void> {
    const { store, log } = this.#context;
    const byTopic = new Map<TopicName, TaskId[]>();
    for (const { topic, id } of session.held) {
      const ids = byTopic.get(topic);
      if (ids) ids.push(id);
      else byTopic.set(topic, [id]);
    }
    try {
      for (const [topic, ids] of byTopic) {
        for (let from = 0; from < ids.length; from += RECALL_BATCH) {
          for (const record of await store.get(topic, ids.slice(from, from + RECALL_BATCH))) {
            if (record?.cancelRequested && record.lease) session.cancel(record.lease.token, topic);
          }
        }
      }
    } catch (error) {
      log.debug({ err: error, session: session.ref.id }, "cancellations could not be looked up");
    }
  }

  /** The worker said goodbye: everything it held is handed back at once. */
  async goodbye(session: WorkerSession): Promise<void> {
    this.#forget(session);
    await session.goodbye();
    await endLeases(this.#context, session.record, "none", "");
    await this.#context.store.closeSession(session.ref);
  }

  /** The worker's stream is lost: it may come back within the grace. */
  async lose(session: WorkerSession): Promise<void> {
    if (!this.#sessions.has(session)) return;
    this.#forget(session);
    const undelivered = session.lose();
    const { options, store, log } = this.#context;
    // A broker that stops sends its workers elsewhere, which may take longer than a lost packet.
    const graceMs = this.#draining ? options.sessionTimeoutMs : options.graceMs;
    try {
      await store.detachSession(session.ref, this.#context.now() + graceMs, undelivered);
    } catch (error) {
      log.warn({ err: error, session: session.ref.id }, "a lost stream could not be noted; its session times out");
    }
  }

  /** A worker gave no sign of life for too long: its session ends now. */
  silent(session: WorkerSession): void {
    this.#context.log.warn({ session: session.ref.id, worker: session.worker }, "a worker fell silent");
    this.#end(session, "silent");
  }

  cancel(sessionId: SessionId, topic: TopicName, token: LeaseToken): void {
    for (const session of this.#sessions) {
      if (session.ref.id === sessionId) session.cancel(token, topic);
    }
  }

  /** Asks every worker to move to another broker. */
  drain(deadlineMs: number): void {
    this.#draining = true;
    for (const session of this.#sessions) session.drain(deadlineMs);
  }

  /** Ends all streams. */
  async stop(): Promise<void> {
    this.#draining = true;
    this.#stopped = true;
    const sessions = [...this.#sessions];
    await Promise.all(
      sessions.map(async (session) => {
        const end = this.#ends.get(session);
        await this.lose(session);
        end?.("draining");
      }),
    );
  }

  #end(session: WorkerSession, reason: EndReason): void {
    const end = this.#ends.get(session);
    void this.lose(session);
    end?.(reason);
  }

  #forget(session: WorkerSession): void {
    this.#sessions.delete(session);
    this.#ends.delete(session);
  }
}

function draining(): TaskqueueError {
  return new TaskqueueError("DRAINING", "this broker is about to stop");
}
