/**
 * The verbs that serve tasks of any topics: which tasks are plain enough to be
 * asked about, and calls that have those of a topic together. Without Redis Cluster
 * a call is one script; with it one for each topic.
 */
import assert from "node:assert";
import { leaseToken, type TaskId, type TopicName } from "../../domain/ids.js";
import type { Millis } from "../../domain/task.js";
import type { Leased, SessionRef, TopicLeaseRef, TopicTask } from "../store.js";
import type { Connection } from "./connection.js";
import type { Keys } from "./keys.js";
import { completeStraight } from "./scripts/complete-straight.js";
import { enqueueStraight } from "./scripts/enqueue-straight.js";
import type { Sessions } from "./sessions.js";
import { type Group, Numbers, packLeases, packStraight } from "./straight-packing.js";
import type { Topics } from "./topics.js";

/** To unfold a topic Redis copies what is in hand of all: 4,096 tasks of this size in some ten milliseconds. */
const SPEC_BYTES_MAX = 8 * 1024;

interface Options {
  readonly now: Millis;
  readonly endedWindowMs: Millis;
}

export class Straight {
  readonly #connection: Connection;
  readonly #keys: Keys;
  readonly #topics: Topics;
  readonly #sessions: Sessions;

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
    const numbers = new Numbers();
    const groups = this.#plain(tasks, takers, numbers, now);
    // A task must not be where nobody looks.
    const unknown = groups.filter(({ topic }) => !this.#topics.knows(topic, now)).map(({ topic }) => topic);
    if (unknown.length > 0) await this.#topics.registerAll(unknown, now);
    const serve = async (some: readonly Group[], { topic }: Group) => {
      const { packed, sizes } = packStraight(some, tasks, takers, numbers);
      const call = { topic, now, endedWindowMs, groups: some, tasks, packed, takers: numbers.sessions };
      const { firstToken, counts } = await this.#connection.run(enqueueStraight, call);
      let number = firstToken;
      let k = 0;
      for (const { at } of some) {
        let left = counts[k++] ?? 0;
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
    };
    await this.#perScope(groups, serve);
    return leased;
  }

  async complete(leases: readonly TopicLeaseRef[], { now, endedWindowMs }: Options): Promise<readonly boolean[]> {
    const completed = new Array<boolean>(leases.length).fill(false);
    const groups = new Map<TopicName, OpenGroup>();
    let n = 0;
    for (const { topic } of leases) groupOf(groups, topic).at.push(n++);
    await this.#perScope([...groups.values()], async (some, { topic }) => {
      const numbers = new Numbers();
      const packed = packLeases(some, leases, numbers);
      const sessions = numbers.sessions.map(({ id }) => id);
      const call = { topic, now, endedWindowMs, groups: some, leases, packed, sessions };
      const isCompleted = await this.#connection.run(completeStraight, call);
      let rank = 0;
      for (const { at } of some) for (const i of at) completed[i] = isCompleted(rank++);
    });
    return completed;
  }

  /** By topic, up to the first one of each that is not plain. */
  #plain(tasks: readonly TopicTask[], takers: readonly SessionRef[], numbers: Numbers, now: Millis): readonly Group[] {
    const groups = new Map<TopicName, OpenGroup>();
    let i = -1;
    for (const task of tasks) {
      i += 1;
      const group = groupOf(groups, task.topic);
      if (group.ended === true) continue;
      const taker = takers[i];
      const goes =
        taker !== undefined &&
        isPlain(task, now) &&
        this.#sessions.serves(taker, task.topic) &&
        numbers.of(taker) !== undefined;
      if (group.at.length > 0) group.ids ??= new Set(group.at.map((first) => tasks[first]?.id ?? task.id));
      if (!goes || group.ids?.has(task.id) === true) {
        group.ended = true;
        continue;
      }
      group.ids?.add(task.id);
      group.at.push(i);
    }
    return [...groups.values()].filter(({ at }) => at.length > 0);
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

/** A group that may still grow. */
interface OpenGroup extends Group {
  /** Of its tasks, once there are two of them. */
  ids?: Set<TaskId>;
  /** A task of it was declined. */
  ended?: boolean;
}

function groupOf(groups: Map<TopicName, OpenGroup>, topic: TopicName): OpenGroup {
  const known = groups.get(topic);
  if (known !== undefined) return known;
  const group = { topic, at: [] };
  groups.set(topic, group);
  return group;
}

function isPlain({ head, spec, dueAtMs }: TopicTask, now: Millis): boolean {
  const { priority, externalId, retentionMs } = head;
  const isUsual = priority === 0 && externalId === "" && retentionMs === 0;
  return isUsual && dueAtMs <= now && spec.length <= SPEC_BYTES_MAX;
}
