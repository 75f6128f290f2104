import { expect } from "vitest";
import type { TopicName } from "../../server/domain/ids.js";
import { allPages } from "../support/snapshot.js";
import { newTask, topicName } from "../support/task-factory.js";
import { conformance, type Fixture } from "./suite.js";

const all = (f: Fixture, limit: number) => allPages((query) => f.store.topics(query), limit);

conformance("topics", {
  "at first there are none, whatever sessions subscribe to": async (f) => {
    await f.open("worker-2", [topicName("a"), topicName("b")]);
    expect(await f.store.topics({ limit: 10 })).toEqual({ rows: [] });
  },

  "topics enqueued to or configured are listed by name": async (f) => {
    const names = ["b", "B", "a:b", "a", "_", "0", "a/b", "a.b", "a-b", "ab", "10", "9"].map(topicName);
    for (const [index, name] of names.entries()) {
      if (index % 2 === 0) await f.enqueue([newTask("x")], name);
      else await f.store.configure(name, { paused: true });
    }
    const sorted = [...names].sort();
    for (const limit of [100, 12, 5, 1]) expect(await all(f, limit)).toEqual(sorted);
  },

  "a topic stays when its tasks are gone": async (f) => {
    await f.complete(await f.leased("a"));
    expect(await all(f, 10)).toEqual(["clicks"]);
  },

  "the last page says so, even when it is full": async (f) => {
    for (const name of ["a", "b"]) await f.enqueue([newTask("x")], topicName(name));
    expect((await f.store.topics({ limit: 2 })).next).toBeUndefined();
  },

  "1500 topics are paged through while others appear": async (f) => {
    const names = Array.from({ length: 1500 }, (_, index) => topicName(`t${String(index).padStart(4, "0")}`));
    for (let start = 0; start < names.length; start += 100) {
      await Promise.all(names.slice(start, start + 100).map((name) => f.store.configure(name, { paused: false })));
    }
    const seen: TopicName[] = [];
    for (let after: string | undefined; ; ) {
      const page = await f.store.topics({ limit: 400, ...(after && { after }) });
      seen.push(...page.rows);
      if (page.next === undefined) break;
      after = page.next;
      await f.store.configure(topicName("a-front"), { paused: false });
    }
    expect(seen).toEqual(names);
  },
});
