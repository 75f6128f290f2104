/** Leases as a broker holds them in memory, valid by default. */
import { leaseToken, type TopicName } from "../../server/domain/ids.js";
import { type HeldLease, holdLease } from "../../server/engine/held-lease.js";
import type { SubscriptionState } from "../../server/engine/worker-session.js";
import { NOW, newTask, sessionId, topicName } from "./task-factory.js";

export interface HeldLeaseOverrides {
  readonly topic?: TopicName;
  readonly id?: string;
  readonly spec?: Uint8Array;
  readonly bytes?: number;
  readonly failures?: number;
  readonly lostLeases?: number;
  readonly timeoutMs?: number;
  /** The fencing number. */
  readonly n?: number;
}

export function heldLease(overrides: HeldLeaseOverrides): HeldLease {
  const { topic = topicName("clicks"), id = "a", spec = Buffer.alloc(0), n = 1 } = overrides;
  const { bytes = 10 + spec.length, failures = 0, lostLeases = 0, timeoutMs = 0 } = overrides;
  const task = newTask(id);
  return holdLease(
    {
      id: task.id,
      session: sessionId("session-1"),
      token: leaseToken(n),
      leasedAtMs: NOW,
      head: task.head,
      spec,
      bytes,
      failures,
      lostLeases,
    },
    // Codecs and queues look at nothing else of a subscription.
    { topic } as SubscriptionState,
    timeoutMs,
    false,
  );
}
