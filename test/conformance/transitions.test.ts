/**
 * Walks TRANSITIONS: each row is tried from every state. Where the table allows
 * it, the task ends up in the row's state; where it does not, the verb answers
 * with its refusal and nothing at all has changed.
 */
import { expect } from "vitest";
import { isLegal, TASK_STATES, type TaskState, TRANSITIONS, type Transition } from "../../server/domain/states.js";
import type { LeaseRef } from "../../server/store/store.js";
import { FOREIGN_TOKEN, newTask, taskId, topicName } from "../support/task-factory.js";
import { conformance, type Fixture, refOf } from "./suite.js";

const ID = "subject";
const DUE_IN_MS = 1000;
const OTHER = topicName("other");

/** Brings a task into a state; gives its lease, or one that was never given out. */
const BRING: Record<TaskState, (f: Fixture) => Promise<LeaseRef>> = {
  async scheduled(f) {
    await f.add(ID, { retentionMs: 60_000, dueAtMs: f.now + DUE_IN_MS });
    return noLease(f);
  },
  async ready(f) {
    await f.add(ID, { retentionMs: 60_000 });
    return noLease(f);
  },
  async leased(f) {
    return refOf(await f.leased(ID, { retentionMs: 60_000 }));
  },
  async dead(f) {
    await f.bury(await f.leased(ID, { retentionMs: 60_000 }));
    return noLease(f);
  },
  async completed(f) {
    await f.complete(await f.leased(ID, { retentionMs: 60_000 }));
    return noLease(f);
  },
  async cancelled(f) {
    await f.add(ID, { retentionMs: 60_000 });
    await f.cancel(ID);
    return noLease(f);
  },
};

function noLease(f: Fixture): LeaseRef {
  return { id: taskId(ID), session: f.worker.id, token: FOREIGN_TOKEN };
}

/** Tries each row by its verb, and gives the verb's answer about the task. */
const TRY: Record<Transition, (f: Fixture, lease: LeaseRef) => Promise<unknown>> = {
  promote: async (f) => {
    f.advance(DUE_IN_MS);
    return (await f.store.promote(f.topic, { now: f.now, limit: 10 })).promoted;
  },
  lease: async (f) => (await f.lease(10)).length,
  complete: async (f, lease) => (await f.complete(lease))[0],
  retry: (f, lease) => f.retry(lease),
  bury: (f, lease) => f.bury(lease),
  expire: async (f, { session }) => (await f.expire(session)).expired.length,
  release: async (f, lease) => (await f.release(lease))[0],
  abort: async (f, lease) => {
    if ((await f.state(ID)) === "leased") await f.cancel(ID);
    return (await f.release(lease))[0];
  },
  cancel: async (f) => (await f.cancel(ID))[0],
  requeue: async (f) => (await f.requeue(ID)).outcomes[0],
};

/** What the verb says when the table does not allow it. */
function refusal(transition: Transition, state: TaskState): unknown {
  switch (transition) {
    case "promote":
    case "lease":
    case "expire":
      return 0;
    case "complete":
    case "retry":
    case "bury":
    case "release":
    case "abort":
      return "lease_lost";
    case "cancel":
    case "requeue":
      return { kind: "wrong_state", state };
  }
}

const cases: Record<string, (f: Fixture) => Promise<void>> = {};
for (const [transition, attempt] of Object.entries(TRY) as [Transition, (typeof TRY)[Transition]][]) {
  for (const state of TASK_STATES) {
    if (isLegal(transition, state)) {
      const { to } = TRANSITIONS[transition];
      cases[`${transition}: ${state} → ${to}`] = async (f) => {
        const lease = await BRING[state](f);
        await attempt(f, lease);
        expect(await f.state(ID)).toBe(to);
      };
    } else if (transition === "cancel" && state === "leased") {
      cases["cancel: leased stays leased, and is marked"] = async (f) => {
        const { session, token } = await BRING.leased(f);
        expect(await f.cancel(ID)).toEqual([{ kind: "cancel_requested", session, token }]);
        expect(await f.get(ID)).toMatchObject({ state: "leased", cancelRequested: true });
      };
    } else {
      cases[`${transition}: ${state} is refused, and nothing changes`] = async (f) => {
        const lease = await BRING[state](f);
        await f.enqueue([newTask("bystander")], OTHER);
        expect(await f.unchanged(() => attempt(f, lease))).toEqual(refusal(transition, state));
        expect(await f.state(ID)).toBe(state);
      };
    }
  }
}

conformance("transitions", cases);
