/** The events a lane tells, each after the stored change. Nothing is built while nobody watches, or of what is not to be told. */
import type { TopicName } from "../domain/ids.js";
import type { Progress } from "../domain/task.js";
import type { CompleteOutcome, FailOutcome, Leased, NewTask, ReleaseOutcome, TopicTask } from "../store/store.js";
import type { EngineContext } from "./context.js";
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
    if (!created[index++] || !offer.admits(id, head.externalId)) continue;
    context.events.emit({
      type: "TASK_ENQUEUE",
      atMs: context.now(),
      broker: context.options.broker,
      topic,
      taskId: id,
      ...externalIdOf(head.externalId),
    });
  }
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
    if (!offer.admits(lease.id, lease.head.externalId)) continue;
    context.events.emit({
      type: "TASK_START",
      atMs: lease.leasedAtMs,
      broker: context.options.broker,
      worker: workers.get(lease.session) ?? "",
      topic,
      taskId: lease.id,
      attempt: attemptOfLease(lease),
      ...externalIdOf(lease.head.externalId),
    });
  }
}

export function completed(
  context: EngineContext,
  topic: TopicName,
  leases: readonly HeldLease[],
  outcomes: readonly CompleteOutcome[],
): void {
  const offer = context.events.offer("TASK_COMPLETION", topic, leases.length);
  if (offer === undefined) return;
  let index = 0;
  for (const lease of leases) {
    if (outcomes[index++] !== "completed" || !offer.admits(lease.id, lease.head.externalId)) continue;
    context.events.emit(ended(context, "TASK_COMPLETION", lease));
  }
}

/** Of tasks of any topics, each beside the lease that tells whether it went straight. */
export function wentStraight(
  context: EngineContext,
  leases: readonly (Leased | undefined)[],
  tasks: readonly { readonly task: TopicTask; readonly subscription: SubscriptionState }[],
): void {
  if (!context.events.active) return;
  const went = tasks.flatMap(({ task, subscription }, index) => {
    const lease = leases[index];
    return lease === undefined ? [] : [{ topic: task.topic, task, lease, subscription }];
  });
  for (const [topic, some] of byTopic(went)) {
    enqueued(
      context,
      topic,
      some.map(({ task }) => task),
      some.map(() => true),
    );
    started(
      context,
      topic,
      some.map(({ lease }) => lease),
      some.map(({ subscription }) => ({ session: subscription.holder.ref, subscription })),
    );
  }
}

/** Of leases of any topics: `isCompleted` tells which ones. */
export function wereCompleted(
  context: EngineContext,
  leases: readonly HeldLease[],
  isCompleted: readonly boolean[],
): void {
  if (!context.events.active) return;
  for (const [topic, some] of byTopic(leases.filter((_, index) => isCompleted[index] === true))) {
    completed(
      context,
      topic,
      some,
      some.map(() => "completed"),
    );
  }
}

/** What is told of a topic is offered at once: an offer costs as much as some events. */
function byTopic<Item extends { readonly topic: TopicName }>(items: readonly Item[]): Map<TopicName, Item[]> {
  const groups = new Map<TopicName, Item[]>();
  for (const item of items) {
    const group = groups.get(item.topic);
    if (group === undefined) groups.set(item.topic, [item]);
    else group.push(item);
  }
  return groups;
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
