/** How verbs that are called together are written, applied and answered, by a keeper that only takes notes. */
import { expect, test } from "vitest";
import { TaskqueueError } from "../../../../server/domain/errors.js";
import { type Call, CallQueue, type Keeper } from "../../../../server/store/embedded/call-queue.js";
import { ENTRY_HEAD_BYTES } from "../../../../server/store/embedded/journal.js";
import { EntryWriter, type Journaled } from "../../../../server/store/embedded/journal-codec.js";
import type { State } from "../../../../server/store/embedded/verbs.js";
import { openEmbeddedState } from "../../../support/embedded-state.js";

interface Opening {
  readonly promise: Promise<void>;
  readonly open: () => void;
}

function opening(): Opening {
  let open = () => {};
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

class NotingKeeper implements Keeper {
  readonly state: State;
  readonly notes: string[] = [];
  length = 0;
  /** What an append of several entries, and one of a single entry, comes to. */
  together: "written" | "no room" = "written";
  alone: "written" | "full" = "written";
  closed: Opening | undefined;
  broken: unknown;
  synced: Promise<void> | undefined;
  unwelcome: Journaled | undefined;

  constructor(state: State) {
    this.state = state;
  }

  close(): void {
    this.closed = opening();
  }

  reopen(): void {
    const { closed } = this;
    this.closed = undefined;
    closed?.open();
  }

  gate = () => this.closed?.promise;
  failure = () => this.broken;
  ask = <Answer>(question: (state: State) => Answer) => question(this.state);
  wake = () => {};

  admit(verb: Journaled): void {
    if (verb === this.unwelcome) throw new TaskqueueError("STORE_FULL", "not this one");
  }

  append(entries: EntryWriter, verbs: readonly Journaled[]): number | "no room" {
    if (verbs.length > 1 && this.together === "no room") return "no room";
    if (verbs.length === 1 && this.alone === "full") throw new TaskqueueError("STORE_FULL", "no room");
    this.notes.push(`write ${verbs.length}`);
    const at = this.length;
    this.length += entries.length;
    return at;
  }

  applied(): Promise<void> | undefined {
    this.notes.push("applied");
    return this.synced;
  }

  giveUp(from: number): void {
    this.notes.push(`give up ${from}`);
    this.length = from;
    this.close();
  }
}

/** Of an entry that says `["x"]`. */
const ENTRY_BYTES = ENTRY_HEAD_BYTES + 1 + 5;

function openQueue() {
  const opened = openEmbeddedState();
  const keeper = new NotingKeeper(opened.state);
  const queue = new CallQueue(keeper, new EntryWriter());
  const call = (name: string, how: Partial<Call<string>> = {}) => {
    const apply = () => {
      keeper.notes.push(name);
      return name;
    };
    return queue.add({ verb: "prune", write: (entry) => entry.json(["x"]), apply, ...how });
  };
  return { keeper, queue, call, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
}

function failing(): never {
  throw new Error("half-way");
}

test("verbs that are called together are written with one write, applied in their order, and then answered", async () => {
  await using f = openQueue();
  const answers = [f.call("a"), f.call("b"), f.call("c")];
  expect(f.keeper.notes).toEqual([]);
  expect(await Promise.all(answers)).toEqual(["a", "b", "c"]);
  expect(f.keeper.notes).toEqual(["write 3", "a", "b", "c", "applied"]);
  expect(f.keeper.length).toBe(3 * ENTRY_BYTES);
});

test("a call that is a question first sees what came before it, and begins a group", async () => {
  await using f = openQueue();
  const sees = (what: string) => ({ changes: () => f.keeper.notes.includes(what) });
  const answers = [f.call("a"), f.call("b", sees("a")), f.call("c"), f.call("question", sees("d")), f.call("d")];
  expect(await Promise.all(answers)).toEqual(["a", "b", "c", "question", "d"]);
  expect(f.keeper.notes).toEqual([
    "write 1",
    "a",
    "applied",
    "write 2",
    "b",
    "c",
    "applied",
    "question",
    "write 1",
    "d",
    "applied",
  ]);
});

test("a group is bounded by its bytes", async () => {
  await using f = openQueue();
  const large: Partial<Call<string>> = { write: (entry) => entry.bytes(Buffer.alloc(100_000)) };
  await Promise.all(["a", "b", "c", "d"].map((name) => f.call(name, large)));
  expect(f.keeper.notes.filter((note) => note.startsWith("write"))).toEqual(["write 3", "write 1"]);
});

test("a verb that is not let in, or cannot be written down, is refused alone", async () => {
  await using f = openQueue();
  f.keeper.unwelcome = "enqueue";
  const answers = [f.call("a"), f.call("b", { verb: "enqueue" }), f.call("c", { write: failing }), f.call("d")];
  const outcomes = await Promise.allSettled(answers);
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected", "fulfilled"]);
  expect(f.keeper.notes).toEqual(["write 2", "a", "d", "applied"]);
  expect(f.keeper.length).toBe(2 * ENTRY_BYTES);
});

test("a verb that fails is taken back, and those behind it wait for the gate", async () => {
  await using f = openQueue();
  const answers = [f.call("a"), f.call("b", { apply: failing }), f.call("c"), f.call("d")];
  await expect(answers[1]).rejects.toThrow("half-way");
  expect(await answers[0]).toBe("a");
  const written = ["write 4", "a", `give up ${ENTRY_BYTES}`, "applied"];
  expect(f.keeper.notes).toEqual(written);
  const later = f.call("e");
  f.keeper.reopen();
  expect(await Promise.all([answers[2], answers[3], later])).toEqual(["c", "d", "e"]);
  expect(f.keeper.notes).toEqual([...written, "write 3", "c", "d", "e", "applied"]);
  expect(f.keeper.length).toBe(4 * ENTRY_BYTES);
});

test("where there is no room for all, each is written alone, and refused alone", async () => {
  await using f = openQueue();
  f.keeper.together = "no room";
  await Promise.all(["a", "b"].map((name) => f.call(name)));
  expect(f.keeper.notes).toEqual(["write 1", "a", "applied", "write 1", "b", "applied"]);
  f.keeper.alone = "full";
  const outcomes = await Promise.allSettled(["c", "d"].map((name) => f.call(name)));
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  Object.assign(f.keeper, { together: "written", alone: "written" });
  await Promise.all(["e", "f"].map((name) => f.call(name)));
  expect(f.keeper.notes.slice(6)).toEqual(["write 2", "e", "f", "applied"]);
});

test("answers wait until the group is kept, and the queue goes on", async () => {
  await using f = openQueue();
  const synced = opening();
  f.keeper.synced = synced.promise;
  const answered: string[] = [];
  const first = f.call("a").then((name) => answered.push(name));
  void f.queue.carryOut();
  f.keeper.synced = undefined;
  await f.call("b").then((name) => answered.push(name));
  expect(answered).toEqual(["b"]);
  synced.open();
  await first;
  expect(answered).toEqual(["b", "a"]);
});

test("calls wait while the gate is closed, and are refused once the store has failed", async () => {
  await using f = openQueue();
  f.keeper.close();
  const answers = [f.call("a"), f.call("b")];
  expect(f.queue.carryOut()).toBe(f.keeper.closed?.promise);
  f.keeper.broken = new Error("failed");
  f.keeper.reopen();
  for (const answer of answers) await expect(answer).rejects.toThrow("failed");
  expect(f.keeper.notes).toEqual([]);
});
