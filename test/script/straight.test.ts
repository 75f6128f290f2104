/** Tasks that go straight to a worker: what calls are answered, and what they leave, is what the whole script would. */
import { expect, test } from "vitest";
import { packRefs } from "../../server/store/redis/packing.js";
import { CALL_STRAIGHT, type Script, scriptParts } from "../../server/store/redis/script.js";
import { complete } from "../../server/store/redis/scripts/complete.js";
import { configure } from "../../server/store/redis/scripts/configure.js";
import { describe } from "../../server/store/redis/scripts/describe.js";
import { enqueue, enqueueCall } from "../../server/store/redis/scripts/enqueue.js";
import { fail } from "../../server/store/redis/scripts/fail.js";
import { hold } from "../../server/store/redis/scripts/hold.js";
import type { Completion, NewTask, SessionRef } from "../../server/store/store.js";
import { files } from "../support/source.js";
import { FOREIGN_TOKEN, NOW, newTask, newTasks, sessionId } from "../support/task-factory.js";
import { ScriptFixture, TOPIC } from "./script-fixture.js";

const WINDOW_MS = 30_000;
const session = { id: sessionId("worker-1"), epoch: 1 };

interface EnqueueOptions {
  session?: SessionRef;
  epoch?: number;
  limit?: number;
  bytesMax?: number;
  tasksMax?: number;
  endedWindowMs?: number;
}

/** A topic, and what its calls do: with the scripts as they are, or as if no task went straight. */
class Side {
  readonly f: ScriptFixture;
  readonly #whole: boolean;
  /** The first words of replies. */
  readonly words: string[] = [];
  now = NOW;

  constructor(f: ScriptFixture, whole: boolean) {
    this.f = f;
    this.#whole = whole;
  }

  async #run<Call, Answer>(script: Script<Call, Answer>, call: Call): Promise<Answer> {
    const source = this.#whole ? script.source.replace(CALL_STRAIGHT, "") : script.source;
    const [word, ...rest] = await this.f.raw(
      { source },
      script.keys(this.f.keys, call),
      script.args(call, this.f.keys),
    );
    this.words.push(String(word));
    return script.reply(String(word), rest, call);
  }

  hold(other = session, why: "open" | "resume" | "close" = "open") {
    return this.f.run(hold, { topic: TOPIC, session: other, why });
  }

  bury(lease: Completion) {
    const refs = packRefs([{ ...lease, error: "x", next: { kind: "bury" as const, reason: "do_not_retry" as const } }]);
    return this.f.run(fail, { topic: TOPIC, refs, now: this.now, endedWindowMs: WINDOW_MS });
  }

  pause(paused: boolean) {
    return this.f.run(configure, { topic: TOPIC, settings: { paused } });
  }

  enqueue(tasks: readonly NewTask[], options: EnqueueOptions = {}) {
    const { session: by = session, epoch = by.epoch, limit = 1, bytesMax = 1 } = options;
    const { tasksMax = 0, endedWindowMs = WINDOW_MS } = options;
    const demands = limit > 0 ? [{ session: { ...by, epoch }, limit, bytesMax }] : [];
    const call = { topic: TOPIC, now: this.now, endedWindowMs, tasksMax, bytesMax: 0, demands, tasks };
    return this.#run(enqueue, enqueueCall(call));
  }

  complete(completions: readonly Completion[], limit = 0, endedWindowMs = WINDOW_MS) {
    const demands = limit > 0 ? [{ session, limit, bytesMax: 1_000 }] : [];
    const call = { topic: TOPIC, refs: packRefs(completions), now: this.now, endedWindowMs, demands };
    return this.#run(complete, call);
  }

  async one(id: string, options: EnqueueOptions = {}): Promise<Completion[]> {
    const answer = await this.enqueue([newTask(id)], options);
    return answer.kind === "full" ? [] : [...answer.leased];
  }

  describe() {
    return this.f.run(describe, { topic: TOPIC });
  }

  /** Unfolded, and without counters that are 0. */
  async picture() {
    await this.f.unfold();
    const entries = Object.entries(await this.f.picture());
    const named = entries.map(([key, content]) => [key.replace(/^.*\}:/, ""), content] as const);
    return Object.fromEntries(named.map(([key, content]) => [key, key === "stats" ? withoutZeros(content) : content]));
  }
}

function withoutZeros(content: unknown): unknown {
  return JSON.parse(JSON.stringify(content), (_, value: unknown) => (value === "30" ? undefined : value));
}

/** Each with its answers, and the first words of the replies that brought them. */
const CASES: Record<
  string,
  (side: Side) => Promise<readonly [answers: unknown, words: readonly string[] | undefined]>
> = {
  "a task that is handed out and completed": async (side) => {
    await side.hold();
    const leases = await side.one("a");
    await side.complete(await side.one("b"));
    return [
      [leases, await side.complete(leases)],
      ["straight", "straight", "straight", "straight"],
    ];
  },
  "an id that is there": async (side) => {
    await side.hold();
    const first = await side.one("a");
    return [
      [first, await side.enqueue([newTask("a")])],
      ["straight", "enqueued"],
    ];
  },
  "an id that ended lately": async (side) => {
    await side.hold();
    await side.complete(await side.one("a"));
    const again = await side.enqueue([newTask("a")]);
    side.now += WINDOW_MS;
    const later = await side.enqueue([newTask("a")]);
    side.now += WINDOW_MS;
    const forgotten = await side.enqueue([newTask("a")]);
    return [
      [again, later, forgotten],
      ["straight", "straight", "enqueued", "enqueued", "straight"],
    ];
  },
  "a session that is not open": async (side) => {
    const nobody = await side.enqueue([newTask("a")]);
    await side.hold();
    return [
      [nobody, await side.enqueue([newTask("b")], { epoch: 2 })],
      ["enqueued", "enqueued"],
    ];
  },
  "a topic where tasks wait": async (side) => {
    await side.hold();
    await side.enqueue(newTasks(2), { limit: 0 });
    const leases = await side.one("a");
    return [
      [leases, await side.complete(leases), await side.complete(leases)],
      ["enqueued", "enqueued", "completed", "completed"],
    ];
  },
  "a topic that is paused, and goes on": async (side) => {
    await side.hold();
    const before = await side.one("before");
    await side.pause(true);
    const paused = await side.enqueue([newTask("a")]);
    await side.complete(before);
    await side.pause(false);
    return [
      [paused, await side.complete(await side.one("b", { limit: 2 }))],
      ["straight", "enqueued", "completed", "enqueued", "completed"],
    ];
  },
  "a topic that was configured": async (side) => {
    await side.hold();
    await side.pause(false);
    return [await side.one("a"), ["straight"]];
  },
  "tasks that are not plain": async (side) => {
    await side.hold();
    const tasks = [
      newTask("priority", { priority: 1 }),
      newTask("delayed", { dueAtMs: NOW + 1 }),
      newTask("external", { externalId: "x" }),
      newTask("kept", { retentionMs: 1_000 }),
    ];
    const answers = [];
    for (const task of tasks) answers.push(await side.enqueue([task]));
    const leases = answers.flatMap((answer) => (answer.kind === "full" ? [] : answer.leased));
    for (const lease of leases) await side.complete([lease]);
    return [answers, [...tasks.map(() => "enqueued"), ...leases.map(() => "completed")]];
  },
  "a topic with a bound": async (side) => {
    await side.hold();
    const one = await side.enqueue([newTask("a")], { tasksMax: 1 });
    return [
      [one, await side.enqueue([newTask("b")], { tasksMax: 1 })],
      ["enqueued", "full"],
    ];
  },
  "nothing that is remembered": async (side) => {
    await side.hold();
    const leases = await side.one("a", { endedWindowMs: 0 });
    return [
      [leases, await side.complete(leases, 0, 0)],
      ["straight", "straight"],
    ];
  },
  "a token that is not the lease's, and a result": async (side) => {
    await side.hold();
    const [lease] = await side.one("a");
    if (lease === undefined) throw new Error("nothing was leased");
    const lost = await side.complete([{ ...lease, token: FOREIGN_TOKEN }]);
    const twice = await side.complete([lease, lease]);
    const [other] = await side.one("b");
    if (other === undefined) throw new Error("nothing was leased");
    const withResult = await side.complete([{ ...other, result: Buffer.from("x") }]);
    return [
      [lost, twice, withResult],
      ["straight", "completed", "completed", "straight", "completed"],
    ];
  },
  "several tasks in one call": async (side) => {
    await side.hold();
    const answer = await side.enqueue(newTasks(5), { limit: 9, bytesMax: 1_000 });
    const leases = answer.kind === "full" ? [] : answer.leased;
    const some = await side.complete(leases.slice(0, 2));
    const again = await side.enqueue(newTasks(3, {}, "u"), { limit: 3, bytesMax: 1_000 });
    return [
      [answer, some, again, await side.describe()],
      ["straight", "straight", "straight"],
    ];
  },
  "more tasks, or more bytes, than the worker wants": async (side) => {
    await side.hold();
    const many = await side.enqueue(newTasks(3), { limit: 2, bytesMax: 1_000 });
    const heavy = await side.enqueue(newTasks(2, {}, "u"), { limit: 2, bytesMax: 15 });
    return [
      [many, heavy],
      ["enqueued", "enqueued"],
    ];
  },
  "one of several ids is known": async (side) => {
    await side.hold();
    await side.one("t0001");
    return [await side.enqueue(newTasks(3), { limit: 3, bytesMax: 1_000 }), ["straight", "enqueued"]];
  },
  "a failure in between": async (side) => {
    await side.hold();
    const [first] = await side.one("a");
    const second = await side.one("b");
    if (first === undefined) throw new Error("nothing was leased");
    const buried = await side.bury(first);
    const general = await side.complete(second);
    // The dead task is at rest, and known.
    const third = await side.one("c");
    const known = await side.enqueue([newTask("a")]);
    return [
      [buried, general, third, known, await side.complete(third)],
      ["straight", "straight", "completed", "straight", "enqueued", "completed"],
    ];
  },
  "tasks of two workers": async (side) => {
    const other = { id: sessionId("worker-2"), epoch: 7 };
    await side.hold();
    await side.hold(other);
    const mine = await side.one("a");
    const theirs = await side.one("b", { session: other });
    const stolen = await side.complete(mine.map((lease) => ({ ...lease, session: other.id })));
    const moved = await side.one("c", { session: other });
    await side.complete([...mine, ...theirs]);
    const last = await side.one("d", { session: other });
    await side.hold({ ...other, epoch: 8 }, "resume");
    return [
      [stolen, moved, last, await side.one("e", { session: other }), await side.describe()],
      ["straight", "straight", "completed", "enqueued", "completed", "enqueued", "enqueued"],
    ];
  },
  "ids that do not rise": async (side) => {
    await side.hold();
    for (const id of ["m", "z", "a", "n"]) await side.complete(await side.one(id));
    const known = [];
    for (const id of ["m", "z", "a", "n"]) known.push(await side.enqueue([newTask(id)]));
    return [
      [known, await side.one("x")],
      [...Array<string>(8).fill("straight"), ...Array<string>(4).fill("enqueued"), "straight"],
    ];
  },
  "ids that ended before the topic was folded, whatever their order": async (side) => {
    await side.hold();
    // Keeps the topic from being folded until it is completed.
    const blocker = await side.enqueue([newTask("blocker", { priority: 1 })]);
    await side.complete(await side.one("z"));
    if (blocker.kind === "enqueued") await side.complete(blocker.leased);
    const answers = [];
    for (let windows = 0; windows < 5; windows++) {
      answers.push(await side.one(`a${windows}`), await side.enqueue([newTask("z")], { limit: windows === 0 ? 0 : 1 }));
      side.now += WINDOW_MS;
    }
    return [answers, undefined];
  },
  "more ids that ended before the topic was folded than are looked at": async (side) => {
    await side.hold();
    const many = await side.enqueue(newTasks(70, { priority: 1 }), { limit: 70, bytesMax: 10_000 });
    if (many.kind === "enqueued") await side.complete(many.leased);
    const answers = [];
    for (let windows = 0; windows < 5; windows++) {
      answers.push(await side.complete(await side.one(`a${windows}`)), await side.enqueue([newTask("t0069")]));
      answers.push(await side.one(`b${windows}`));
      side.now += WINDOW_MS;
    }
    return [answers, undefined];
  },
  "more tasks than are kept folded": async (side) => {
    await side.hold();
    const leases: Completion[] = [];
    for (const prefix of ["t", "u", "v"]) {
      const answer = await side.enqueue(newTasks(1_000, {}, prefix), { limit: 1_000, bytesMax: 1_000_000 });
      if (answer.kind === "enqueued") leases.push(...answer.leased);
    }
    const held = await side.describe();
    const first = await side.complete(leases.slice(0, 1_000));
    return [
      [leases, held, first],
      ["straight", "straight", "enqueued", "completed"],
    ];
  },
  "a worker that wants another task": async (side) => {
    await side.hold();
    const leases = await side.one("a");
    return [await side.complete(leases, 1), ["straight", "completed"]];
  },
};

test.each(Object.entries(CASES))("%s", async (_, run) => {
  using f = await ScriptFixture.open();
  using g = await ScriptFixture.open();
  const [side, whole] = [new Side(f, false), new Side(g, true)];
  const [answers, words] = await run(side);
  const [expected] = await run(whole);
  expect(answers).toEqual(expected);
  expect(await side.picture()).toEqual(await whole.picture());
  if (words !== undefined) expect(side.words).toEqual(words);
  expect(whole.words).not.toContain("straight");
});

test("hundreds of them, through all forms that a window has", async () => {
  using f = await ScriptFixture.open();
  using g = await ScriptFixture.open();
  const [side, whole] = [new Side(f, false), new Side(g, true)];
  for (const each of [side, whole]) {
    await each.hold();
    for (let i = 0; i < 1_100; i++) {
      const leases = await each.one(`t${String(i).padStart(8, "0")}`);
      await each.complete(leases);
    }
    // Still remembered, wherever it is now.
    expect(await each.enqueue([newTask("t00000007")])).toMatchObject({ created: [false], leased: [] });
    expect(await each.enqueue([newTask("t00001099")])).toMatchObject({ created: [false], leased: [] });
  }
  expect(await side.picture()).toEqual(await whole.picture());
  const unusual = side.words.slice(0, -2).filter((word) => word !== "straight");
  // The first of a window, the one that makes it a table, the one that divides it, and the first of each shard.
  expect(unusual.length).toBeLessThan(20);
});

const topicScripts = files("server/store/redis/scripts", ".lua")
  .filter((path) => !path.includes("/fragments/"))
  .map((path) => path.replace(/^.*\/|\.lua$/g, ""))
  .filter((name) => scriptParts(name).fragments.some((fragment) => fragment.name === "topic"));

test("every script of a topic unfolds it first, but for describe, which reads both forms", () => {
  expect(topicScripts.length).toBeGreaterThan(20);
  expect(topicScripts.filter((name) => !scriptParts(name).unfolds)).toEqual(["describe"]);
});
