/**
 * A call of one verb, drawn once and made against several stores.
 *
 * What a call names is kept by relation, not by value: "the latest lease of task
 * a", "the epoch before this one". It is looked up in the World when the call is
 * made, so that a call stays meaningful when the calls before it are left out,
 * which is what makes failures shrink well.
 */
import type { LeaseToken, SessionId, TaskId, TopicName } from "../../server/domain/ids.js";
import type { TaskState } from "../../server/domain/states.js";
import type { Millis } from "../../server/domain/task.js";
import type {
  Demand,
  Leased,
  LeaseRef,
  SessionRecord,
  SessionRef,
  Store,
  TopicLeaseRef,
  TopicTask,
} from "../../server/store/store.js";
import { FOREIGN_TOKEN, sessionId } from "../support/task-factory.js";
import type { ModelStore } from "./model.js";

interface Ending {
  readonly now: Millis;
  readonly endedWindowMs: Millis;
}

export interface Call {
  readonly verb: keyof Store;
  /** Looks up what the call names, before it is made. */
  prepare(world: World): PreparedCall;
}

export interface PreparedCall {
  /** For people. */
  readonly args: readonly unknown[];
  /** The tasks it is about, when its answer has an outcome for each. */
  readonly subjects: readonly Subject[];
  /** What is special about it, for the coverage. */
  readonly notes: readonly string[];
  /**
   * Makes the call; leaves out of the answer what the contract leaves open. `seen` is what
   * another store answered: where the contract lets a store decline of its own accord, what that one
   * declined is left out of the call.
   */
  make(store: Store, seen?: unknown): Promise<unknown>;
}

export interface Subject {
  readonly topic: TopicName;
  readonly id: TaskId;
}

/** Names a lease of a task: the latest, or one `back` leases before it. */
export interface LeasePick {
  readonly id: TaskId;
  readonly back: number;
  readonly wrongSession: boolean;
}

/** Names a session at its epoch, or `back` epochs before it. */
export interface SessionPick {
  readonly id: SessionId;
  readonly back: number;
}

export interface DemandPick {
  readonly session: SessionPick;
  readonly limit: number;
  readonly bytesMax: number;
}

/** The model, and what it answered so far, as far as calls refer to it. */
export class World {
  readonly #model: ModelStore;
  readonly #leases = new Map<string, LeaseRef[]>();
  /** Topic and token of leases of tasks that went straight. */
  readonly #straight = new Set<string>();
  readonly #epochs = new Map<SessionId, number>();

  constructor(model: ModelStore) {
    this.#model = model;
  }

  state(topic: TopicName, id: TaskId): TaskState | "absent" {
    return this.#model.peek(topic, id).now?.state ?? "absent";
  }

  /** Why the contract forbids that a task goes straight, as things are. */
  whyDeclined(task: TopicTask, taker: SessionRef, ending: Ending): string | undefined {
    return this.#model.whyDeclined(task, taker, ending);
  }

  /** What became of a lease since it was handed out, and how it was; undefined when it is not held. */
  story({ topic, id, session, token }: TopicLeaseRef): string | undefined {
    const { now } = this.#model.peek(topic, id);
    if (now?.state !== "leased" || now.lease.token !== token || now.lease.session !== session) return undefined;
    if (now.cancelRequested) return "cancelling asked for";
    if (now.progress !== undefined) return "with progress";
    return this.#straight.has(`${topic} ${token}`) ? "untouched" : "leased the ordinary way";
  }

  serves(topic: TopicName, session: SessionId): boolean {
    return this.#model.serves(topic, session);
  }

  /** Takes in what a call came to: who was given leases, which session has a new epoch. */
  saw([topic]: readonly unknown[], answer: unknown): void {
    if (typeof answer !== "object" || answer === null) return;
    if ("leased" in answer && Array.isArray(answer.leased)) {
      // Those that went straight name their topic.
      const leased: readonly (Leased & { readonly topic?: TopicName })[] = answer.leased;
      for (const { topic: own, id, session, token } of leased) {
        if (own !== undefined) this.#straight.add(`${own} ${token}`);
        this.#history(own ?? String(topic), id).push({ id, session, token });
      }
    }
    if ("kind" in answer && answer.kind === "resumed" && "session" in answer) {
      const session = answer.session as SessionRecord;
      this.#epochs.set(session.id, session.epoch);
    }
  }

  lease(topic: TopicName, { id, back, wrongSession }: LeasePick): LeaseRef {
    const lease = this.#history(topic, id).at(-1 - back) ?? { id, session: sessionId("nobody"), token: FOREIGN_TOKEN };
    return { ...lease, ...(wrongSession ? { session: sessionId("wrong") } : {}) };
  }

  /** Tokens of a session's leases, latest first, whether or not they are still held. */
  tokensOf(topic: TopicName, session: SessionId): LeaseToken[] {
    const histories = [...this.#leases].filter(([key]) => key.startsWith(`${topic} `));
    const latest = histories.flatMap(([, leases]) => leases.slice(-1));
    return latest.flatMap((lease) => (lease.session === session ? [lease.token] : [])).sort();
  }

  session({ id, back }: SessionPick): SessionRef {
    return { id, epoch: (this.#epochs.get(id) ?? 1) - back };
  }

  demand({ session, limit, bytesMax }: DemandPick): Demand {
    return { session: this.session(session), limit, bytesMax };
  }

  /** Whether a store is free to remember the id: its window is over, and twice its window is not. */
  mayBeForgotten(topic: TopicName, id: TaskId, { now, endedWindowMs }: Ending): boolean {
    const { endedAtMs } = this.#model.peek(topic, id);
    if (endedAtMs === undefined) return false;
    const agoMs = now - endedAtMs;
    return agoMs >= endedWindowMs && agoMs <= 2 * endedWindowMs;
  }

  /** Whether a store is free to recognise the token of a completion: the window is over, and the record is kept. */
  mayRecogniseToken(topic: TopicName, id: TaskId, { now, endedWindowMs }: Ending): boolean {
    const { now: situation, endedAtMs } = this.#model.peek(topic, id);
    return situation?.state === "completed" && (endedAtMs === undefined || now - endedAtMs >= endedWindowMs);
  }

  #history(topic: string, id: TaskId): LeaseRef[] {
    const key = `${topic} ${id}`;
    const history = this.#leases.get(key) ?? [];
    this.#leases.set(key, history);
    return history;
  }
}
