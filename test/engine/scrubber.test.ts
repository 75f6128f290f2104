import { describe, expect, test } from "vitest";
import { Broker } from "../../server/engine/broker.js";
import type { TopicProblem } from "../../server/engine/scrubber.js";
import { ModelStore } from "../differential/model.js";
import { ManualClock } from "../support/clock.js";
import { TestEngine, TOPIC } from "../support/engine.js";
import { newSession, newTask, topicName } from "../support/task-factory.js";

const OTHER = topicName("mails");

/** Leases of a session that somebody closed without ending them, in each topic. */
async function orphan(engine: TestEngine, topics = [TOPIC]): Promise<void> {
  const session = newSession("lost", topics);
  await engine.backend.openSession(session);
  for (const topic of topics) {
    await engine.enqueue(["a"], {}, topic);
    const demand = { session: { id: session.id, epoch: 1 }, limit: 1, bytesMax: 1_000 };
    await engine.backend.lease(topic, [demand], { now: engine.broker.now() });
  }
  await engine.backend.closeSession({ id: session.id, epoch: 1 });
}

describe("the scrubber", () => {
  test("finds what nobody else would, repairs it, and says so", async () => {
    await using engine = await TestEngine.start();
    await orphan(engine, [TOPIC, OTHER]);
    await engine.clock.advance(30_000);
    expect((await engine.task("a"))?.state).toBe("ready");
    expect((await engine.task("a", OTHER))?.state).toBe("ready");
    expect(engine.complaints).toEqual(["the store is not consistent", "the store is not consistent"]);
  });

  test("tells each problem to whoever counts them", async () => {
    const clock = new ManualClock();
    const problems: TopicProblem[] = [];
    const store = new ModelStore();
    const broker = new Broker({ store, clock, onScrubProblem: (problem) => problems.push(problem) });
    await using engine = await TestEngine.start({ clock, backend: store, options: { scrubMs: 0 } });
    await orphan(engine);
    await broker.scrub({ limit: 100, repair: false });
    await broker.scrub({ limit: 100, repair: true });
    const problem = { topic: TOPIC, kind: "orphan_lease", id: "a" };
    expect(problems).toMatchObject([
      { ...problem, repaired: false },
      { ...problem, repaired: true },
    ]);
  });

  test("asks the store for one piece at a time, and never when it is switched off", async () => {
    await using engine = await TestEngine.start({ options: { scrubMs: 10_000 } });
    await using still = await engine.another({ scrubMs: 0 });
    await engine.enqueue(["a"]);
    await engine.clock.advance(65_000);
    expect(engine.rig.calls("scrub")).toBeGreaterThanOrEqual(5);
    expect(engine.rig.calls("scrub")).toBeLessThanOrEqual(7);
    expect(still.rig.calls("scrub")).toBe(0);
  });

  test("goes on after the store was away", async () => {
    await using engine = await TestEngine.start();
    await orphan(engine);
    engine.rig.goAway("scrub");
    await engine.clock.advance(30_000);
    expect((await engine.task("a"))?.state).toBe("leased");
    engine.rig.comeBack();
    await engine.clock.advance(30_000);
    expect((await engine.task("a"))?.state).toBe("ready");
  });

  test("an operator walks all topics, or one, by the cursor of the piece before", async () => {
    await using engine = await TestEngine.start({ options: { scrubMs: 0 } });
    const names = Array.from({ length: 7 }, (_, index) => topicName(`topic-${index}`));
    for (const topic of names) await engine.enqueue(["x", "y"], {}, topic);
    let checked = 0;
    let after: string | undefined;
    for (let pieces = 1; ; pieces += 1) {
      const piece = await engine.broker.scrub({ limit: 1, repair: true, ...(after === undefined ? {} : { after }) });
      checked += piece.checked;
      after = piece.next;
      if (after === undefined) break;
      expect(pieces).toBeLessThan(20);
    }
    expect(checked).toBe(14);
    expect(await engine.broker.scrub({ topic: OTHER, limit: 1, repair: true })).toEqual({ checked: 0, problems: [] });
    await expect(engine.broker.scrub({ limit: 1, repair: true, after: "x" })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  });
});

describe("the bounds of the namespace", () => {
  const full = expect.objectContaining({ code: "NAMESPACE_FULL", retryDelayMs: 1_000 });

  test("tasks beyond are refused at once by the broker that accepted the others", async () => {
    await using engine = await TestEngine.start({ options: { tasksMax: 5 } });
    await engine.enqueue(["a", "b", "c"]);
    await engine.enqueue(["a", "b"], {}, OTHER);
    await expect(engine.enqueue(["d"])).rejects.toEqual(full);
    await engine.clock.advance(5_000);
    await expect(engine.enqueue(["d"])).rejects.toEqual(full);
  });

  test("what other brokers accepted counts a second later", async () => {
    await using engine = await TestEngine.start({ options: { tasksMax: 5 } });
    await using other = await engine.another();
    await other.enqueue(["a", "b", "c", "d", "e"]);
    await engine.clock.advance(1_200);
    await expect(engine.enqueue(["f"])).rejects.toEqual(full);
  });

  test("tasks are accepted again when others have gone", async () => {
    await using engine = await TestEngine.start({ options: { tasksMax: 2 } });
    await engine.enqueue(["a", "b"]);
    await expect(engine.enqueue(["c"])).rejects.toEqual(full);
    await engine.broker.remove(TOPIC, [newTask("a").id]);
    await engine.clock.advance(1_200);
    expect(await engine.enqueue(["c"])).toEqual([true]);
  });

  test("bytes are bounded too", async () => {
    await using engine = await TestEngine.start({ options: { bytesMax: 1_000 } });
    await engine.enqueue(["a"], { spec: "x".repeat(900) });
    await expect(engine.enqueue(["b"], { spec: "x".repeat(100) })).rejects.toEqual(full);
    expect(await engine.enqueue(["c"], { spec: "x" })).toEqual([true]);
  });

  test("without bounds the store is not asked", async () => {
    await using engine = await TestEngine.start({ options: { scrubMs: 0, sweepMs: 60_000 } });
    await engine.enqueue(["a"]);
    const before = engine.rig.calls("describe");
    await engine.clock.advance(10_000);
    expect(engine.rig.calls("describe")).toBe(before);
  });
});
