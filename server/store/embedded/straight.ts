/**
 * enqueueStraight and completeStraight: plain tasks of any topics that never
 * wait. They go to their worker without passing the queue and have no status:
 * that they are leased is known from memory, and from their bodies.
 *
 * A call is one entry in the journal, declined tasks included: they are declined
 * again when it is replayed. Whatever is of a topic and not of a task is done once for
 * tasks of one topic that follow each other. Nothing here waits or schedules, so
 * nobody is woken.
 *
 * Declined is what the contract names, and a record too large for a body. A topic that does
 * not exist yet comes into being by its first task: that a session is open on it makes its name known.
 */
import type { TopicName } from "../../domain/ids.js";
import type { Leased, SessionRef, TopicLeaseRef, TopicTask } from "../store.js";
import { Change, type Ending } from "./change.js";
import type { Tables } from "./database.js";
import { EndedOfTopics } from "./ended-of-topics.js";
import { arrive, isKnown, mayGoStraight } from "./enqueue.js";
import { Handing, isOpen } from "./lease.js";
import { completePlain, heldLease } from "./settle.js";
import type { Topics } from "./topic-state.js";

/** What the verbs here need of the store's state. */
interface State {
  readonly tables: Tables;
  readonly topics: Topics;
}

/** `records`: of the tasks, as they are kept. */
export function enqueueStraight(
  state: State,
  tasks: readonly TopicTask[],
  records: readonly Buffer[],
  takers: readonly SessionRef[],
  ending: Ending,
): (Leased | undefined)[] {
  const straight = new Straight(state, ending);
  const leased = tasks.map((task, index) => straight.hand(task, records[index], takers[index]));
  straight.finish();
  return leased;
}

/** One call, while it happens: where it stands in the run of tasks of one topic. */
class Straight {
  readonly #state: State;
  readonly #ending: Ending;
  #change: Change | undefined;
  #handing: Handing | undefined;
  #taker: SessionRef | undefined;
  /** A task of the topic was declined, in this run or before. */
  #isDeclined = false;
  /** Few calls decline anything. */
  #declined: Set<TopicName> | undefined;

  constructor(state: State, ending: Ending) {
    this.#state = state;
    this.#ending = ending;
  }

  hand(task: TopicTask, record: Buffer | undefined, taker: SessionRef | undefined): Leased | undefined {
    const change = this.#changeOf(task.topic);
    if (this.#isDeclined || record === undefined || taker === undefined) return undefined;
    const handing = mayGoStraight(task, record, this.#ending.now) ? this.#handingTo(change, taker) : undefined;
    if (handing === undefined || isKnown(change, task.id, this.#ending)) return this.#decline(task.topic);
    arrive(change.topic, task.id, record);
    return handing.handNew(task, record);
  }

  #changeOf(name: TopicName): Change {
    if (this.#change?.topic.name === name) return this.#change;
    this.finish();
    const { tables, topics } = this.#state;
    this.#isDeclined = this.#declined?.has(name) === true;
    this.#change = new Change(tables, topics.find(name));
    return this.#change;
  }

  #decline(topic: TopicName): undefined {
    this.#isDeclined = true;
    this.#declined ??= new Set();
    this.#declined.add(topic);
  }

  /** For tasks of the topic that follow each other and go to the same session; undefined when none may go to it. */
  #handingTo(change: Change, taker: SessionRef): Handing | undefined {
    const before = this.#taker;
    if (this.#handing !== undefined && before?.id === taker.id && before.epoch === taker.epoch) return this.#handing;
    this.#endHanding();
    const { topic } = change;
    if (topic.figures.ready > 0 || topic.settings.paused || !isOpen(change, taker)) return undefined;
    this.#state.topics.touch(topic);
    this.#taker = taker;
    this.#handing = new Handing(change, taker.id, this.#ending.now);
    return this.#handing;
  }

  #endHanding(): void {
    this.#handing?.finish();
    this.#handing = undefined;
  }

  /** Ends the run. */
  finish(): void {
    this.#endHanding();
    this.#change = undefined;
  }
}

/** A lease that came the ordinary way is completed as well, if it is of a task that goes without a trace but its id. */
export function completeStraight(
  { tables, topics }: State,
  leases: readonly TopicLeaseRef[],
  ending: Ending,
): boolean[] {
  const ended = new EndedOfTopics(tables, ending);
  let change: Change | undefined;
  const done: boolean[] = [];
  for (const ref of leases) {
    if (change?.topic.name !== ref.topic) {
      change?.finish();
      change = new Change(tables, topics.find(ref.topic));
    }
    const lease = heldLease(change, ref);
    done.push(lease?.plain === true);
    if (lease?.plain !== true) continue;
    topics.touch(change.topic);
    completePlain(change, ref.id, lease, ending);
    ended.add(change.topic.number, ref.id);
  }
  change?.finish();
  ended.finish();
  return done;
}
