/** Calls about a lone task: what they are answered, and what they leave, is what the whole script would. */
import { expect, test } from "vitest";
import { packRefs } from "../../server/store/redis/packing.js";
import { CALL_LONE, type Script } from "../../server/store/redis/script.js";
import { complete } from "../../server/store/redis/scripts/complete.js";
import { configure } from "../../server/store/redis/scripts/configure.js";
import { enqueue, enqueueCall } from "../../server/store/redis/scripts/enqueue.js";
import { hold } from "../../server/store/redis/scripts/hold.js";
import type { Completion, NewTask } from "../../server/store/store.js";
import { FOREIGN_TOKEN, NOW, newTask, newTasks, sessionId } from "../support/task-factory.js";
import { ScriptFixture, TOPIC } from "./script-fixture.js";

const WINDOW_MS = 30_000;
const session = { id: sessionId("worker-1"), epoch: 1 };

/** A topic, and what its calls do: with the scripts as they are, or as if no call were about a lone task. */
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
    const source = this.#whole ? script.source.replace(CALL_LONE, "") : script.source;
    const [word, ...rest] = await this.f.raw(
      { source },
      script.keys(this.f.keys, call),
      script.args(call, this.f.keys),
    );
    this.words.push(String(word));
    return script.reply(String(word), rest, call);
  }

  hold() {
    return this.f.run(hold, { topic: TOPIC, session, why: "open" });
  }

  pause(paused: boolean) {
    return this.f.run(configure, { topic: TOPIC, settings: { paused } });
  }

  enqueue(tasks: readonly NewTask[], { limit = 1, epoch = 1, tasksMax = 0, endedWindowMs = WINDOW_MS } = {}) {
    const demands = limit > 0 ? [{ session: { ...session, epoch }, limit, bytesMax: 1 }] : [];
    const call = { topic: TOPIC, now: this.now, endedWindowMs, tasksMax, bytesMax: 0, demands, tasks };
    return this.#run(enqueue, enqueueCall(call));
  }

  complete(completions: readonly Completion[], limit = 0, endedWindowMs = WINDOW_MS) {
    const demands = limit > 0 ? [{ session, limit, bytesMax: 1_000 }] : [];
    const call = { topic: TOPIC, refs: packRefs(completions), now: this.now, endedWindowMs, demands };
    return this.#run(complete, call);
  }

  async lone(id: string, options = {}): Promise<Completion[]> {
    const answer = await this.enqueue([newTask(id)], options);
    return answer.kind === "full" ? [] : [...answer.leased];
  }

  async picture() {
    const entries = Object.entries(await this.f.picture());
    return Object.fromEntries(entries.map(([key, content]) => [key.replace(/^.*\}:/, ""), content]));
  }
}

/** Each with its answers, and the first words of the replies that brought them. */
const CASES: Record<string, (side: Side) => Promise<readonly [answers: unknown, words: readonly string[]]>> = {
  "a task that is handed out and completed": async (side) => {
    await side.hold();
    const leases = await side.lone("a");
    await side.complete(await side.lone("b"));
    return [
      [leases, await side.complete(leases)],
      ["lone", "lone", "completed", "lone"],
    ];
  },
  "an id that is there": async (side) => {
    await side.hold();
    const first = await side.lone("a");
    return [
      [first, await side.enqueue([newTask("a")])],
      ["lone", "enqueued"],
    ];
  },
  "an id that ended lately": async (side) => {
    await side.hold();
    await side.complete(await side.lone("a"));
    const again = await side.enqueue([newTask("a")]);
    side.now += WINDOW_MS;
    const later = await side.enqueue([newTask("a")]);
    side.now += WINDOW_MS;
    const forgotten = await side.enqueue([newTask("a")]);
    return [
      [again, later, forgotten],
      ["lone", "completed", "enqueued", "enqueued", "lone"],
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
    const leases = await side.lone("a");
    return [
      [leases, await side.complete(leases), await side.complete(leases)],
      ["enqueued", "enqueued", "completed", "completed"],
    ];
  },
  "a topic that is paused, and goes on": async (side) => {
    await side.hold();
    const before = await side.lone("before");
    await side.pause(true);
    const paused = await side.enqueue([newTask("a")]);
    await side.complete(before);
    await side.pause(false);
    return [
      [paused, await side.complete(await side.lone("b", { limit: 2 }))],
      ["lone", "enqueued", "completed", "enqueued", "completed"],
    ];
  },
  "a topic that was configured": async (side) => {
    await side.hold();
    await side.pause(false);
    return [await side.lone("a"), ["lone"]];
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
    const leases = await side.lone("a", { endedWindowMs: 0 });
    return [
      [leases, await side.complete(leases, 0, 0)],
      ["lone", "completed"],
    ];
  },
  "a token that is not the lease's, and a result": async (side) => {
    await side.hold();
    const [lease] = await side.lone("a");
    if (lease === undefined) throw new Error("nothing was leased");
    const lost = await side.complete([{ ...lease, token: FOREIGN_TOKEN }]);
    const twice = await side.complete([lease, lease]);
    const [other] = await side.lone("b");
    if (other === undefined) throw new Error("nothing was leased");
    const withResult = await side.complete([{ ...other, result: Buffer.from("x") }]);
    return [
      [lost, twice, withResult],
      ["lone", "completed", "completed", "lone", "completed"],
    ];
  },
  "a worker that wants another task": async (side) => {
    await side.hold();
    const leases = await side.lone("a");
    return [await side.complete(leases, 1), ["lone", "completed"]];
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
  expect(side.words).toEqual(words);
  expect(whole.words).not.toContain("lone");
});

test("hundreds of them, through all forms that a window has", async () => {
  using f = await ScriptFixture.open();
  using g = await ScriptFixture.open();
  const [side, whole] = [new Side(f, false), new Side(g, true)];
  for (const each of [side, whole]) {
    await each.hold();
    for (let i = 0; i < 1_100; i++) {
      const leases = await each.lone(`t${String(i).padStart(8, "0")}`);
      await each.complete(leases);
    }
    // Still remembered, wherever it is now.
    expect(await each.enqueue([newTask("t00000007")])).toMatchObject({ created: [false], leased: [] });
    expect(await each.enqueue([newTask("t00001099")])).toMatchObject({ created: [false], leased: [] });
  }
  expect(await side.picture()).toEqual(await whole.picture());
  const unusual = side.words.slice(0, -2).filter((word) => word !== "lone");
  // The first of a window, the one that makes it a table, the one that divides it, and the first of each shard.
  expect(unusual.length).toBeLessThan(20);
});
