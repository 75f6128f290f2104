import { expect } from "vitest";
import { conformance } from "./suite.js";

conformance("pulse", {
  "it tells the store's clock": async (f) => {
    const before = Date.now();
    const first = await f.store.pulse();
    const second = await f.store.pulse();
    // The store runs on this machine.
    expect(first.nowMs).toBeGreaterThanOrEqual(before - 1);
    expect(second.nowMs).toBeGreaterThanOrEqual(first.nowMs);
    expect(second.nowMs).toBeLessThanOrEqual(Date.now() + 1);
  },

  "it changes nothing": async (f) => {
    await f.unchanged(() => f.store.pulse());
  },
});

conformance("close", {
  "calls under way end first": async (f) => {
    const calls = Array.from({ length: 20 }, (_, index) => f.add(`t${index}`));
    const closed = f.close();
    await Promise.all(calls);
    await closed;
  },

  "closing twice is fine": async (f) => {
    await f.close();
    await f.close();
  },

  "a reader that waits for events does not hold it up": async (f) => {
    const { cursor } = await f.store.readEvents({ limit: 1, waitMs: 0 });
    const waiting = f.store.readEvents({ after: cursor, limit: 1, waitMs: 600_000 });
    await f.close();
    // Whether it is answered or refused is open; it must not go on waiting.
    await Promise.allSettled([waiting]);
  },
});
