import assert from "node:assert";
import { expect } from "vitest";
import type { SessionRecord, SessionRef } from "../../server/store/store.js";
import { allPages, plain } from "../support/snapshot.js";
import { NOW, newSession, newTask, sessionId, token, topicName } from "../support/task-factory.js";
import { conformance, type Fixture, idsOf } from "./suite.js";

const OTHER = topicName("other");

/** Resumes a session as another broker does, and gives its record. */
async function resume(f: Fixture, id: string, expiresAtMs = f.now + 15_000): Promise<SessionRecord> {
  const by = { broker: "broker-2", address: "10.0.0.2:7", expiresAtMs };
  const answer = await f.store.resumeSession({ id: sessionId(id), secret: `secret of ${id}` }, by);
  assert(answer.kind === "resumed", `${id} was lost`);
  return answer.session;
}

async function all(f: Fixture, limit = 100): Promise<SessionRecord[]> {
  return allPages((query) => f.store.sessions(query), limit);
}

async function record(f: Fixture, id: string): Promise<SessionRecord | undefined> {
  return (await all(f)).find((session) => session.id === id);
}

const expired = (f: Fixture, limit = 100) => f.store.expiredSessions({ now: f.now, limit });

conformance("openSession", {
  "a session is open on all its topics, at epoch 1 and attached": async (f) => {
    const session = newSession("worker-2", [], {
      subscriptions: [
        { topic: f.topic, concurrency: 0, weight: 1 },
        { topic: OTHER, concurrency: 5, weight: 1000 },
      ],
      worker: "имя 🗝",
      expiresAtMs: f.now + 1,
    });
    await f.store.openSession(session);
    expect(plain(await record(f, "worker-2"))).toEqual(
      plain({ ...session, epoch: 1, attached: true, undelivered: [] }),
    );
    await f.add("a");
    await f.enqueue([newTask("b")], OTHER);
    const ref = { id: session.id, epoch: 1 };
    expect(idsOf(await f.lease(1, ref))).toEqual(["a"]);
    expect(idsOf(await f.lease(1, ref, OTHER))).toEqual(["b"]);
  },

  "repeated, it changes nothing": async (f) => {
    const session = newSession("worker-2", [f.topic]);
    await f.store.openSession(session);
    await f.unchanged(() => f.store.openSession(session));
  },

  "a session may serve 1000 topics": async (f) => {
    const topics = Array.from({ length: 1000 }, (_, index) => topicName(`topic-${index}`));
    const session = await f.open("worker-2", topics);
    const last = topicName("topic-999");
    await f.enqueue([newTask("a")], last);
    expect(idsOf(await f.lease(1, session, last))).toEqual(["a"]);
    expect((await record(f, "worker-2"))?.subscriptions.map(({ topic }) => topic)).toEqual(topics);
    await f.store.closeSession(session);
    await f.enqueue([newTask("b")], last);
    expect(await f.lease(1, session, last)).toEqual([]);
  },
});

conformance("resumeSession", {
  "the epoch rises, and the session is attached to the new broker": async (f) => {
    const before = await record(f, "worker-1");
    await f.store.detachSession(f.worker, f.now + 2000, []);
    const session = await resume(f, "worker-1", f.now + 9000);
    const by = { broker: "broker-2", address: "10.0.0.2:7", expiresAtMs: f.now + 9000 };
    expect(plain(session)).toEqual(plain({ ...before, ...by, epoch: 2, attached: true }));
    expect(plain(await record(f, "worker-1"))).toEqual(plain(session));
    expect((await resume(f, "worker-1")).epoch).toBe(3);
  },

  "it works whether or not the stream is known to be lost, and after the expiry nobody noticed": async (f) => {
    expect((await resume(f, "worker-1", f.now + 10)).epoch).toBe(2);
    f.advance(1_000_000);
    expect((await resume(f, "worker-1")).epoch).toBe(3);
    expect((await expired(f)).sessions).toEqual([]);
  },

  "leases stay, and `held` tells them": async (f) => {
    const lease = await f.leased("a");
    await resume(f, "worker-1");
    expect(await f.store.held(f.topic, f.worker.id)).toMatchObject([{ id: "a", token: lease.token }]);
    expect(await f.store.progress(f.topic, [lease])).toEqual(["held"]);
  },

  "the new epoch leases on every topic, the old one on none": async (f) => {
    const session = await f.open("worker-2", [f.topic, OTHER]);
    await f.add("a");
    await f.enqueue([newTask("b")], OTHER);
    const { epoch } = await resume(f, "worker-2");
    for (const topic of [f.topic, OTHER]) {
      const lease = (ref: SessionRef) => f.store.lease(topic, [f.demand(1, ref)], { now: f.now });
      expect(await lease(session)).toMatchObject({ leased: [], ready: 1, lostSessions: ["worker-2"] });
      expect((await lease({ id: session.id, epoch })).leased.length).toBe(1);
    }
  },

  "a wrong secret and an unknown session are refused alike, and change nothing": async (f) => {
    const by = { broker: "broker-2", address: "x", expiresAtMs: f.now + 1 };
    const attempts = [
      { id: f.worker.id, secret: "wrong" },
      { id: f.worker.id, secret: "" },
      { id: f.worker.id, secret: "secret of worker-1 " },
      { id: sessionId("unknown"), secret: "secret of unknown" },
    ];
    await f.unchanged(async () => {
      for (const attempt of attempts)
        expect(await f.store.resumeSession(attempt, by)).toEqual({ kind: "session_lost" });
    });
  },

  "a closed session cannot be resumed": async (f) => {
    await f.store.closeSession(f.worker);
    await expect(resume(f, "worker-1")).rejects.toThrow("worker-1 was lost");
  },

  "undelivered leases noted at the detach are told": async (f) => {
    const undelivered = [{ topic: f.topic, tokens: [token("000000000001"), token("000000000002")] }];
    await f.store.detachSession(f.worker, f.now + 2000, undelivered);
    expect((await resume(f, "worker-1")).undelivered).toEqual(undelivered);
  },
});

conformance("renewSessions", {
  "sessions are extended, each on its own": async (f) => {
    const two = await f.open("worker-2");
    const unknown = { id: sessionId("unknown"), epoch: 1 };
    const answers = await f.store.renewSessions([f.worker, unknown, two], f.now + 60_000);
    expect(answers).toEqual(["renewed", "lost", "renewed"]);
    for (const session of await all(f)) expect(session.expiresAtMs).toBe(f.now + 60_000);
    f.advance(59_999);
    expect(await expired(f)).toEqual({ sessions: [], nextMs: f.now + 1 });
  },

  "a session that was resumed by somebody else is lost to the old broker": async (f) => {
    await resume(f, "worker-1", f.now + 100);
    await f.unchanged(async () => expect(await f.store.renewSessions([f.worker], f.now + 60_000)).toEqual(["lost"]));
    expect(await f.store.renewSessions([{ ...f.worker, epoch: 2 }], f.now + 60_000)).toEqual(["renewed"]);
  },

  "an epoch that is still to come is lost": async (f) => {
    expect(await f.store.renewSessions([{ ...f.worker, epoch: 2 }], f.now + 1)).toEqual(["lost"]);
  },

  "a closed session is lost, and does not come back": async (f) => {
    await f.store.closeSession(f.worker);
    expect(await f.store.renewSessions([f.worker], f.now + 60_000)).toEqual(["lost"]);
    expect(await all(f)).toEqual([]);
    f.advance(100_000);
    expect(await expired(f)).toEqual({ sessions: [] });
  },

  "a call takes 1000 sessions": async (f) => {
    const ids = Array.from({ length: 1000 }, (_, index) => `s${index}`);
    const refs = await Promise.all(ids.map((id) => f.open(id)));
    const answers = await f.store.renewSessions(refs, f.now + 60_000);
    expect(answers).toEqual(refs.map(() => "renewed"));
  },

  "none to renew is fine": async (f) => {
    expect(await f.store.renewSessions([], f.now + 1)).toEqual([]);
  },
});

conformance("detachSession", {
  "it expires at the moment given, sooner than before": async (f) => {
    const undelivered = [
      { topic: f.topic, tokens: [token("000000000001")] },
      { topic: OTHER, tokens: [] },
    ];
    await f.store.detachSession(f.worker, f.now + 2000, undelivered);
    expect(await record(f, "worker-1")).toMatchObject({ attached: false, epoch: 1, expiresAtMs: f.now + 2000 });
    expect(await expired(f)).toEqual({ sessions: [], nextMs: f.now + 2000 });
    f.advance(2000);
    const { sessions } = await expired(f);
    expect(plain(sessions)).toMatchObject([{ id: "worker-1", attached: false, undelivered }]);
  },

  "with an old epoch it does nothing": async (f) => {
    await resume(f, "worker-1");
    await f.unchanged(() => f.store.detachSession(f.worker, f.now, [{ topic: f.topic, tokens: [] }]));
  },

  "an unknown or closed session is not brought to life": async (f) => {
    await f.store.closeSession(f.worker);
    await f.store.detachSession(f.worker, f.now + 1, []);
    await f.store.detachSession({ id: sessionId("unknown"), epoch: 1 }, f.now + 1, []);
    f.advance(10);
    expect(await expired(f)).toEqual({ sessions: [] });
    expect(await all(f)).toEqual([]);
  },

  "a session that is being expired stays so": async (f) => {
    f.advance(100_000);
    await expired(f);
    await f.unchanged(() => f.store.detachSession(f.worker, f.now + 100_000, []));
    expect((await expired(f)).sessions.length).toBe(1);
  },

  "the next detach replaces what was undelivered": async (f) => {
    await f.store.detachSession(f.worker, f.now + 1, [{ topic: f.topic, tokens: [token("000000000001")] }]);
    await resume(f, "worker-1");
    await f.store.detachSession({ ...f.worker, epoch: 2 }, f.now + 1, []);
    expect(await record(f, "worker-1")).toMatchObject({ undelivered: [], attached: false });
  },

  "a detached session keeps its leases": async (f) => {
    const lease = await f.leased("a");
    await f.store.detachSession(f.worker, f.now + 1, []);
    expect(await f.store.progress(f.topic, [lease])).toEqual(["held"]);
    expect(await f.complete(lease)).toEqual(["completed"]);
  },
});

conformance("expiredSessions", {
  "a session is named from its expiry on, not before": async (f) => {
    f.now = NOW + 14_999;
    expect(await f.unchanged(() => expired(f))).toEqual({ sessions: [], nextMs: NOW + 15_000 });
    f.now = NOW + 15_000;
    const { sessions, nextMs } = await expired(f);
    expect(sessions).toMatchObject([{ id: "worker-1", epoch: 1, expiresAtMs: NOW + 15_000 }]);
    expect(nextMs).toBeUndefined();
  },

  "from then on it can be neither resumed nor renewed": async (f) => {
    f.advance(15_000);
    await expired(f);
    await f.unchanged(async () => {
      await expect(resume(f, "worker-1")).rejects.toThrow("worker-1 was lost");
      expect(await f.store.renewSessions([f.worker], f.now + 60_000)).toEqual(["lost"]);
    });
  },

  "it is named by every call until it is closed": async (f) => {
    f.advance(15_000);
    for (let call = 0; call < 3; call += 1) expect((await expired(f)).sessions).toMatchObject([{ id: "worker-1" }]);
    expect((await all(f)).map((session) => session.id)).toEqual(["worker-1"]);
    await f.store.closeSession(f.worker);
    expect(await expired(f)).toEqual({ sessions: [] });
    expect(await all(f)).toEqual([]);
  },

  "its leases stay until somebody expires them": async (f) => {
    const lease = await f.leased("a");
    f.advance(15_000);
    await expired(f);
    expect(await f.store.progress(f.topic, [lease])).toEqual(["held"]);
    expect(await f.complete(lease)).toEqual(["completed"]);
  },

  "a limit is kept, the earliest expiry comes first, and the next of the others is told": async (f) => {
    await f.store.closeSession(f.worker);
    for (const ms of [30, 10, 20, 50]) await f.open(`s${ms}`, [], { expiresAtMs: f.now + ms });
    f.advance(40);
    const first = await expired(f, 2);
    expect(first.sessions.map((session) => session.id)).toEqual(["s10", "s20"]);
    expect(first.nextMs).toBe(f.now - 10);
    for (const id of ["s10", "s20"]) await f.store.closeSession({ id: sessionId(id), epoch: 1 });
    expect(await expired(f, 2)).toMatchObject({ sessions: [{ id: "s30" }], nextMs: f.now + 10 });
  },

  "a session that was not named can still be resumed": async (f) => {
    await f.open("worker-2", [f.topic], { expiresAtMs: f.now + 1 });
    f.advance(20_000);
    expect((await expired(f, 1)).sessions).toMatchObject([{ id: "worker-2" }]);
    expect((await resume(f, "worker-1")).epoch).toBe(2);
    await expect(resume(f, "worker-2")).rejects.toThrow("worker-2 was lost");
  },

  "500 sessions that expire at one moment are all named": async (f) => {
    await Promise.all(Array.from({ length: 500 }, (_, index) => f.open(`s${index}`)));
    f.advance(15_000);
    expect((await expired(f, 1000)).sessions.length).toBe(501);
  },
});

conformance("extendSessions", {
  "whoever expires before the moment is moved to it; the others stay": async (f) => {
    await f.open("early", [], { expiresAtMs: f.now + 10 });
    await f.open("equal", [], { expiresAtMs: f.now + 60_000 });
    await f.open("late", [], { expiresAtMs: f.now + 90_000 });
    await f.store.detachSession(f.worker, f.now + 5, []);
    expect(await f.store.extendSessions(f.now + 60_000)).toBe(2);
    expect((await all(f)).map(({ id, expiresAtMs }) => [id, expiresAtMs - f.now])).toEqual([
      ["early", 60_000],
      ["equal", 60_000],
      ["late", 90_000],
      ["worker-1", 60_000],
    ]);
    expect(await f.store.extendSessions(f.now + 60_000)).toBe(0);
    f.advance(59_999);
    expect(await expired(f)).toEqual({ sessions: [], nextMs: f.now + 1 });
  },

  "sessions that expired meanwhile are saved, unless somebody named them already": async (f) => {
    await f.open("named", [], { expiresAtMs: f.now + 1 });
    f.advance(10);
    expect((await expired(f)).sessions.length).toBe(1);
    f.advance(100_000);
    expect(await f.store.extendSessions(f.now + 1000)).toBe(1);
    expect((await expired(f)).sessions).toMatchObject([{ id: "named" }]);
    expect((await resume(f, "worker-1")).epoch).toBe(2);
  },

  "500 sessions are extended": async (f) => {
    await Promise.all(Array.from({ length: 500 }, (_, index) => f.open(`s${index}`)));
    expect(await f.store.extendSessions(f.now + 60_000)).toBe(501);
    expect(new Set((await all(f)).map((session) => session.expiresAtMs))).toEqual(new Set([f.now + 60_000]));
  },
});

conformance("closeSession", {
  "it is forgotten, with its hold on its topics": async (f) => {
    const session = await f.open("worker-2", [f.topic, OTHER]);
    await f.store.closeSession(session);
    expect(await record(f, "worker-2")).toBeUndefined();
    for (const topic of [f.topic, OTHER]) {
      const answer = await f.store.lease(topic, [f.demand(1, session)], { now: f.now });
      expect(answer.lostSessions).toEqual(["worker-2"]);
    }
  },

  "with an old epoch it does nothing": async (f) => {
    await resume(f, "worker-1");
    await f.unchanged(() => f.store.closeSession(f.worker));
    await f.add("a");
    expect(idsOf(await f.lease(1, { ...f.worker, epoch: 2 }))).toEqual(["a"]);
  },

  "closing twice, or what nobody knows, is fine": async (f) => {
    await f.store.closeSession(f.worker);
    await f.unchanged(async () => {
      await f.store.closeSession(f.worker);
      await f.store.closeSession({ id: sessionId("unknown"), epoch: 1 });
    });
  },

  "other sessions on the same topics are left alone": async (f) => {
    const other = await f.open("worker-2");
    await f.store.closeSession(f.worker);
    await f.add("a");
    expect(idsOf(await f.lease(1, other))).toEqual(["a"]);
  },
});

conformance("sessions", {
  "sessions are paged through by id": async (f) => {
    const ids = ["b", "B", "_", "-", "0", "a-b", "ab", "10", "9"];
    for (const id of ids) await f.open(id);
    const sorted = [...ids, "worker-1"].sort();
    for (const limit of [100, 10, 3, 1]) expect((await all(f, limit)).map(({ id }) => id)).toEqual(sorted);
  },

  "the last page says so, even when it is full": async (f) => {
    await f.open("worker-2");
    expect((await f.store.sessions({ limit: 2 })).next).toBeUndefined();
  },

  "those being expired are listed too": async (f) => {
    f.advance(15_000);
    await expired(f);
    expect((await all(f)).map(({ id }) => id)).toEqual(["worker-1"]);
  },

  "1200 sessions are paged through": async (f) => {
    const ids = Array.from({ length: 1200 }, (_, index) => `s${String(index).padStart(4, "0")}`);
    await Promise.all(ids.map((id) => f.open(id)));
    expect((await all(f, 500)).map(({ id }) => id)).toEqual([...ids, "worker-1"]);
  },
});
