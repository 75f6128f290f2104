/** The events a lane tells, each after the stored change. Nothing is built while nobody watches. */
import type { TopicName } from "../domain/ids.js";
import type { Progress } from "../domain/task.js";
import type { CompleteOutcome, FailOutcome, Leased, NewTask, ReleaseOutcome } from "../store/store.js";
import type { EngineContext } from "./context.js";
import type { EventType, TaskqueueEvent } from "./events.js";
import { attemptOfLease, type HeldLease } from "./held-lease.js";
import type { Grant } from "./worker-session.js";

export function enqueued(
  context: EngineContext,
  topic: TopicName,
  tasks: readonly NewTask[],
  created: readonly boolean[],
): void {
  if (!context.events.active) return;
  for (const [index, { id, head }] of tasks.entries()) {
    if (!created[index]) continue;
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
  grants: readonly Grant[],
): void {
  if (leased.length === 0 || !context.events.active) return;
  const workers = new Map(grants.map((grant) => [grant.ref.id, grant.session.worker]));
  for (const lease of leased) {
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
  leases: readonly HeldLease[],
  outcomes: readonly CompleteOutcome[],
): void {
  if (!context.events.active) return;
  for (const [index, lease] of leases.entries()) {
    if (outcomes[index] === "completed") context.events.emit(ended(context, "TASK_COMPLETION", lease));
  }
}

export function failed(context: EngineContext, lease: HeldLease, error: string, outcome: FailOutcome): void {
  if (!context.events.active) return;
  switch (outcome) {
    case "retried":
      context.events.emit({ ...ended(context, "TASK_RETRY", lease), error, attempt: attemptOfLease(lease) + 1 });
      return;
    case "buried":
      context.events.emit({ ...ended(context, "TASK_FAILURE", lease), error });
      return;
    case "aborted":
      context.events.emit({ ...ended(context, "TASK_CANCEL", lease), error });
      return;
    case "lease_lost":
      return;
  }
}

export function released(context: EngineContext, lease: HeldLease, outcome: ReleaseOutcome): void {
  if (!context.events.active || outcome === "lease_lost") return;
  context.events.emit(ended(context, outcome === "aborted" ? "TASK_CANCEL" : "TASK_RELEASE", lease));
}

export function progressed(context: EngineContext, lease: HeldLease, progress: Progress): void {
  if (context.events.active) context.events.emit({ ...ended(context, "TASK_PROGRESS", lease), progress });
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
