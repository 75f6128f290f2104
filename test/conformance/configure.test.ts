import { expect } from "vitest";
import { newTask, topicName } from "../support/task-factory.js";
import { conformance, type Fixture } from "./suite.js";

async function settings(f: Fixture) {
  return (await f.store.describe([f.topic]))[0]?.settings;
}

conformance("configure", {
  "settings are kept as they were given, and replaced wholly": async (f) => {
    const full = {
      paused: true,
      numRetries: 0,
      backoff: { initialMs: 1, factor: 1.000001, maxMs: 2_073_600_000, jitter: 1 / 3 },
      timeoutMs: 0,
      lostLeasesMax: 1000,
      tasksMax: 0,
      bytesMax: Number.MAX_SAFE_INTEGER,
    };
    await f.store.configure(f.topic, full);
    expect(await settings(f)).toEqual(full);
    await f.store.configure(f.topic, { paused: false, numRetries: 3 });
    expect(await settings(f)).toEqual({ paused: false, numRetries: 3 });
    await f.store.configure(f.topic, { paused: false });
    expect(await settings(f)).toEqual({ paused: false });
  },

  "a topic is created by it": async (f) => {
    await f.store.configure(f.topic, { paused: false });
    expect((await f.store.topics({ limit: 10 })).rows).toEqual([f.topic]);
  },

  "tasks and counters are left alone": async (f) => {
    await f.complete(await f.leased("a", { retentionMs: 1000 }));
    await f.add("b");
    const before = await f.stats();
    await f.store.configure(f.topic, { paused: false, tasksMax: 1, bytesMax: 1 });
    expect(await f.stats()).toEqual(before);
  },

  "the enqueue of tasks leaves settings alone": async (f) => {
    await f.store.configure(f.topic, { paused: false, numRetries: 7 });
    await f.add("a");
    expect(await settings(f)).toEqual({ paused: false, numRetries: 7 });
  },

  "bounds are enforced as the call says, not as the settings say": async (f) => {
    await f.store.configure(f.topic, { paused: false, tasksMax: 1 });
    await f.enqueue([newTask("a"), newTask("b")]);
    expect(await f.stats()).toMatchObject({ ready: 2 });
  },

  "other topics are left alone": async (f) => {
    await f.add("a");
    await f.store.configure(topicName("clicks:x"), { paused: true });
    expect(await settings(f)).toEqual({ paused: false });
    expect((await f.lease(1)).length).toBe(1);
  },
});
