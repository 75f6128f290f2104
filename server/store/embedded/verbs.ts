/**
 * The verbs that change something, as functions of the store's state and their
 * arguments alone: no clock, no chance, no order that memory has and the disk
 * has not. Called once when a verb happens, and again when the journal is
 * replayed, they must do the same.
 */
import type { SessionId, TaskId, TopicName } from "../../domain/ids.js";
import type { TaskState } from "../../domain/states.js";
import type { Millis, Progress } from "../../domain/task.js";
import type { TopicSettings } from "../../domain/topic.js";
import type {
  Completion,
  Demand,
  Failure,
  LeaseRef,
  NewSession,
  ScrubOptions,
  SessionRef,
  TopicLeaseRef,
  TopicTask,
  Undelivered,
  Wake,
} from "../store.js";
import { Change, type Ending } from "./change.js";
import type { Tables } from "./database.js";
import * as decisions from "./decisions.js";
import * as duties from "./duties.js";
import { settleEnded } from "./ended-ids.js";
import { type EnqueueOptions, enqueue as enqueueTasks, type NewRecord } from "./enqueue.js";
import { EventLog } from "./events.js";
import type { Journaled } from "./journal-codec.js";
import { serve } from "./lease.js";
import { scrub } from "./scrub.js";
import { Sessions } from "./sessions.js";
import * as settle from "./settle.js";
import * as straight from "./straight.js";
import { Topics } from "./topic-state.js";

/** The store's state, and the wakes that the verb in progress causes. */
export class State {
  readonly tables: Tables;
  readonly topics: Topics;
  readonly sessions: Sessions;
  readonly events: EventLog;
  wakes: Wake[] = [];

  constructor(tables: Tables) {
    this.tables = tables;
    this.topics = new Topics(tables);
    this.sessions = new Sessions(tables, this.topics);
    this.events = new EventLog(tables);
  }

  /** Runs a verb on a topic, which is made when there is none and `create` says so. */
  change<Answer>(name: TopicName, verb: (change: Change) => Answer, create = false): Answer {
    const topic = create ? this.topics.create(name) : this.topics.find(name);
    this.topics.touch(topic);
    const change = new Change(this.tables, topic);
    const answer = verb(change);
    this.wakes.push(...change.finish());
    return answer;
  }

  /** Runs a verb that may end tasks, whose ids must be remembered. */
  end<Answer>(name: TopicName, ending: Ending, verb: (change: Change) => Answer): Answer {
    return this.change(name, (change) => {
      const answer = verb(change);
      settleEnded(change, ending);
      return answer;
    });
  }
}

export const VERBS = {
  enqueue: (state: State, topic: TopicName, tasks: readonly NewRecord[], options: EnqueueOptions) =>
    state.change(topic, (change) => enqueueTasks(change, tasks, options), true),

  enqueueStraight: (
    state: State,
    tasks: readonly TopicTask[],
    records: readonly Buffer[],
    takers: readonly SessionRef[],
    ending: Ending,
  ) => straight.enqueueStraight(state, tasks, records, takers, ending),

  completeStraight: (state: State, leases: readonly TopicLeaseRef[], ending: Ending) =>
    straight.completeStraight(state, leases, ending),

  lease: (state: State, topic: TopicName, demands: readonly Demand[], { now }: { readonly now: Millis }) =>
    state.change(topic, (change) => serve(change, demands, now)),

  complete: (
    state: State,
    topic: TopicName,
    completions: readonly Completion[],
    options: Ending & { readonly demands?: readonly Demand[] },
  ) => state.end(topic, options, (change) => settle.complete(change, completions, options)),

  fail: (state: State, topic: TopicName, failures: readonly Failure[], options: Ending) =>
    state.end(topic, options, (change) => settle.fail(change, failures, options)),

  release: (state: State, topic: TopicName, leases: readonly LeaseRef[], options: Ending) =>
    state.end(topic, options, (change) => settle.release(change, leases, options)),

  progress: (state: State, topic: TopicName, notes: readonly (LeaseRef & { readonly progress?: Progress })[]) =>
    state.change(topic, (change) => settle.progress(change, notes)),

  promote: (state: State, topic: TopicName, options: { readonly now: Millis; readonly limit: number }) =>
    state.change(topic, (change) => duties.promote(change, options)),

  expire: (state: State, topic: TopicName, session: SessionId, options: settle.ExpireOptions) =>
    state.end(topic, options, (change) => settle.expire(change, session, options)),

  prune: (state: State, topic: TopicName, options: Ending & { readonly limit: number }) =>
    state.change(topic, (change) => duties.prune(change, options)),

  requeue: (
    state: State,
    topic: TopicName,
    which: { readonly ids: readonly TaskId[] } | { readonly oldestDead: number },
  ) => state.change(topic, (change) => decisions.requeue(change, which)),

  cancel: (state: State, topic: TopicName, ids: readonly TaskId[], options: Ending) =>
    state.end(topic, options, (change) => decisions.cancel(change, ids, options)),

  remove: (state: State, topic: TopicName, ids: readonly TaskId[]) =>
    state.change(topic, (change) => decisions.remove(change, ids)),

  purge: (state: State, topic: TopicName, from: Exclude<TaskState, "leased">, limit: number) =>
    state.change(topic, (change) => decisions.purge(change, from, limit)),

  scrub: (state: State, topic: TopicName, options: ScrubOptions) =>
    state.end(topic, options, (change) => scrub(change, options)),

  configure: (state: State, topic: TopicName, settings: TopicSettings) => {
    const { figures } = state.topics.configure(topic, settings);
    state.wakes.push({ kind: "settings", topic });
    if (!settings.paused && figures.ready > 0) state.wakes.push({ kind: "ready", topic });
  },

  openSession: ({ sessions }: State, session: NewSession) => sessions.open(session),

  resumeSession: (
    { sessions }: State,
    session: { readonly id: SessionId; readonly secret: string },
    by: { readonly broker: string; readonly address: string; readonly expiresAtMs: Millis },
  ) => sessions.resume(session, by),

  renewSessions: ({ sessions }: State, refs: readonly SessionRef[], expiresAtMs: Millis) =>
    sessions.renew(refs, expiresAtMs),

  detachSession: ({ sessions }: State, session: SessionRef, expiresAtMs: Millis, undelivered: readonly Undelivered[]) =>
    sessions.detach(session, expiresAtMs, undelivered),

  expiredSessions: ({ sessions }: State, options: { readonly now: Millis; readonly limit: number }) =>
    sessions.expired(options),

  extendSessions: ({ sessions }: State, untilMs: Millis) => sessions.extend(untilMs),

  closeSession: ({ sessions }: State, session: SessionRef) => sessions.close(session),

  appendEvents: ({ events }: State, batch: Uint8Array) => events.append(batch),

  announceWatch: (state: State, untilMs: Millis, now: Millis) => {
    const before = state.events.watchedUntil();
    if (untilMs > before) state.events.watchUntil(untilMs);
    if (before <= now) state.wakes.push({ kind: "watch" });
  },
} satisfies Record<Journaled, (state: State, ...args: never[]) => unknown>;
