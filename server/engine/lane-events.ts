/** The events a lane tells, each after the stored change. Nothing is built while nobody watches, or of what is not to be told. */
import type { TaskId, TopicName } from "../domain/ids.js";
import type { Progress } from "../domain/task.js";
import type { FailOutcome, Leased, NewTask, ReleaseOutcome, TopicTask } from "../store/store.js";
import type { EngineContext } from "./context.js";
import type { EventOffer } from "./event-log.js";
import type { EventType, TaskqueueEvent } from "./events.js";
import { attemptOfLease, type HeldLease } from "./held-lease.js";
import type { Grant, SubscriptionState } from "./worker-session.js";

export function enqueued(
  context: EngineContext,
  topic: TopicName,
  tasks: readonly NewTask[],
  created: readonly boolean[],
): void {
  const offer = context.events.offer("TASK_ENQUEUE", topic, tasks.length);
  if (offer === undefined) return;
  let index = 0;
  for (const { id, head } of tasks) {
    if (created[index++] && offer.admits(id, head.externalId)) tellEnqueue(context, topic, id, head.externalId);
  }
}

function tellEnqueue(context: EngineContext, topic: TopicName, taskId: TaskId, externalId: string): void {
  context.events.emit({
    type: "TASK_ENQUEUE",
    atMs: context.now(),
    broker: context.options.broker,
    topic,
    taskId,
    ...externalIdOf(externalId),
  });
}

export function started(
  context: EngineContext,
  topic: TopicName,
  leased: readonly Leased[],
  grants: readonly Pick<Grant, "session" | "subscription">[],
): void {
  if (leased.length === 0) return;
  const offer = context.events.offer("TASK_START", topic, leased.length);
  if (offer === undefined) return;
  const workers = new Map(grants.map((grant) => [grant.session.id, grant.subscription.worker]));
  for (const lease of leased) {
    if (offer.admits(lease.id, lease.head.externalId))
      tellStart(context, topic, lease, workers.get(lease.session) ?? "");
  }
}

function tellStart(context: EngineContext, topic: TopicName, lease: Leased, worker: string): void {
  context.events.emit({
    type: "TASK_START",
    atMs: lease.leasedAtMs,
    broker: context.options.broker,
    worker,
    topic,
    taskId: lease.id,
    attempt: attemptOfLease(lease),
    ...externalIdOf(lease.head.externalId),
  });
}

/** Of tasks of any topics, each beside the lease that tells whether it went straight. */
export function wentStraight(
  context: EngineContext,
  leases: readonly (Leased | undefined)[],
  tasks: readonly { readonly task: TopicTask; readonly subscription: SubscriptionState }[],
): void {
  if (!context.events.active) return;
  const counts = new Map<TopicName, number>();
  for (let i = 0; i < tasks.length; i++) if (leases[i] !== undefined) countTopic(counts, tasks[i]?.task.topic);
  const enqueues = new Offers(context, "TASK_ENQUEUE", counts);
  const starts = new Offers(context, "TASK_START", counts);
  for (let i = 0; i < tasks.length; i++) {
    const [one, lease] = [tasks[i], leases[i]];
    if (one === undefined || lease === undefined) continue;
    const { topic, id, head } = one.task;
    if (enqueues.admits(topic, id, head.externalId)) tellEnqueue(context, topic, id, head.externalId);
    if (starts.admits(topic, id, head.externalId)) tellStart(context, topic, lease, one.subscription.worker);
  }
}

/** Of leases of any topics; `isCompleted` tells by where it is whether one was completed. */
export function completed(
  context: EngineContext,
  leases: readonly HeldLease[],
  isCompleted: (index: number) => boolean,
): void {
  if (!context.events.active) return;
  const counts = new Map<TopicName, number>();
  for (let i = 0; i < leases.length; i++) if (isCompleted(i)) countTopic(counts, leases[i]?.topic);
  const offers = new Offers(context, "TASK_COMPLETION", counts);
  for (let i = 0; i < leases.length; i++) {
    const lease = leases[i];
    if (lease === undefined || !isCompleted(i)) continue;
    if (offers.admits(lease.topic, lease.id, lease.head.externalId))
      context.events.emit(ended(context, "TASK_COMPLETION", lease));
  }
}

function countTopic(counts: Map<TopicName, number>, topic: TopicName | undefined): void {
  if (topic !== undefined) counts.set(topic, (counts.get(topic) ?? 0) + 1);
}

/** One offer for all events of a type and topic: it costs as much as some events. */
class Offers {
  readonly #offers = new Map<TopicName, EventOffer | undefined>();

  /** `counts` tells how many events there are of each topic. */
  constructor(context: EngineContext, type: EventType, counts: ReadonlyMap<TopicName, number>) {
    for (const [topic, count] of counts) this.#offers.set(topic, context.events.offer(type, topic, count));
  }

  admits(topic: TopicName, taskId: TaskId, externalId: string): boolean {
    return this.#offers.get(topic)?.admits(taskId, externalId) === true;
  }
}

export function failed(context: EngineContext, lease: HeldLease, error: string, outcome: FailOutcome): void {
  switch (outcome) {
    case "retried":
      tellEnd(context, "TASK_RETRY", lease, { error, attempt: attemptOfLease(lease) + 1 });
      return;
    case "buried":
      tellEnd(context, "TASK_FAILURE", lease, { error });
      return;
    case "aborted":
      tellEnd(context, "TASK_CANCEL", lease, { error });
      return;
    case "lease_lost":
      return;
  }
}

export function released(context: EngineContext, lease: HeldLease, outcome: ReleaseOutcome): void {
  if (outcome === "lease_lost") return;
  tellEnd(context, outcome === "aborted" ? "TASK_CANCEL" : "TASK_RELEASE", lease);
}

export function progressed(context: EngineContext, lease: HeldLease, progress: Progress): void {
  tellEnd(context, "TASK_PROGRESS", lease, { progress });
}

function tellEnd(
  context: EngineContext,
  type: EventType,
  lease: HeldLease,
  particulars: Pick<TaskqueueEvent, "error" | "attempt" | "progress"> = {},
): void {
  const offer = context.events.offer(type, lease.topic, 1);
  if (!offer?.admits(lease.id, lease.head.externalId)) return;
  context.events.emit({ ...ended(context, type, lease), ...particulars });
}

function ended(context: EngineContext, type: EventType, lease: HeldLease): TaskqueueEvent {
  const now = context.now();
  return {
    type,
    atMs: now,
    broker: context.options.broker,
    worker: lease.subscription.worker,
    topic: lease.topic,
    taskId: lease.id,
    attempt: attemptOfLease(lease),
    durationMs: Math.max(0, now - lease.leasedAtMs),
    ...externalIdOf(lease.head.externalId),
  };
}

function externalIdOf(externalId: string): { externalId?: string } {
  return externalId === "" ? {} : { externalId };
}
