import { expect } from "vitest";
import { newTasks, taskId, topicName } from "../support/task-factory.js";
import { conformance, idsOf } from "./suite.js";

conformance("get", {
  "one record per id, in order, undefined where there is none": async (f) => {
    await f.enqueue(newTasks(3));
    const ids = ["t0002", "unknown", "t0000", "t0002"].map(taskId);
    const records = await f.store.get(f.topic, ids);
    expect(records.map((record) => record?.id)).toEqual(["t0002", undefined, "t0000", "t0002"]);
  },

  "a topic nobody knows has no tasks, and is not created": async (f) => {
    expect(await f.store.get(topicName("unknown"), [taskId("a")])).toEqual([undefined]);
    expect(await f.store.get(f.topic, [])).toEqual([]);
    expect((await f.store.topics({ limit: 10 })).rows).toEqual([]);
  },

  "each state tells what belongs to it, and nothing else": async (f) => {
    const retentionMs = 1000;
    await f.bury(await f.leased("dead"));
    await f.complete(await f.leased("completed", { retentionMs }));
    await f.add("cancelled", { retentionMs });
    await f.cancel("cancelled");
    await f.leased("leased");
    await f.add("scheduled", { dueAtMs: f.now + 1 });
    await f.add("ready");
    const common = ["id", "head", "spec", "state", "failures", "lostLeases", "error"];
    const own = {
      dead: ["endedAtMs", "deadReason"],
      completed: ["endedAtMs"],
      cancelled: ["endedAtMs"],
      leased: ["lease"],
      scheduled: ["dueAtMs"],
      ready: [],
    };
    for (const [state, fields] of Object.entries(own)) {
      const record = Object.entries((await f.get(state)) ?? {}).filter(
        ([, field]) => field !== undefined && field !== false,
      );
      expect(record.map(([name]) => name).sort(), state).toEqual([...common, ...fields].sort());
    }
  },

  "a call takes 1000 ids": async (f) => {
    await f.enqueue(newTasks(1000));
    const ids = idsOf(newTasks(1000)).reverse();
    expect((await f.store.get(f.topic, ids)).map((record) => record?.id)).toEqual(ids);
  },
});
