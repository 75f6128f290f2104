/** One verb on one topic, while it happens: what it works on, and whom it wakes. */
import type { SessionId, TaskId } from "../../domain/ids.js";
import type { Millis } from "../../domain/task.js";
import type { Wake } from "../store.js";
import { STATE } from "./body-codec.js";
import type { Tables } from "./database.js";
import { numberKey, parkedBounds, parkedMoment } from "./keys.js";
import { type Group, groupRow, type Lease, settleGroup } from "./leases.js";
import type { TopicState } from "./topic-state.js";

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
  readonly #readyBefore: number;
  readonly #wakes: Wake[] = [];
  /** Groups that leases have left. */
  readonly #touched: Group[] = [];
  /** Rows that were read: few verbs read any. */
  #rows: Map<Group, Buffer> | undefined;
  #dueBeforeMs: Millis | undefined;

  constructor(tables: Tables, topic: TopicState) {
    this.tables = tables;
    this.topic = topic;
    this.#readyBefore = topic.figures.ready;
  }

  setLease(id: TaskId, lease: Lease): void {
    const { leases } = this.topic;
    const before = leases.get(id);
    if (before !== undefined && before.group !== lease.group) this.#touch(before.group);
    leases.set(id, lease);
  }

  dropLease(id: TaskId, lease: Lease): void {
    this.#touch(lease.group);
    this.topic.leases.delete(id);
  }

  #touch(group: Group): void {
    if (group.touched) return;
    group.touched = true;
    this.#touched.push(group);
  }

  /** The row of a group as it was at the beginning of the verb, or as `setRow` left it. */
  row(group: Group): Buffer {
    let row = this.#rows?.get(group);
    if (row === undefined) {
      row = groupRow(this.tables, this.topic.number, group);
      this.#keepRow(group, row);
    }
    return row;
  }

  setRow(group: Group, row: Buffer): void {
    this.tables.leased.put(numberKey(this.topic.number, group.number), row);
    this.#keepRow(group, row);
  }

  #keepRow(group: Group, row: Buffer): void {
    this.#rows ??= new Map();
    this.#rows.set(group, row);
  }

  /** To be called before a task is scheduled, so that the wake-up can be told from the earliest due moment before. */
  beforeScheduling(): void {
    this.#dueBeforeMs ??= firstDue(this.tables, this.topic) ?? Number.POSITIVE_INFINITY;
  }

  wakeCancel(session: SessionId, token: Lease["token"]): void {
    this.#wakes.push({ kind: "cancel", topic: this.topic.name, session, token });
  }

  /** The last act of the verb. Returns whom to wake. */
  finish(): readonly Wake[] {
    const { name: topic, figures, number, leases } = this.topic;
    for (const group of this.#touched) {
      group.touched = false;
      settleGroup(this.tables, number, leases, group);
    }
    if (this.#readyBefore === 0 && figures.ready > 0) this.#wakes.push({ kind: "ready", topic });
    if (this.#dueBeforeMs !== undefined) {
      const atMs = firstDue(this.tables, this.topic);
      if (atMs !== undefined && atMs < this.#dueBeforeMs) this.#wakes.push({ kind: "due", topic, atMs });
    }
    return this.#wakes;
  }
}

/** When the earliest scheduled task is due. */
export function firstDue(tables: Tables, topic: TopicState): Millis | undefined {
  if (topic.figures.scheduled === 0) return undefined;
  const { start, end } = parkedBounds(topic.number, STATE.scheduled);
  const key = tables.parked.firstKey(start, end);
  return key === undefined ? undefined : parkedMoment(key);
}
