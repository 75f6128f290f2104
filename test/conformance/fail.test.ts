import { expect } from "vitest";
import type { Failure, LeaseRef } from "../../server/store/store.js";
import { FOREIGN_TOKEN, newTask, newTasks, sessionId, taskId } from "../support/task-factory.js";
import { conformance, idsOf, refOf } from "./suite.js";

function failure(lease: LeaseRef, dueAtMs: number): Failure {
  return { ...refOf(lease), error: "it broke", next: { kind: "retry", dueAtMs } };
}

conformance("fail", {
  "a failure with a retry is scheduled for its moment, with the error": async (f) => {
    expect(await f.retry(await f.leased("a"), 1000, "boom")).toBe("retried");
    const record = await f.get("a");
    expect(record).toMatchObject({ state: "scheduled", dueAtMs: f.now + 1000, failures: 1, lostLeases: 0 });
    expect(record).toMatchObject({ error: "boom" });
    expect(record).not.toHaveProperty("lease");
    expect(await f.stats()).toMatchObject({ retried: 1, failed: 0, scheduled: 1, nextDueMs: f.now + 1000 });
  },

  "a retry that is due now is ready at once": async (f) => {
    expect(await f.retry(await f.leased("a"), 0)).toBe("retried");
    expect(await f.retry(await f.leased("b"), -5)).toBe("retried");
    expect(await f.ids("ready")).toEqual(["a", "b"]);
    expect(await f.get("a")).not.toHaveProperty("dueAtMs");
    expect(await f.stats()).toMatchObject({ retried: 2, ready: 2, scheduled: 0 });
  },

  "a buried task is dead, with reason, moment and error": async (f) => {
    for (const reason of ["retries_exhausted", "do_not_retry"] as const) {
      const lease = refOf(await f.leased(reason));
      f.advance(10);
      const batch = [{ ...lease, error: "no use", next: { kind: "bury", reason } as const }];
      expect(await f.store.fail(f.topic, batch, f.ending)).toEqual(["buried"]);
      const expected = { state: "dead", deadReason: reason, endedAtMs: f.now, failures: 1, error: "no use" };
      expect(await f.get(reason)).toMatchObject(expected);
    }
    expect(await f.stats()).toMatchObject({ failed: 2, retried: 0, dead: 2, leased: 0 });
  },

  "a dead task is kept without any retention, for as long as it takes": async (f) => {
    await f.bury(await f.leased("a"));
    f.advance(10 * 365 * 86_400_000);
    await f.store.prune(f.topic, { ...f.ending, limit: 100 });
    expect(await f.state("a")).toBe("dead");
  },

  "failures add up, and the latest error counts": async (f) => {
    await f.add("a");
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      const lease = await f.leaseOne();
      expect(lease).toMatchObject({ failures: attempt - 1 });
      await f.retry(lease, 0, `error ${attempt}`);
    }
    expect(await f.get("a")).toMatchObject({ failures: 3, error: "error 3" });
  },

  "a retried task goes back to its place": async (f) => {
    await f.enqueue([newTask("a"), newTask("urgent", { priority: -1 }), newTask("b")]);
    const [urgent, a] = await f.lease(2);
    await f.enqueue([newTask("c"), newTask("urgent-2", { priority: -1 })]);
    for (const lease of [a, urgent]) if (lease !== undefined) await f.retry(lease, 0);
    expect(idsOf(await f.lease(9))).toEqual(["urgent", "urgent-2", "a", "b", "c"]);
  },

  "an error may be any text, or empty": async (f) => {
    const errors = ["Ошибка 🗝\n\tat line 1\r\n\0end", "", "x".repeat(4096), '{"json":["a"]}'];
    for (const [index, error] of errors.entries()) {
      await f.bury(await f.leased(`t${index}`), error);
      expect(await f.get(`t${index}`)).toMatchObject({ error });
    }
  },

  "a failure repeated with its token is answered as before and changes nothing": async (f) => {
    const later = await f.leased("later");
    const now = await f.leased("now");
    const dead = await f.leased("dead");
    await f.retry(later, 1000);
    await f.retry(now, 0);
    await f.bury(dead);
    await f.unchanged(async () => {
      expect(await f.retry(later, 1000)).toBe("retried");
      expect(await f.retry(now, 0)).toBe("retried");
      expect(await f.bury(dead)).toBe("buried");
    });
  },

  "what happened counts, not what the repetition asks for": async (f) => {
    const retried = await f.leased("retried");
    await f.retry(retried, 1000);
    const buried = await f.leased("buried");
    await f.bury(buried);
    await f.unchanged(async () => {
      expect(await f.bury(retried)).toBe("retried");
      expect(await f.retry(buried)).toBe("buried");
    });
  },

  "the same lease twice in one call fails once": async (f) => {
    const lease = await f.leased("a");
    const batch = [failure(lease, f.now + 1), failure(lease, f.now + 1)];
    expect(await f.store.fail(f.topic, batch, f.ending)).toEqual(["retried", "retried"]);
    expect(await f.get("a")).toMatchObject({ failures: 1 });
    expect(await f.stats()).toMatchObject({ retried: 1, scheduled: 1 });
  },

  "a repetition is recognised also after the task became due": async (f) => {
    const lease = await f.leased("a");
    await f.retry(lease, 1000);
    f.advance(1000);
    await f.store.promote(f.topic, { now: f.now, limit: 10 });
    await f.unchanged(async () => expect(await f.retry(lease)).toBe("retried"));
  },

  "once the task is leased again the old token is worth nothing": async (f) => {
    const lease = await f.leased("a");
    await f.retry(lease, 0);
    const again = await f.leaseOne();
    await f.unchanged(async () => expect(await f.retry(lease)).toBe("lease_lost"));
    await f.release(again);
    await f.unchanged(async () => expect(await f.retry(lease)).toBe("lease_lost"));
  },

  "once the task is requeued, cancelled or removed the old token is worth nothing": async (f) => {
    const requeued = await f.leased("requeued");
    await f.bury(requeued);
    const removed = await f.leased("removed");
    await f.bury(removed);
    const cancelled = await f.leased("cancelled", { retentionMs: 1000 });
    await f.retry(cancelled);
    await f.requeue("requeued");
    await f.remove("removed");
    await f.cancel("cancelled");
    await f.unchanged(async () => {
      for (const lease of [requeued, removed, cancelled]) expect(await f.bury(lease)).toBe("lease_lost");
    });
  },

  "another token than the lease's is refused and changes nothing": async (f) => {
    const lease = refOf(await f.leased("a"));
    const wrong = [
      { ...lease, token: FOREIGN_TOKEN },
      { ...lease, session: sessionId("worker-2") },
      { ...lease, id: taskId("unknown") },
    ];
    const batch = wrong.map((ref) => failure(ref, f.now));
    const answers = await f.unchanged(() => f.store.fail(f.topic, batch, f.ending));
    expect(answers).toEqual(["lease_lost", "lease_lost", "lease_lost"]);
  },

  "the token of a completion fails nothing": async (f) => {
    const kept = await f.leased("kept", { retentionMs: 1000 });
    const gone = await f.leased("gone");
    await f.complete(kept, gone);
    await f.unchanged(async () => {
      expect(await f.bury(kept)).toBe("lease_lost");
      expect(await f.bury(gone)).toBe("lease_lost");
    });
  },

  "a lost lease is refused": async (f) => {
    const other = await f.open("worker-2");
    const lost = await f.leased("a");
    await f.expire(f.worker.id);
    await f.unchanged(async () => expect(await f.retry(lost)).toBe("lease_lost"));
    await f.leaseOne(other);
    await f.unchanged(async () => expect(await f.bury(lost)).toBe("lease_lost"));
  },

  "where cancelling was asked for the task is cancelled instead, and charged nothing": async (f) => {
    const retried = await f.leased("retried", { retentionMs: 1000 });
    const buried = await f.leased("buried");
    await f.cancel("retried", "buried");
    expect(await f.retry(retried)).toBe("aborted");
    expect(await f.bury(buried)).toBe("aborted");
    const record = await f.get("retried");
    expect(record).toMatchObject({ state: "cancelled", endedAtMs: f.now, failures: 0, error: "" });
    expect(record).not.toHaveProperty("cancelRequested");
    expect(await f.get("buried")).toBeUndefined();
    const expected = { aborted: 2, cancelled: 0, failed: 0, retried: 0, cancelledKept: 1, dead: 0 };
    expect(await f.stats()).toMatchObject(expected);
  },

  "the id of an aborted task is remembered for the window": async (f) => {
    const lease = await f.leased("a");
    await f.cancel("a");
    await f.retry(lease);
    f.advance(f.endedWindowMs - 1);
    expect((await f.enqueue([newTask("a")])).created).toEqual([false]);
  },

  "decisions and refusals mix in one call": async (f) => {
    const a = await f.leased("a");
    const b = refOf(await f.leased("b"));
    const c = await f.leased("c");
    await f.leased("d");
    const batch: Failure[] = [
      failure(a, f.now + 5),
      { ...b, error: "e", next: { kind: "bury", reason: "do_not_retry" } },
      failure({ ...c, token: FOREIGN_TOKEN }, f.now),
      failure(c, f.now),
    ];
    expect(await f.store.fail(f.topic, batch, f.ending)).toEqual(["retried", "buried", "lease_lost", "retried"]);
    expect(await f.stats()).toMatchObject({ scheduled: 1, dead: 1, ready: 1, leased: 1 });
  },

  "repetitions and refusals mix in one call": async (f) => {
    const [a, b] = [await f.leased("a"), await f.leased("b")];
    const lost = failure({ ...refOf(a), token: FOREIGN_TOKEN }, f.now);
    const batch = [
      lost,
      failure(a, f.now + 5),
      lost,
      failure(a, f.now),
      failure(b, f.now),
      lost,
      failure(b, f.now + 5),
    ];
    const answers = await f.store.fail(f.topic, batch, f.ending);
    expect(answers).toEqual(["lease_lost", "retried", "lease_lost", "retried", "retried", "lease_lost", "retried"]);
    expect(await f.stats()).toMatchObject({ retried: 2, scheduled: 1, ready: 1 });
  },

  "a call takes 1000 failures": async (f) => {
    await f.enqueue(newTasks(1000));
    const batch = (await f.lease(1000)).map((lease, index) => failure(lease, f.now + (index % 2)));
    expect(new Set(await f.store.fail(f.topic, batch, f.ending))).toEqual(new Set(["retried"]));
    expect(await f.stats()).toMatchObject({ retried: 1000, ready: 500, scheduled: 500 });
  },
});
