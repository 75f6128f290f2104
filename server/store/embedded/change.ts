/**
 * One verb on one topic, while it happens: what it works on, and what memory
 * must do when the transaction does not come to be.
 *
 * A changer keeps this true: memory that a verb changes is either undone by
 * `undo`, or changed after the commit.
 */
import type { SessionId, TaskId } from "../../domain/ids.js";
import type { Millis } from "../../domain/task.js";
import type { Wake } from "../store.js";
import { STATE } from "./body-codec.js";
import type { Tables } from "./database.js";
import { parkedBounds, parkedMoment } from "./keys.js";
import type { Figures, Lease, TopicState, Topics } from "./topic-state.js";

/** Options of every verb that may end a task. */
export interface Ending {
  readonly now: Millis;
  readonly endedWindowMs: Millis;
}

export class Change {
  readonly tables: Tables;
  readonly topic: TopicState;
  /** Ids that ended in this verb, to be remembered. */
  readonly ended: TaskId[] = [];
  readonly #topics: Topics;
  readonly #before: Figures;
  readonly #leases: [id: TaskId, before: Lease | undefined][] = [];
  readonly #wakes: Wake[] = [];
  #dueBeforeMs: Millis | undefined;

  constructor(tables: Tables, topics: Topics, topic: TopicState) {
    this.tables = tables;
    this.topic = topic;
    this.#topics = topics;
    this.#before = { ...topic.figures };
  }

  setLease(id: TaskId, lease: Lease): void {
    this.#leases.push([id, this.topic.leases.get(id)]);
    this.topic.leases.set(id, lease);
  }

  dropLease(id: TaskId, lease: Lease): void {
    this.#leases.push([id, lease]);
    this.topic.leases.delete(id);
  }

  /** To be called before a task is scheduled, so that the wake-up can be told from the earliest due moment before. */
  beforeScheduling(): void {
    this.#dueBeforeMs ??= firstDue(this.tables, this.topic) ?? Number.POSITIVE_INFINITY;
  }

  wakeCancel(session: SessionId, token: Lease["token"]): void {
    this.#wakes.push({ kind: "cancel", topic: this.topic.name, session, token });
  }

  /** The last act of the transaction. Returns whom to wake when it is committed. */
  finish(): readonly Wake[] {
    const { name: topic, figures } = this.topic;
    if (changed(this.#before, figures)) this.#topics.save(this.topic);
    if (this.#before.ready === 0 && figures.ready > 0) this.#wakes.push({ kind: "ready", topic });
    if (this.#dueBeforeMs !== undefined) {
      const atMs = firstDue(this.tables, this.topic);
      if (atMs !== undefined && atMs < this.#dueBeforeMs) this.#wakes.push({ kind: "due", topic, atMs });
    }
    return this.#wakes;
  }

  /** The transaction failed: memory goes back to what it was. */
  undo(): void {
    this.topic.figures = this.#before;
    for (const [id, lease] of this.#leases.reverse()) {
      if (lease === undefined) this.topic.leases.delete(id);
      else this.topic.leases.set(id, lease);
    }
  }
}

function changed(before: Figures, after: Figures): boolean {
  let figure: keyof Figures;
  for (figure in before) if (before[figure] !== after[figure]) return true;
  return false;
}

/** When the earliest scheduled task is due. */
export function firstDue(tables: Tables, topic: TopicState): Millis | undefined {
  if (topic.figures.scheduled === 0) return undefined;
  const { start, end } = parkedBounds(topic.number, STATE.scheduled);
  const key = tables.parked.firstKey(start, end);
  return key === undefined ? undefined : parkedMoment(key);
}
