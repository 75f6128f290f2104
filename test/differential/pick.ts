/** What draws choose from: the small world of topics and ids, and what the model holds right now. */
import type { SessionId, TaskId, TopicName } from "../../server/domain/ids.js";
import { TASK_STATES, type TaskState } from "../../server/domain/states.js";
import type { Millis } from "../../server/domain/task.js";
import type { NewTask, Store } from "../../server/store/store.js";
import type { Random } from "../support/random.js";
import type { Snapshot } from "../support/snapshot.js";
import { newTask, sessionId, taskId, topicName } from "../support/task-factory.js";
import type { Call, DemandPick, LeasePick, SessionPick, World } from "./call.js";

export const TOPICS = ["t", "t:u", "__proto__"].map(topicName);
export const IDS = ["a", "b", "task-1", "task-10", "e", "u:a", "constructor", "7", "10", "BABEL7A", "~", "="].map(
  taskId,
);
export const NOBODY = taskId("nobody");
export const EXTERNAL_IDS = ["", "", "e", "Größe 🗝"];
export const RETENTIONS_MS = [0, 0, 100, 2_000, 10_000];

/** What a draw looks at. */
export interface View {
  readonly random: Random;
  readonly world: World;
  readonly snapshot: Snapshot;
  readonly now: Millis;
  readonly endedWindowMs: Millis;
  /** Numbers sessions. */
  readonly opened: number;
}

export type Draw = (view: View) => Call;

export function call<Args extends readonly unknown[]>(
  verb: keyof Store,
  prepare: (world: World) => Args,
  make: (store: Store, args: Args, seen: unknown) => Promise<unknown>,
  /** Of the topic that the first argument names, unless they name their own. */
  subjects: (args: Args) => readonly { readonly id: TaskId; readonly topic?: TopicName }[] = () => [],
  notes: (world: World, args: Args) => readonly string[] = () => [],
): Call {
  return {
    verb,
    prepare(world) {
      const args = prepare(world);
      return {
        args,
        subjects: subjects(args).map(({ id, topic }) => ({ id, topic: topic ?? topicName(String(args[0])) })),
        notes: notes(world, args),
        make: (store, seen) => make(store, args, seen),
      };
    },
  };
}

export const asSubjects = (ids: readonly TaskId[]) => ids.map((id) => ({ id }));

export function tasksIn({ snapshot }: View, topic: TopicName, states: readonly TaskState[] = TASK_STATES): TaskId[] {
  const row = snapshot.topics.find((candidate) => candidate.topic === topic);
  return row === undefined ? [] : states.flatMap((state) => row.tasks[state].map((task) => task.id));
}

/** A topic, most likely one with tasks in one of `states`. */
export function pickTopic(view: View, states: readonly TaskState[]): TopicName {
  const fitting = TOPICS.filter((topic) => tasksIn(view, topic, states).length > 0);
  return view.random.pick(fitting.length > 0 && view.random.chance(0.85) ? fitting : TOPICS);
}

/** An id, most likely of a task in one of `states`. */
export function pickId(view: View, topic: TopicName, states: readonly TaskState[]): TaskId {
  const { random } = view;
  const fitting = tasksIn(view, topic, states);
  if (fitting.length > 0 && random.chance(0.75)) return random.pick(fitting);
  return random.chance(0.9) ? random.pick(IDS) : NOBODY;
}

export function pickIds(view: View, topic: TopicName, states: readonly TaskState[]): TaskId[] {
  return view.random.several(1, 4, () => pickId(view, topic, states));
}

/** Leases to report on: held ones mostly, then lost, repeated, foreign and mistaken ones. */
export function pickLeases(view: View, topic: TopicName): LeasePick[] {
  const { random } = view;
  return random.several(1, 4, () => ({
    id: pickId(view, topic, random.chance(0.65) ? ["leased"] : [random.pick(TASK_STATES)]),
    back: random.chance(0.75) ? 0 : random.int(1, 2),
    wrongSession: random.chance(0.04),
  }));
}

/** Whether a mistaken session meets a held lease. Where a token repeats an outcome, whose it was is not looked at. */
export function isClear(world: World, topic: TopicName, pick: LeasePick, picks: readonly LeasePick[]): boolean {
  const alone = picks.filter(({ id }) => id === pick.id).length === 1;
  return !pick.wrongSession || (alone && world.state(topic, pick.id) === "leased");
}

export function pickSession(view: View): SessionPick {
  const { random, snapshot } = view;
  const known = snapshot.sessions.map((session) => session.id);
  const id = known.length > 0 && random.chance(0.93) ? random.pick(known) : sessionId(`s${random.int(0, view.opened)}`);
  return { id, back: random.chance(0.92) ? 0 : random.pick([1, -1]) };
}

/** Sessions that hold leases on the topic. */
export function holdersOn({ snapshot }: View, topic: TopicName): SessionId[] {
  return snapshot.topics.flatMap((row) => (row.topic === topic ? row.held.map((lease) => lease.session) : []));
}

/** Demands mostly of sessions that are open on the topic. */
export function pickDemands(view: View, topic: TopicName): DemandPick[] {
  const { random, snapshot, world } = view;
  const open = snapshot.sessions.filter(({ id }) => world.serves(topic, id)).map(({ id }) => ({ id, back: 0 }));
  return random.several(1, 3, () => ({
    session: open.length > 0 && random.chance(0.85) ? random.pick(open) : pickSession(view),
    limit: random.int(1, 4),
    bytesMax: random.chance(0.8) ? 1_000_000 : random.int(0, 60),
  }));
}

/** Moments around now, some of them met exactly by a later step. */
export function pickMoment({ random, now }: View): Millis {
  return now + random.pick([-10, 0, 0, 1, 5, 10, 100, 1000]);
}

export function pickTask(view: View): NewTask {
  const { random } = view;
  return newTask(random.pick(IDS), {
    enqueuedAtMs: view.now - random.int(0, 3),
    priority: random.pick([0, 0, 0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]),
    externalId: random.pick(EXTERNAL_IDS),
    retentionMs: random.pick(RETENTIONS_MS),
    ...(random.chance(0.1) ? { numRetries: random.int(0, 3), timeoutMs: random.int(0, 9) } : {}),
    spec: "x".repeat(random.pick([0, 1, 20, 40])),
    dueAtMs: random.chance(0.6) ? 0 : pickMoment(view),
  });
}

export function unique<Item>(items: readonly Item[]): Item[] {
  return [...new Set(items)].sort();
}
