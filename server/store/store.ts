/**
 * The contract between the broker and whatever keeps its tasks.
 *
 * A store keeps the tasks of one namespace and changes them by verbs. Every
 * verb that names a topic is atomic: it happens wholly or not at all, and
 * nobody sees half of it. A verb takes many tasks; a refusal concerns its own
 * task and not the batch. A store answers; it does not wait, retry, schedule,
 * log, or decide policy: whether a failure is retried, who gets the next task
 * and when a session is dead are the engine's decisions.
 *
 * **Time.** Every verb that depends on time is told `now`, milliseconds on the
 * store's clock as the broker estimates it. No verb looks at a clock itself.
 *
 * **Order.** A task gets its *place* when it is enqueued: its priority, then a
 * number that rises with every enqueue of the topic. Ready tasks are leased in
 * order of place. The place is for life: a task that is retried, released,
 * expired or requeued goes back to it.
 *
 * **Batches.** The items of a call are treated one after the other: what is
 * named twice meets, the second time, what the first time left behind. A topic
 * comes into being by an enqueue that stores something, or by `configure`, and
 * stays; no other verb creates one.
 *
 * **Failure.** A verb throws `TaskqueueError` with `STORE_UNAVAILABLE` when the
 * store did not answer: the outcome is then unknown, and the verb may be called
 * again as it stands. Repeating is safe for every verb: enqueue recognises ids;
 * complete, fail and release recognise tokens; leases whose answer was lost are
 * found by `held`. It throws `STORE_FULL` or `STORE_READ_ONLY` when nothing was
 * changed. Whatever frees room (complete, fail, release, expire, remove) must
 * succeed in a full store as far as the store can manage it.
 *
 * **Topics together.** `enqueueStraight` and `completeStraight` take tasks of
 * any topics: where traffic is spread over thousands of topics, a call for each
 * costs many times what its task costs. They may decline whatever is unusual.
 *
 * **Bounds.** At most `LIMITS.batchMax` tasks in a call. No verb's cost grows
 * with what is stored, beyond a logarithm.
 */

import type { LeaseToken, SessionId, TaskId, TopicName } from "../domain/ids.js";
import type { DeadReason, TaskState } from "../domain/states.js";
import type { Millis, Progress, TaskHead, TaskRecord } from "../domain/task.js";
import type { TopicSettings, TopicStats } from "../domain/topic.js";

/** A task to enqueue. */
export interface NewTask {
  readonly id: TaskId;
  readonly head: TaskHead;
  readonly spec: Uint8Array;
  /** When it is due; a moment not after `now` means ready at once. */
  readonly dueAtMs: Millis;
}

/** A task to enqueue, and where. */
export interface TopicTask extends NewTask {
  readonly topic: TopicName;
}

/** Names a session as a broker knows it. */
export interface SessionRef {
  readonly id: SessionId;
  readonly epoch: number;
}

/**
 * A wish for tasks on behalf of a session. It names the epoch, so that a broker
 * from which the session moved away can lease nothing more for it: such a lease
 * would be known to nobody.
 */
export interface Demand {
  readonly session: SessionRef;
  /** Tasks, at least 1. */
  readonly limit: number;
  /** Bytes of records; the first task of a demand is handed out whatever its size. */
  readonly bytesMax: number;
}

/** A task that was handed out. */
export interface Leased {
  readonly id: TaskId;
  readonly session: SessionId;
  readonly token: LeaseToken;
  readonly leasedAtMs: Millis;
  readonly head: TaskHead;
  readonly spec: Uint8Array;
  /** Bytes of the record: what it counts for in `bytesMax` and in the topic's bytes. */
  readonly bytes: number;
  readonly failures: number;
  readonly lostLeases: number;
}

/** Names a lease. */
export interface LeaseRef {
  readonly id: TaskId;
  readonly session: SessionId;
  readonly token: LeaseToken;
}

/** Names a lease among those of all topics. */
export interface TopicLeaseRef extends LeaseRef {
  readonly topic: TopicName;
}

export interface Completion extends LeaseRef {
  readonly result?: Uint8Array;
}

/** A failed attempt with the engine's decision about it. */
export interface Failure extends LeaseRef {
  readonly error: string;
  readonly next:
    | { readonly kind: "retry"; readonly dueAtMs: Millis }
    | { readonly kind: "bury"; readonly reason: DeadReason };
}

export interface ProgressNote extends LeaseRef {
  readonly progress: Progress;
}

/**
 * What a verb that hands out tasks leased to whom, and how many ready tasks
 * are left: 0 tells the dispatcher to wait for a wake-up. `lostSessions` names
 * demands that got nothing because the session is not open on this topic at
 * that epoch; a paused topic hands out nothing and says `ready: 0`.
 */
export interface LeaseAnswer {
  readonly leased: readonly Leased[];
  readonly ready: number;
  readonly lostSessions: readonly SessionId[];
}

export type EnqueueAnswer =
  | ({
      readonly kind: "enqueued";
      /** Per task: whether it is new. False: the id exists, or ended within the window. */
      readonly created: readonly boolean[];
    } & LeaseAnswer)
  /** A bound of the topic would be broken; nothing was stored or handed out. `tasks` and `bytes` are held already. */
  | { readonly kind: "full"; readonly tasks: number; readonly bytes: number };

export type CompleteOutcome = "completed" | "lease_lost";
/** `aborted`: a person had asked to cancel the task, so instead of being retried it is cancelled. */
export type FailOutcome = "retried" | "buried" | "aborted" | "lease_lost";
export type ReleaseOutcome = "released" | "aborted" | "lease_lost";

/** What became of a lease whose session ended. */
export interface Expired {
  readonly id: TaskId;
  readonly externalId: string;
  readonly outcome: "expired" | "buried" | "released" | "aborted";
  /** After this expiry. */
  readonly failures: number;
  readonly lostLeases: number;
}

export type MoveOutcome =
  | { readonly kind: "done"; readonly externalId: string }
  | { readonly kind: "not_found" }
  | { readonly kind: "wrong_state"; readonly state: TaskState }
  /** Cancel of a leased task: noted; `session` holds it. */
  | { readonly kind: "cancel_requested"; readonly session: SessionId; readonly token: LeaseToken };

export interface ListQuery {
  /** Unset only with `externalId`: any state. */
  readonly state?: TaskState;
  readonly externalId?: string;
  /** From the page before. */
  readonly after?: string;
  readonly limit: number;
}

export interface Page<Row> {
  readonly rows: readonly Row[];
  /** Gives the next page; unset on the last one. */
  readonly next?: string;
}

export interface TopicRow {
  readonly topic: TopicName;
  readonly stats: TopicStats;
  readonly settings: TopicSettings;
}

/** A topic that a session serves; 0 concurrency means no limit but the slots. */
export interface Subscription {
  readonly topic: TopicName;
  readonly concurrency: number;
  readonly weight: number;
}

/** What a session is opened with. */
export interface NewSession {
  readonly id: SessionId;
  readonly secret: string;
  readonly worker: string;
  readonly sdk: string;
  readonly address: string;
  readonly broker: string;
  readonly subscriptions: readonly Subscription[];
  readonly slots: number;
  readonly startedAtMs: Millis;
  readonly expiresAtMs: Millis;
}

export interface SessionRecord extends NewSession {
  /**
   * Rises by one with each resume. Whoever acts for the session names the epoch
   * it knows, so that a broker which lost the session to another one is refused.
   */
  readonly epoch: number;
  /** Whether a broker holds its stream. */
  readonly attached: boolean;
  /**
   * Leases that were on their way when the stream was lost, per topic: should
   * the session expire, these are released uncharged.
   */
  readonly undelivered: readonly Undelivered[];
}

export interface Undelivered {
  readonly topic: TopicName;
  readonly tokens: readonly LeaseToken[];
}

/**
 * Something a broker wants to know without asking. `ready` and `due` follow
 * whichever verb brings the change about, and compare the topic before the verb
 * with the topic after it.
 */
export type Wake =
  /** The topic's input queue was empty and is no longer, or the topic runs again. */
  | { readonly kind: "ready"; readonly topic: TopicName }
  /** The topic's earliest scheduled task is due at `atMs`, earlier than before. */
  | { readonly kind: "due"; readonly topic: TopicName; readonly atMs: Millis }
  /** Somebody asked to cancel a task that `session` holds. */
  | { readonly kind: "cancel"; readonly topic: TopicName; readonly session: SessionId; readonly token: LeaseToken }
  /** The topic's settings changed. */
  | { readonly kind: "settings"; readonly topic: TopicName }
  /** Somebody watches events. */
  | { readonly kind: "watch" }
  /** Messages may have been lost: look at everything again. */
  | { readonly kind: "resync" };

export interface EventEntry {
  /** Where this entry stands in the log; opaque, rising. */
  readonly cursor: string;
  /** What was appended. */
  readonly batch: Uint8Array;
}

export interface EventPage {
  readonly entries: readonly EventEntry[];
  /** Where to go on: the last entry's cursor, or the one that was asked for. */
  readonly cursor: string;
  /** True when entries after the cursor asked for are no longer there. */
  readonly gap: boolean;
}

/**
 * What a scrub can find.
 *
 * - `stray_task`: a task in no state. Made ready, at its place.
 * - `two_states`: a task in more than one state. Kept in that in which it can least be lost: leased, else ready.
 * - `ghost_entry`: a place in a state's queue without the task that belongs there. Removed.
 * - `ghost_lease`: a lease without its task. Removed.
 * - `orphan_lease`: a lease of a session that does not exist, so that nobody would ever end it. Released.
 * - `ghost_note`: an error, result, progress or wish to cancel of a task that is not there. Removed.
 * - `wrong_index`: a task that is not found by its external id, or an external id without its task. Put right.
 * - `wrong_retention`: an ended task that would never be forgotten, or would be without having ended. Put right.
 * - `wrong_bytes`: the topic's bytes are not those of its tasks. Set.
 * - `wrong_count`: the topic's sizes or counters do not add up. Set, where the right figure is known.
 */
export const SCRUB_PROBLEMS = [
  "stray_task",
  "two_states",
  "ghost_entry",
  "ghost_lease",
  "orphan_lease",
  "ghost_note",
  "wrong_index",
  "wrong_retention",
  "wrong_bytes",
  "wrong_count",
] as const;

export type ScrubProblemKind = (typeof SCRUB_PROBLEMS)[number];

export interface ScrubProblem {
  readonly kind: ScrubProblemKind;
  /** The task it concerns; unset when it concerns the topic. */
  readonly id?: TaskId;
  /** For a person: what is wrong, and with what. */
  readonly detail: string;
  readonly repaired: boolean;
}

export interface ScrubOptions {
  readonly now: Millis;
  readonly endedWindowMs: Millis;
  /** From the piece before. */
  readonly after?: string;
  /** About how many things to look at in this piece. */
  readonly limit: number;
  /** Put right what can be put right safely. */
  readonly repair: boolean;
}

export interface ScrubAnswer {
  /** How many tasks, leases, entries and notes were looked at. */
  readonly checked: number;
  readonly problems: readonly ScrubProblem[];
  /** Gives the next piece; unset when the topic has been walked through. */
  readonly next?: string;
}

export interface Store {
  // ── Life ───────────────────────────────────────────────────────────────────

  /** For logs and health: what this store is and where, without secrets. */
  readonly description: string;

  /**
   * Makes the store usable. Throws a TaskqueueError that says what is wrong
   * (unreachable, not writable, in use, foreign data).
   */
  open(): Promise<void>;

  /**
   * Ends everything that `open` began. Calls under way end first; one that waits
   * for events ends at once. Closing twice is fine.
   */
  close(): Promise<void>;

  /**
   * A cheap round trip that proves the store serves writes, and tells its clock
   * and until when somebody watches events (0: nobody).
   */
  pulse(): Promise<{ readonly nowMs: Millis; readonly watchedUntilMs: Millis }>;

  /**
   * Calls `wake` for each message of any broker on this namespace, this one
   * included. A message may be lost, or come twice; each follows the change it
   * tells of. Returns how to stop.
   */
  listen(wake: (message: Wake) => void): () => void;

  // ── Tasks: the hot path ────────────────────────────────────────────────────

  /**
   * Adds tasks to a topic, and creates the topic. The order of `tasks` is their
   * order in the queue. All or nothing: when `tasksMax` or `bytesMax` (0: no
   * bound) would be exceeded nothing is stored. A call without a new task
   * exceeds nothing.
   *
   * A task whose id exists in the topic, or ended less than `endedWindowMs` ago
   * (at least; a store may remember up to twice as long), is left as it is and
   * answered `created: false`. The same id twice in one call is created once.
   *
   * Then serves `demands` as `lease` does, in the same step.
   *
   * Wakes with `ready` when the input queue was empty and is no longer, and
   * with `due` when the earliest due moment moved forward.
   */
  enqueue(
    topic: TopicName,
    tasks: readonly NewTask[],
    options: {
      readonly now: Millis;
      readonly endedWindowMs: Millis;
      readonly tasksMax: number;
      readonly bytesMax: number;
      readonly demands?: readonly Demand[];
    },
  ): Promise<EnqueueAnswer>;

  /**
   * Adds tasks to any topics, and leases each at once to the session beside it in
   * `takers`, as `enqueue` with a demand for it would. Only where that is plain
   * to see: nothing waits in the topic, which is not paused and has a name that is
   * known; the task is due, with priority 0, no external id and no retention; its id is
   * certainly new; the session is open on the topic at that epoch. Bounds of the topic are not looked at.
   *
   * Answers per task the lease; or undefined where the store *declined*, for one of these
   * reasons or one of its own: then nothing was done about the task, and `enqueue` is there for
   * it. What comes behind a declined task of the same topic is declined as well.
   *
   * Each task is stored and leased wholly or not at all. When the store did not answer, that
   * is unknown of each: `enqueue` recognises the ids, and `held` finds the leases.
   */
  enqueueStraight(
    tasks: readonly TopicTask[],
    takers: readonly SessionRef[],
    options: { readonly now: Millis; readonly endedWindowMs: Millis },
  ): Promise<readonly (Leased | undefined)[]>;

  /**
   * leased → completed for leases of any topics, as `complete` does it without
   * demands, where it is plain to see: the task went straight, and nothing was done about it
   * since. Answers per lease whether it did so. Where it did not, nothing was done, and `complete` tells
   * what there is to tell. No lease twice.
   */
  completeStraight(
    leases: readonly TopicLeaseRef[],
    options: { readonly now: Millis; readonly endedWindowMs: Millis },
  ): Promise<readonly boolean[]>;

  /**
   * Hands out ready tasks in order of place, to the demands in their order, and
   * starts a lease on each. Never waits: an empty topic gives an empty answer.
   * Until its lease ends a task is given to nobody else. Tokens rise with every
   * lease of the topic, and never fall behind `now` (`fenceAt`). A demand of a
   * session that is not open on the topic, or is open at another epoch, gets
   * nothing and is named in `lostSessions`. A demand ends at the first task that
   * would exceed its `bytesMax`; that task goes to the next demand.
   */
  lease(topic: TopicName, demands: readonly Demand[], options: { readonly now: Millis }): Promise<LeaseAnswer>;

  /**
   * leased → completed, for each lease that is still held. Keeps the record for
   * its retention, or removes it; remembers the id for `endedWindowMs`.
   *
   * The token decides, not time: a late report of a lease nobody has taken away
   * is good. A completion repeated within the window, with its token, is answered
   * `completed` again. A task whose cancelling was asked for completes all the same.
   *
   * Then serves `demands` as `lease` does, in the same step.
   */
  complete(
    topic: TopicName,
    completions: readonly Completion[],
    options: { readonly now: Millis; readonly endedWindowMs: Millis; readonly demands?: readonly Demand[] },
  ): Promise<{ readonly outcomes: readonly CompleteOutcome[] } & LeaseAnswer>;

  /**
   * leased → scheduled, or dead, as decided; `failures` rises by one and the
   * error is kept. When cancelling was asked for: leased → cancelled instead,
   * and neither `failures` nor the error change. A due moment not after `now`
   * makes the task ready at once. A failure repeated with the token of the
   * task's latest failure is answered `retried` or `buried` as before, until the
   * task is leased, cancelled, requeued or removed.
   */
  fail(
    topic: TopicName,
    failures: readonly Failure[],
    options: { readonly now: Millis; readonly endedWindowMs: Millis },
  ): Promise<readonly FailOutcome[]>;

  /**
   * leased → ready, at its old place, uncharged; or → cancelled when that was
   * asked for. Repeated, it finds the lease lost.
   */
  release(
    topic: TopicName,
    leases: readonly LeaseRef[],
    options: { readonly now: Millis; readonly endedWindowMs: Millis },
  ): Promise<readonly ReleaseOutcome[]>;

  /** Keeps the latest progress of running attempts, and tells which leases are lost. An empty note only asks. */
  progress(
    topic: TopicName,
    notes: readonly (LeaseRef & { readonly progress?: Progress })[],
  ): Promise<readonly ("held" | "lease_lost")[]>;

  /** All leases of a session in a topic: what its broker compares with its own knowledge after a lost answer. */
  held(topic: TopicName, session: SessionId): Promise<readonly Leased[]>;

  // ── Tasks: the broker's duties ─────────────────────────────────────────────

  /**
   * scheduled → ready for up to `limit` tasks due at `now`, the earliest first.
   * Tells how many, and when the next one is due (it may be due already). Wakes like enqueue.
   */
  promote(
    topic: TopicName,
    options: { readonly now: Millis; readonly limit: number },
  ): Promise<{ readonly promoted: number; readonly nextDueMs?: Millis }>;

  /**
   * Ends the session's hold on the topic: from now on it leases nothing there,
   * and up to `limit` of its leases end. `charge` "lost": each counts a lost
   * lease, takes `error` as its error, and goes leased → ready at its old place,
   * or → dead with reason `lost_leases` once it has lost `lostLeasesMax`; both
   * are counted as `expired`. Those named in `undelivered` are released instead.
   * `charge` "none": all are released. Where cancelling was asked for: →
   * cancelled, uncharged. Call again while `more`. In no particular order.
   */
  expire(
    topic: TopicName,
    session: SessionId,
    options: {
      readonly now: Millis;
      readonly charge: "lost" | "none";
      readonly undelivered: readonly LeaseToken[];
      readonly lostLeasesMax: number;
      readonly error: string;
      readonly endedWindowMs: Millis;
      readonly limit: number;
    },
  ): Promise<{ readonly expired: readonly Expired[]; readonly more: boolean }>;

  /**
   * Forgets up to `limit` kept tasks whose retention is over at `now`, and ids
   * whose window is over. Tells how many tasks, and when the next retention ends
   * (it may be over already).
   */
  prune(
    topic: TopicName,
    options: { readonly now: Millis; readonly endedWindowMs: Millis; readonly limit: number },
  ): Promise<{ readonly pruned: number; readonly nextMs?: Millis }>;

  // ── Tasks: a person's decisions ────────────────────────────────────────────

  /** One record per id, in order; undefined where there is none. */
  get(topic: TopicName, ids: readonly TaskId[]): Promise<readonly (TaskRecord | undefined)[]>;

  /**
   * A page of tasks. Ready ones by place, scheduled ones by due moment then
   * place, leased ones by session then id, ended ones by the moment they ended
   * then place; by external id, in order of id. Throws INVALID_ARGUMENT on a
   * cursor it did not make, or made for another state or external id.
   */
  list(topic: TopicName, query: ListQuery): Promise<Page<TaskRecord>>;

  /**
   * dead or cancelled → ready, at the old place, with failures and lost leases
   * 0 again; the error stays. `oldestDead`: instead of ids, that many from the front of the dead
   * queue; the answer then also tells their ids.
   */
  requeue(
    topic: TopicName,
    which: { readonly ids: readonly TaskId[] } | { readonly oldestDead: number },
    options: { readonly now: Millis },
  ): Promise<{ readonly ids: readonly TaskId[]; readonly outcomes: readonly MoveOutcome[]; readonly more: boolean }>;

  /** scheduled or ready → cancelled: kept for its retention, or removed. A leased task is marked, and its broker woken. */
  cancel(
    topic: TopicName,
    ids: readonly TaskId[],
    options: { readonly now: Millis; readonly endedWindowMs: Millis },
  ): Promise<readonly MoveOutcome[]>;

  /** Removes tasks for good, in any state but leased. Their ids may be enqueued again at once. */
  remove(topic: TopicName, ids: readonly TaskId[]): Promise<readonly MoveOutcome[]>;

  /** Removes up to `limit` tasks in one state, oldest place or moment first. `state` is never leased. */
  purge(
    topic: TopicName,
    state: Exclude<TaskState, "leased">,
    limit: number,
  ): Promise<{ readonly deleted: number; readonly more: boolean }>;

  // ── Topics ─────────────────────────────────────────────────────────────────

  /** A page of the topics ever enqueued to or configured, by name. */
  topics(query: { readonly after?: string; readonly limit: number }): Promise<Page<TopicName>>;

  /** Stats and settings per topic, in order; zeros for a topic that does not exist. Each row is of one moment. */
  describe(topics: readonly TopicName[]): Promise<readonly TopicRow[]>;

  /**
   * Replaces the topic's settings, and creates the topic. Wakes with `settings`,
   * and with `ready` when the topic is not paused and has ready tasks.
   */
  configure(topic: TopicName, settings: TopicSettings): Promise<void>;

  // ── Sessions ───────────────────────────────────────────────────────────────

  /** Opens a session at epoch 1, attached, on all its topics. */
  openSession(session: NewSession): Promise<void>;

  /**
   * Attaches a session to a broker again, whether or not another one believes
   * it holds it, and raises the epoch, also on each of its topics: once it
   * answers, no demand with an older epoch can be served, so that `held` then
   * tells all its leases. Refused when the session is over, is being expired,
   * or the secret is wrong. `undelivered` stays as the latest
   * detach noted it.
   */
  resumeSession(
    session: { readonly id: SessionId; readonly secret: string },
    by: { readonly broker: string; readonly address: string; readonly expiresAtMs: Millis },
  ): Promise<{ readonly kind: "resumed"; readonly session: SessionRecord } | { readonly kind: "session_lost" }>;

  /** Extends sessions, one write each whatever they hold. `lost`: over, or resumed by somebody else. */
  renewSessions(sessions: readonly SessionRef[], expiresAtMs: Millis): Promise<readonly ("renewed" | "lost")[]>;

  /**
   * Notes that the session's stream is lost: it expires at `expiresAtMs` unless
   * resumed. Does nothing when the epoch moved on or it is being expired.
   */
  detachSession(session: SessionRef, expiresAtMs: Millis, undelivered: readonly Undelivered[]): Promise<void>;

  /**
   * Up to `limit` sessions whose expiry is not after `now`, oldest expiry first,
   * which from here on cannot be resumed or renewed. They are named again by every call until they are
   * closed, so that another broker finishes what a dead one began. Tells when
   * the next of the others expires.
   */
  expiredSessions(options: {
    readonly now: Millis;
    readonly limit: number;
  }): Promise<{ readonly sessions: readonly SessionRecord[]; readonly nextMs?: Millis }>;

  /** Moves the expiry of every live session that expires before `untilMs` to `untilMs`. After an outage. */
  extendSessions(untilMs: Millis): Promise<number>;

  /**
   * Forgets a session and its hold on its topics. The caller has ended its
   * leases by `expire`. Does nothing when the epoch moved on.
   */
  closeSession(session: SessionRef): Promise<void>;

  /** A page of sessions, by id. */
  sessions(query: { readonly after?: string; readonly limit: number }): Promise<Page<SessionRecord>>;

  // ── Events ─────────────────────────────────────────────────────────────────

  /** Appends a batch to the log, which keeps about the last `LIMITS.eventLogMax` entries. */
  appendEvents(batch: Uint8Array): Promise<void>;

  /**
   * Entries after a cursor, oldest first; without a cursor, only where the log
   * ends now. With `waitMs`, waits that long for the first one. Throws
   * INVALID_ARGUMENT on a cursor it did not make.
   */
  readEvents(options: { readonly after?: string; readonly limit: number; readonly waitMs: Millis }): Promise<EventPage>;

  /** Says that somebody watches until that moment at least, and wakes with `watch` when nobody did before. */
  announceWatch(untilMs: Millis): Promise<void>;

  // ── Proof ──────────────────────────────────────────────────────────────────

  /**
   * Proves a piece of a topic: each task is in exactly one state, each entry of
   * a state has its task, each lease a session that exists, what is kept beside
   * tasks has its task, and the figures add up. A topic that nobody damaged has
   * no problems, however busy it is: each step is atomic, and what merely moved
   * meanwhile is no problem. Figures that take a whole walk to add up (bytes)
   * are judged only when the topic held still meanwhile.
   *
   * With `repair` each problem is put right in the step that found it, as
   * SCRUB_PROBLEMS tells; nothing accepted is lost by it, a task may run again.
   * Wakes like the verbs that a repair resembles. Throws INVALID_ARGUMENT on a
   * cursor it did not make, or made for another topic.
   */
  scrub(topic: TopicName, options: ScrubOptions): Promise<ScrubAnswer>;
}
