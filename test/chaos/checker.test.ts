/** The checker on hand-made histories: each invariant passes what is right, and catches what is not, by its name. */
import { describe, expect, test } from "vitest";
import { check, INVARIANTS, type InvariantName } from "./checker.js";
import type { Expectations } from "./invariants/invariant.js";
import { Story } from "./story.js";

/** `invariant: what it says of which task`, without the words that are the same for all. */
function complaints(story: Story, expected: Partial<Expectations> = {}): string[] {
  return check(story.history, expected).violations.map(({ invariant, task }) =>
    task ? `${invariant}: ${task}` : invariant,
  );
}

const caught = new Set<InvariantName>();

function expectCaught(story: Story, invariant: InvariantName, expected: Partial<Expectations> = {}): void {
  caught.add(invariant);
  const names = check(story.history, expected).violations.map((violation) => violation.invariant);
  expect([...new Set(names)], "and nothing else").toEqual([invariant]);
}

const retry = { retries: 1 };

describe("what is right passes", () => {
  test("a task that runs once", () => {
    expect(complaints(new Story().enqueue("a").run("a", "1").finish({ a: {} }))).toEqual([]);
  });

  test("a task that is not kept disappears when it is completed", () => {
    expect(complaints(new Story().enqueue("a", { kept: false }).run("a", "1").finish())).toEqual([]);
  });

  test("a failed attempt, then a good one", () => {
    const story = new Story().enqueue("a", retry).run("a", "1", "failed");
    expect(
      complaints(
        story
          .start("a", "2", { attempt: 2 })
          .end("2")
          .settle("2")
          .finish({ a: { failures: 1 } }),
      ),
    ).toEqual([]);
  });

  test("a retry that begins before the worker hears that its failure is stored", () => {
    const story = new Story().enqueue("a", retry).start("a", "1").end("1", "failed");
    story.start("a", "2", { attempt: 2 }).settle("1").end("2").settle("2");
    expect(complaints(story.finish({ a: { failures: 1 } }))).toEqual([]);
  });

  test("a frozen worker whose task runs elsewhere, and whose report is refused", () => {
    const story = new Story()
      .enqueue("a")
      .start("a", "1")
      .start("a", "2", { by: "worker-2#1", attempt: 2, failures: 0 });
    story.end("1").lose("1").end("2").settle("2");
    expect(complaints(story.finish({ a: { lostLeases: 1 } }))).toEqual([]);
  });

  test("a killed worker whose task runs elsewhere", () => {
    const story = new Story().enqueue("a").start("a", "1").kill();
    story.start("a", "2", { by: "worker-2#1", attempt: 2, failures: 0 }).end("2").settle("2");
    expect(complaints(story.finish({ a: { lostLeases: 1 } }))).toEqual([]);
  });

  test("a closing worker whose processor runs on after its task was handed back", () => {
    const story = new Story().enqueue("a").start("a", "1").abort("1", "CLOSED").release("1").settle("1");
    story.start("a", "2", { by: "worker-2#1" }).end("1").end("2").settle("2");
    expect(complaints(story.finish({ a: {} }, { completed: 1, released: 1, expired: 0, retried: 0 }))).toEqual([]);
  });

  test("a report that was stored, sent again after a lost connection, and refused the second time", () => {
    const story = new Story().enqueue("a", { kept: false }).start("a", "1").end("1");
    story.tell("worker-1#1", { kind: "worker:disconnected", code: "UNREACHABLE" });
    expect(complaints(story.lose("1").finish({}, { completed: 1, expired: 0 }))).toEqual([]);
  });

  test("an enqueue whose answer never came, kept or not", () => {
    const kept = new Story();
    kept.invoke(["a"]);
    expect(complaints(kept.run("a", "1").finish({ a: {} }))).toEqual([]);
    const lost = new Story();
    lost.invoke(["a"]);
    expect(complaints(lost.finish({}, { enqueued: 0 }))).toEqual([]);
  });

  test("an enqueue that is repeated, and recognised", () => {
    expect(complaints(new Story().enqueue("a").enqueue("a", {}, false).run("a", "1").finish({ a: {} }))).toEqual([]);
  });

  test("what a store forgets that may forget its last second is excused, and told", () => {
    const story = new Story().enqueue("a").fault("redis-forget", 1_000).finish({}, { enqueued: 0 });
    const { violations, excused } = check(story.history);
    expect(violations).toEqual([]);
    expect(excused.map(({ invariant }) => invariant)).toEqual(["accepted-is-kept"]);
  });

  test("and what it had longer is not", () => {
    expectCaught(
      new Story().enqueue("a").wait(1_100).fault("redis-forget", 1_000).finish({}, { deleted: 1 }),
      "accepted-is-kept",
    );
  });
});

describe("accepted-is-kept catches", () => {
  test("a task that is not there and never ran", () => {
    expectCaught(new Story().enqueue("a", { kept: false }).finish({}, { deleted: 1 }), "accepted-is-kept");
  });

  test("a task that is gone although it should be kept", () => {
    const story = new Story().enqueue("a").run("a", "1").finish();
    expect(complaints(story)).toContain("accepted-is-kept: a");
  });

  test("a task that is gone although every run of it failed", () => {
    const story = new Story().enqueue("a", { kept: false }).run("a", "1", "failed");
    expectCaught(
      story.finish({}, { enqueued: 1, completed: 0, failed: 0, retried: 1, deleted: 1, expired: 0 }),
      "accepted-is-kept",
    );
  });

  test("a task whose only completion was refused", () => {
    const story = new Story().enqueue("a", { kept: false }).start("a", "1").end("1").lose("1");
    expectCaught(story.finish({}, { deleted: 1 }), "accepted-is-kept");
  });
});

describe("nothing-invented and enqueued-once catch", () => {
  test("a task that nobody enqueued", () => {
    expect(complaints(new Story().run("a", "1").finish({ a: {} }))).toContain("nothing-invented: a");
    caught.add("nothing-invented");
  });

  test("a task whose enqueue was refused", () => {
    const story = new Story();
    const call = story.invoke(["a"]);
    story.tell("producer-1#1", { kind: "enqueue:failed", call, code: "TOPIC_FULL", unknown: false });
    expect(complaints(story.run("a", "1").finish({ a: {} }))).toContain("nothing-invented: a");
  });

  test("a task that two calls created", () => {
    expectCaught(new Story().enqueue("a").enqueue("a").run("a", "1").finish({ a: {} }), "enqueued-once");
  });
});

describe("one-valid-lease catches", () => {
  const other = "worker-2#1";

  test("one token for two workers", () => {
    const story = new Story().enqueue("a").run("a", "1");
    const again = { kind: "run:started", topic: "topic", task: "a", token: "1", attempt: 1, failures: 0 } as const;
    story.tell(other, again);
    expect(complaints(story.finish({ a: {} }))).toContain("one-valid-lease: a");
    caught.add("one-valid-lease");
  });

  test("two confirmed completions", () => {
    const story = new Story().enqueue("a").start("a", "1").start("a", "2", { by: other, attempt: 2, failures: 0 });
    story.end("1").settle("1").end("2").settle("2");
    expect(complaints(story.finish({ a: { lostLeases: 1 } }, { completed: 1, expired: 1 }))).toContain(
      "one-valid-lease: a",
    );
  });

  test("a completion that is confirmed although the task was leased to another worker meanwhile", () => {
    const story = new Story().enqueue("a").start("a", "1").start("a", "2", { by: other, attempt: 2, failures: 0 });
    story.end("1").settle("1").end("2").lose("2");
    expect(complaints(story.finish({ a: { lostLeases: 1 } }, { completed: 1, expired: 1 }))).toContain(
      "one-valid-lease: a",
    );
  });

  test("a failure that is confirmed although the task was leased to another worker meanwhile", () => {
    const story = new Story()
      .enqueue("a", retry)
      .start("a", "1")
      .start("a", "2", { by: other, attempt: 2, failures: 0 });
    story.end("1", "failed").settle("1").end("2").settle("2");
    expect(complaints(story.finish({ a: {} }))).toContain("one-valid-lease: a");
  });

  test("a live worker that is never told that its lease is over", () => {
    const story = new Story().enqueue("a").start("a", "1").start("a", "2", { by: other, attempt: 2, failures: 0 });
    expectCaught(
      story
        .end("2")
        .settle("2")
        .finish({ a: { lostLeases: 1 } }),
      "one-valid-lease",
    );
  });
});

describe("nothing-after-completion catches", () => {
  test("a run that begins afterwards", () => {
    const story = new Story()
      .enqueue("a")
      .run("a", "1")
      .start("a", "2", { attempt: 2, failures: 0 })
      .end("2")
      .lose("2");
    expect(complaints(story.finish({ a: {} }))).toContain("nothing-after-completion: a");
  });

  test("a completed task that waits to run", () => {
    const story = new Story()
      .enqueue("a")
      .run("a", "1")
      .finish({ a: { state: "ready" } });
    expect(complaints(story)).toContain("nothing-after-completion: a");
    caught.add("nothing-after-completion");
  });
});

describe("leases-spared catches, where it is asked for", () => {
  test("a lease and a session that were lost", () => {
    const story = new Story().enqueue("a").start("a", "1").lose("1");
    story.tell("worker-1#1", { kind: "session:lost", session: "s" }).start("a", "2", { attempt: 2, failures: 0 });
    story
      .end("2")
      .settle("2")
      .finish({ a: { lostLeases: 1 } });
    expect(complaints(story)).toEqual([]);
    expectCaught(story, "leases-spared", { leasesSpared: true });
  });
});

describe("attempts-bounded and lost-leases-bounded catch", () => {
  test("a run beyond the last retry", () => {
    const story = new Story().enqueue("a").run("a", "1", "failed").start("a", "2", { attempt: 2 }).end("2").settle("2");
    expectCaught(story.finish({ a: { failures: 1 } }), "attempts-bounded");
  });

  test("a failure that was not counted", () => {
    const story = new Story()
      .enqueue("a", retry)
      .run("a", "1", "failed")
      .start("a", "2", { attempt: 1 })
      .end("2")
      .settle("2");
    expectCaught(story.finish({ a: {} }), "attempts-bounded");
  });

  test("a failure that was counted and never happened", () => {
    const story = new Story().enqueue("a", retry).start("a", "1", { attempt: 2 }).end("1").settle("1");
    expectCaught(story.finish({ a: {} }), "attempts-bounded");
  });

  test("a task that dies before its retries are used up", () => {
    const story = new Story().enqueue("a", retry).run("a", "1", "failed");
    expectCaught(
      story.finish({ a: { state: "dead", failures: 1, deadReason: "retries_exhausted" } }),
      "attempts-bounded",
    );
  });

  test("a run after the last lease that may be lost", () => {
    const story = new Story().enqueue("a").start("a", "1").kill();
    story
      .start("a", "2", { by: "worker-2#1", attempt: 2, failures: 0 })
      .end("2")
      .settle("2")
      .finish({ a: { lostLeases: 1 } });
    expect(complaints(story, { lostLeasesMax: () => 2 })).toEqual([]);
    expectCaught(story, "lost-leases-bounded", { lostLeasesMax: () => 1 });
  });

  test("a lost lease that was charged and never lost", () => {
    const story = new Story().enqueue("a").start("a", "1", { attempt: 2, failures: 0 }).end("1").settle("1");
    expectCaught(story.finish({ a: {} }), "lost-leases-bounded");
  });
});

describe("order catches", () => {
  test("a later task that runs first", () => {
    const story = new Story().worker().enqueue("a").enqueue("b").enqueue("c");
    expect(complaints(story.run("a", "1").run("c", "2").run("b", "3").finish({ a: {}, b: {}, c: {} }))).toEqual([
      "order: c",
    ]);
    caught.add("order");
  });

  test("a less urgent task that runs first", () => {
    const story = new Story().worker().enqueue("a").enqueue("b").enqueue("c", { priority: -1 });
    expect(complaints(story.run("a", "1").run("b", "2").run("c", "3").finish({ a: {}, b: {}, c: {} }))).toEqual([
      "order: b",
    ]);
  });

  test("tasks of one call in another order", () => {
    const story = new Story().worker().enqueue("a");
    story.acknowledge(story.invoke(["b", "c"]), [true, true]);
    expect(complaints(story.run("a", "1").run("c", "2").run("b", "3").finish({ a: {}, b: {}, c: {} }))).toEqual([
      "order: c",
    ]);
  });

  test("nothing where a task came too late to be chosen, or a fault was injected", () => {
    const late = new Story().worker().enqueue("a").enqueue("b").run("a", "1").enqueue("c", { priority: -1 });
    expect(complaints(late.run("b", "2").run("c", "3").finish({ a: {}, b: {}, c: {} }))).toEqual([]);
    const faulty = new Story().worker().fault("worker-cut").enqueue("a").enqueue("b").enqueue("c");
    expect(complaints(faulty.run("a", "1").run("c", "2").run("b", "3").finish({ a: {}, b: {}, c: {} }))).toEqual([]);
  });
});

describe("counters-equal-recount catches", () => {
  const completed = () => new Story().enqueue("a").run("a", "1");

  test.each([
    ["a size that is not what the list holds", { deadQueueSize: 1 }],
    ["a started lease that nobody accounts for", { started: 2 }],
    ["a completion that nobody reported", { completed: 2, started: 2, enqueued: 2 }],
    ["a completion that was confirmed and not counted", { completed: 0, released: 1, deleted: 1 }],
    ["a failure that nobody reported", { retried: 1, started: 2 }],
  ])("%s", (_, figures) => {
    expectCaught(completed().finish({ a: {} }, figures), "counters-equal-recount");
  });
});

describe("everything-ends, nobody-dies and nothing-leaks catch", () => {
  test("work that is left", () => {
    const story = new Story()
      .enqueue("a")
      .tell("fate", { kind: "overdue", afterMs: 20_000, left: { inputQueueSize: 1 } });
    expectCaught(story.finish({ a: { state: "ready" } }), "everything-ends");
  });

  test("a run without an end", () => {
    expectCaught(new Story().enqueue("a"), "everything-ends");
  });

  test("a process that ends by itself", () => {
    const ended = { kind: "process:ended", process: "broker-1#1", how: "exited", code: 1, expected: false } as const;
    expectCaught(new Story().tell("fate", ended).finish(), "nobody-dies");
  });

  test.each([
    ["files", { files: 90 }],
    ["sockets", { sockets: 20 }],
    ["memory", { residentBytes: 2 ** 29 }],
  ])("%s that a broker keeps", (_, more) => {
    const rest = { kind: "resources", process: "broker-1#1", files: 30, sockets: 5, residentBytes: 2 ** 27 } as const;
    const story = new Story()
      .tell("fate", { ...rest, moment: "start" })
      .tell("fate", { ...rest, moment: "end", ...more });
    expectCaught(story.finish(), "nothing-leaks");
  });

  test.each([
    ["does not exit", { afterMs: 10_000, code: -1 }],
    ["takes its time", { afterMs: 4_000, code: 0 }],
    ["exits badly", { afterMs: 10, code: 1 }],
  ])("a process that %s", (_, exit) => {
    expectCaught(
      new Story().tell("fate", { kind: "stopped", process: "broker-1#1", ...exit }).finish(),
      "nothing-leaks",
    );
  });
});

test("every invariant has been seen to catch something", () => {
  expect(Object.keys(INVARIANTS).filter((name) => !([...caught] as string[]).includes(name))).toEqual([]);
});
