/** A task in the hands of a worker that is attached here, as this broker keeps it in memory. */
import type { LeaseToken, SessionId, TaskId, TopicName } from "../domain/ids.js";
import type { Millis, TaskHead } from "../domain/task.js";
import type { Leased } from "../store/store.js";
import type { SubscriptionState } from "./worker-session.js";

export type CancelReason = "cancelled" | "timeout";

/** In place of a delivery's number: the worker brought the lease along from an earlier stream. */
export const DELIVERED_BEFORE = -1;

export interface HeldLease {
  readonly id: TaskId;
  readonly session: SessionId;
  readonly token: LeaseToken;
  /** The token as workers see it: unique in the namespace, the fencing number first. */
  readonly wireToken: string;
  readonly topic: TopicName;
  readonly subscription: SubscriptionState;
  readonly head: TaskHead;
  /** Dropped once it was delivered. */
  spec: Uint8Array | undefined;
  readonly bytes: number;
  readonly failures: number;
  readonly lostLeases: number;
  readonly leasedAtMs: Millis;
  /** Whether the task went straight: as long as nothing is done about it, it may be completed with those of other topics. */
  readonly straight: boolean;
  /** Of the attempt; 0 for no limit. */
  readonly timeoutMs: Millis;
  /** The delivery that carried it; 0 while it waits to be delivered. */
  delivery: number;
  /** Whether the worker reported its end, which is on its way to the store. */
  reported: boolean;
  /** Set once the worker was told to stop: when, on the monotonic clock, its lease ends in any case. */
  stop: { readonly reason: CancelReason; readonly deadline: number } | undefined;
  /** What the processor returned. */
  result?: Uint8Array;
}

export function wireTokenOf(token: LeaseToken, topic: TopicName): string {
  return `${token}.${topic}`;
}

export function holdLease(
  leased: Leased,
  subscription: SubscriptionState,
  timeoutMs: Millis,
  straight: boolean,
): HeldLease {
  const { topic } = subscription;
  return {
    id: leased.id,
    session: leased.session,
    token: leased.token,
    wireToken: wireTokenOf(leased.token, topic),
    topic,
    subscription,
    head: leased.head,
    spec: leased.spec,
    bytes: leased.bytes,
    failures: leased.failures,
    lostLeases: leased.lostLeases,
    leasedAtMs: leased.leasedAtMs,
    straight,
    timeoutMs,
    delivery: 0,
    reported: false,
    stop: undefined,
  };
}

/** 1 when the task runs for the first time. */
export function attemptOfLease(lease: Pick<HeldLease, "failures" | "lostLeases">): number {
  return lease.failures + lease.lostLeases + 1;
}
