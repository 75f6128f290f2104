/**
 * The verbs that serve tasks of any topics: which tasks are plain enough to be
 * asked about, and calls that have those of a topic together. Without Redis Cluster
 * a call is one script; with it one for each topic.
 */
import assert from "node:assert";
import { leaseToken, type SessionId, type TaskId, type TopicName } from "../../domain/ids.js";
import { isPlain, type Millis } from "../../domain/task.js";
import type { Leased, SessionRef, TopicLeaseRef, TopicTask } from "../store.js";
import type { Connection } from "./connection.js";
import type { Keys } from "./keys.js";
import { completeStraight } from "./scripts/complete-straight.js";
import { enqueueStraight } from "./scripts/enqueue-straight.js";
import type { Sessions } from "./sessions.js";
import { type Group, packLeases, packStraight } from "./straight-packing.js";
import { isFresh, type TopicNote, type Topics } from "./topics.js";

/** To unfold a topic Redis copies what is in hand of it, at worst 4,096 tasks of this size, and serves nobody else meanwhile. */
const SPEC_BYTES_MAX = 2 * 1024;

interface Options {
  readonly now: Millis;
  readonly endedWindowMs: Millis;
}

/** A session of a call: each is told once, and named by its number, from 1. */
interface Taker extends SessionRef {
  readonly number: number;
  /** The topics on which it is open. */
  readonly topics: ReadonlySet<TopicName>;
}

/** A group that may still grow. */
interface OpenGroup extends Group {
  /** Of its tasks, once there are two of them. */
  ids: Set<TaskId> | undefined;
  /** A task of it was declined. */
  isClosed: boolean;
}

export class Straight {
  readonly #connection: Connection;
  readonly #keys: Keys;
  readonly #topics: Topics;
  readonly #sessions: Sessions;
  /** Calls so far. */
  #calls = 0;

  constructor(connection: Connection, keys: Keys, topics: Topics, sessions: Sessions) {
    this.#connection = connection;
    this.#keys = keys;
    this.#topics = topics;
    this.#sessions = sessions;
  }

  async enqueue(
    tasks: readonly TopicTask[],
    takers: readonly SessionRef[],
    { now, endedWindowMs }: Options,
  ): Promise<readonly (Leased | undefined)[]> {
    const leased = new Array<Leased | undefined>(tasks.length).fill(undefined);
    const { groups, sessions, numbers, stale } = this.#plain(tasks, takers, now);
    // They were written before: nobody need wait until they are again.
    const refreshed = stale.length > 0 ? this.#topics.refresh(stale, now) : undefined;
    const served = this.#perScope(groups, async (some, { topic }) => {
      const { packed, sizes } = packStraight(some, tasks, takers, numbers);
      const call = { topic, now, endedWindowMs, groups: some, tasks, packed, takers: sessions };
      const { firstToken, counts } = await this.#connection.run(enqueueStraight, call);
      let number = firstToken;
      let rank = 0;
      for (const { at } of some) {
        let left = counts?.[rank++] ?? at.length;
        for (const i of at) {
          if (left-- === 0) break;
          const task = tasks[i];
          const session = takers[i]?.id;
          assert(task !== undefined && session !== undefined);
          const { id, head, spec } = task;
          const token = leaseToken(number++);
          const bytes = sizes[i] ?? 0;
          leased[i] = { id, session, token, leasedAtMs: now, head, spec, bytes, failures: 0, lostLeases: 0 };
        }
      }
    });
    await Promise.all([served, refreshed]);
    return leased;
  }

  async complete(leases: readonly TopicLeaseRef[], { now, endedWindowMs }: Options): Promise<readonly boolean[]> {
    const completed = new Array<boolean>(leases.length).fill(false);
    await this.#perScope(this.#byTopic(leases), async (some, { topic }) => {
      const numbers = new Map<SessionId, number>();
      const numberOf = (session: SessionId) => {
        const known = numbers.get(session);
        if (known === undefined) numbers.set(session, numbers.size + 1);
        return known ?? numbers.size;
      };
      const packed = packLeases(some, leases, numberOf);
      const call = { topic, now, endedWindowMs, groups: some, leases, packed, sessions: [...numbers.keys()] };
      const isCompleted = await this.#connection.run(completeStraight, call);
      let rank = 0;
      for (const { at } of some) for (const i of at) completed[i] = isCompleted(rank++);
    });
    return completed;
  }

  #byTopic(leases: readonly TopicLeaseRef[]): readonly Group[] {
    const call = ++this.#calls;
    const groups: Group[] = [];
    let i = 0;
    for (const { topic } of leases) {
      const note = this.#topics.note(topic);
      const group = groupOf(groups, note, call);
      if (group === undefined) groups.push({ topic, at: [i] });
      else group.at.push(i);
      i += 1;
    }
    return groups;
  }

  /** By topic, up to the first one of each that is not plain. */
  #plain(tasks: readonly TopicTask[], takers: readonly SessionRef[], now: Millis) {
    const call = ++this.#calls;
    const groups: OpenGroup[] = [];
    const sessions = new Map<SessionId, Taker>();
    const numbers = new Array<number>(tasks.length).fill(0);
    const stale: TopicName[] = [];
    let i = -1;
    for (const task of tasks) {
      i += 1;
      const { topic, id } = task;
      const note = this.#topics.note(topic);
      const group = groupOf(groups, note, call);
      if (group?.isClosed === true) continue;
      const taker = this.#taker(sessions, takers[i]);
      // The name of a topic that is not known to be there is for `enqueue` to write.
      const goes = mayGoStraight(task, now) && note.writtenAtMs !== undefined && taker?.topics.has(topic) === true;
      numbers[i] = taker?.number ?? 0;
      if (group === undefined) {
        groups.push({ topic, at: goes ? [i] : [], ids: undefined, isClosed: !goes });
        if (goes && !isFresh(note, now)) stale.push(topic);
        continue;
      }
      group.ids ??= new Set(group.at.map((first) => tasks[first]?.id ?? id));
      group.isClosed = !goes || group.ids.has(id);
      if (group.isClosed) continue;
      group.ids.add(id);
      group.at.push(i);
    }
    const some = groups.every(isFilled) ? groups : groups.filter(isFilled);
    return { groups: some, sessions: [...sessions.values()], numbers, stale };
  }

  /** Undefined for a session that is in the call with another epoch. */
  #taker(sessions: Map<SessionId, Taker>, session: SessionRef | undefined): Taker | undefined {
    if (session === undefined) return undefined;
    const { id, epoch } = session;
    const known = sessions.get(id);
    if (known !== undefined) return known.epoch === epoch ? known : undefined;
    const taker = { id, epoch, number: sessions.size + 1, topics: this.#sessions.topicsOf(session) };
    sessions.set(id, taker);
    return taker;
  }

  async #perScope(
    groups: readonly Group[],
    serve: (groups: readonly Group[], first: Group) => Promise<void>,
  ): Promise<void> {
    const [first] = groups;
    if (first === undefined) return;
    if (this.#keys.topicsAreScopes) await Promise.all(groups.map((group) => serve([group], group)));
    else await serve(groups, first);
  }
}

/** The group of a topic that was met in this call; undefined, and the next one is its, if it was not. */
function groupOf<Open extends Group>(groups: readonly Open[], note: TopicNote, call: number): Open | undefined {
  if (note.call === call) return groups[note.rank];
  note.call = call;
  note.rank = groups.length;
  return undefined;
}

function isFilled({ at }: Group): boolean {
  return at.length > 0;
}

function mayGoStraight({ head, spec, dueAtMs }: TopicTask, now: Millis): boolean {
  return isPlain(head) && dueAtMs <= now && spec.length <= SPEC_BYTES_MAX;
}
