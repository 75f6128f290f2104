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
import { numberKey, parkedBounds, parkedMoment } from "./keys.js";
import { type Group, groupRow, type Lease, settleGroup } from "./leases.js";
import type { Figures, TopicState, Topics } from "./topic-state.js";

/** Options of every verb that may end a task. */
export interface Ending {
  readonly now: Millis;
  readonly endedWindowMs: Millis;
}

/** A topic as verbs see it that change nothing; a Change is one too. */
export interface Place {
  readonly tables: Tables;
  readonly topic: TopicState;
  /** The row of a group of leases, where it may have been read already. */
  row?(group: Group): Buffer;
}

export class Change implements Place {
  readonly tables: Tables;
  readonly topic: TopicState;
  /** Ids that ended in this verb, to be remembered. */
  readonly ended: TaskId[] = [];
  readonly #topics: Topics;
  readonly #before: Figures;
  readonly #leases: [id: TaskId, before: Lease | undefined][] = [];
  readonly #wakes: Wake[] = [];
  /** Groups that leases have left, and rows that were read. */
  readonly #touched = new Set<Group>();
  readonly #rows = new Map<Group, Buffer>();
  #dueBeforeMs: Millis | undefined;

  constructor(tables: Tables, topics: Topics, topic: TopicState) {
    this.tables = tables;
    this.topic = topic;
    this.#topics = topics;
    this.#before = { ...topic.figures };
  }

  setLease(id: TaskId, lease: Lease): void {
    const before = this.topic.leases.get(id);
    if (before !== undefined && before.group !== lease.group) this.#touched.add(before.group);
    this.#leases.push([id, before]);
    this.topic.leases.set(id, lease);
  }

  dropLease(id: TaskId, lease: Lease): void {
    this.#touched.add(lease.group);
    this.#leases.push([id, lease]);
    this.topic.leases.delete(id);
  }

  /** The row of a group as it was at the beginning of the verb, or as `setRow` left it. */
  row(group: Group): Buffer {
    let row = this.#rows.get(group);
    if (row === undefined) {
      row = groupRow(this.tables, this.topic.number, group);
      this.#rows.set(group, row);
    }
    return row;
  }

  setRow(group: Group, row: Buffer): void {
    this.tables.leased.put(numberKey(this.topic.number, group.number), row);
    this.#rows.set(group, row);
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
    const { name: topic, figures, number, leases } = this.topic;
    for (const group of this.#touched) settleGroup(this.tables, number, leases, group);
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
