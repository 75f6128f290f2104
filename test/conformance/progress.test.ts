import { expect } from "vitest";
import type { LeaseRef, ProgressNote } from "../../server/store/store.js";
import { FOREIGN_TOKEN, newTasks, sessionId, taskId } from "../support/task-factory.js";
import { conformance, type Fixture, refOf } from "./suite.js";

function note(lease: LeaseRef, fraction: number, message = ""): ProgressNote {
  return { ...refOf(lease), progress: { fraction, message } };
}

function tell(f: Fixture, ...notes: Parameters<Fixture["store"]["progress"]>[1]) {
  return f.store.progress(f.topic, notes);
}

conformance("progress", {
  "the latest note of a running attempt is kept": async (f) => {
    const lease = await f.leased("a");
    expect(await f.get("a")).not.toHaveProperty("progress");
    expect(await tell(f, note(lease, 0.1, "begun"), note(lease, 1 / 3, "Schritt 2 von 3 ✓\n"))).toEqual([
      "held",
      "held",
    ]);
    expect(await f.get("a")).toMatchObject({
      state: "leased",
      progress: { fraction: 1 / 3, message: "Schritt 2 von 3 ✓\n" },
    });
  },

  "nothing and everything are fractions too": async (f) => {
    const lease = await f.leased("a");
    for (const fraction of [0, 1, 5e-324, 0.1 + 0.2]) {
      await tell(f, note(lease, fraction));
      expect(await f.get("a")).toMatchObject({ progress: { fraction, message: "" } });
    }
  },

  "an empty note only asks": async (f) => {
    const lease = refOf(await f.leased("a"));
    await tell(f, note(lease, 0.5, "half"));
    const lost = { ...lease, token: FOREIGN_TOKEN };
    expect(await f.unchanged(() => tell(f, lease, lost))).toEqual(["held", "lease_lost"]);
  },

  "a lost lease is told and keeps nothing": async (f) => {
    const lease = await f.leased("a");
    await f.release(lease);
    const wrong = [
      refOf(lease),
      { ...refOf(lease), session: sessionId("worker-2") },
      { ...refOf(lease), id: taskId("x") },
    ];
    const notes = wrong.map((ref) => note(ref, 0.5));
    expect(await f.unchanged(() => tell(f, ...notes))).toEqual(["lease_lost", "lease_lost", "lease_lost"]);
  },

  "a note with a wrong session is not taken for the holder's": async (f) => {
    const lease = refOf(await f.leased("a"));
    const wrong = { ...lease, session: sessionId("worker-2") };
    const answers = await tell(f, note(lease, 0.5), note(wrong, 0.9));
    expect(answers).toEqual(["held", "lease_lost"]);
    expect(await f.get("a")).toMatchObject({ progress: { fraction: 0.5 } });
  },

  "a lease that is to be cancelled is still held": async (f) => {
    const lease = await f.leased("a");
    await f.cancel("a");
    expect(await tell(f, note(lease, 0.5))).toEqual(["held"]);
    expect(await f.get("a")).toMatchObject({ cancelRequested: true, progress: { fraction: 0.5 } });
  },

  "progress ends with its lease": async (f) => {
    for (const end of ["complete", "retry", "bury", "release"] as const) {
      const lease = await f.leased(end, { retentionMs: 1000, priority: -1 });
      await tell(f, note(lease, 0.5));
      await f[end](lease);
      expect(await f.get(end)).not.toHaveProperty("progress");
    }
    const again = await f.leaseOne();
    expect(again.id).toBe("release");
    expect(await f.get("release")).not.toHaveProperty("progress");
  },

  "a call takes 1000 notes": async (f) => {
    await f.enqueue(newTasks(1000));
    const notes = (await f.lease(1000)).map((lease, index) => note(lease, index / 1000));
    expect(new Set(await tell(f, ...notes))).toEqual(new Set(["held"]));
    expect(await f.get("t0999")).toMatchObject({ progress: { fraction: 0.999 } });
  },
});
