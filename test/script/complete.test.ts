import { expect, test } from "vitest";
import { packRefs } from "../../server/store/redis/packing.js";
import { complete } from "../../server/store/redis/scripts/complete.js";
import { enqueue, enqueueCall } from "../../server/store/redis/scripts/enqueue.js";
import { hold } from "../../server/store/redis/scripts/hold.js";
import { prune } from "../../server/store/redis/scripts/prune.js";
import type { Completion, NewTask } from "../../server/store/store.js";
import { FOREIGN_TOKEN, NOW, newTask, newTasks, sessionId } from "../support/task-factory.js";
import { ScriptFixture, TOPIC } from "./script-fixture.js";

const WINDOW_MS = 30_000;
const session = { id: sessionId("worker-1"), epoch: 1 };

async function leased(f: ScriptFixture, tasks: readonly NewTask[]): Promise<readonly Completion[]> {
  await f.run(hold, { topic: TOPIC, session, why: "open" });
  const demands = [{ session, limit: 1000, bytesMax: 1_000_000 }];
  const options = { topic: TOPIC, now: NOW, endedWindowMs: WINDOW_MS, tasksMax: 0, bytesMax: 0, demands };
  const answer = await f.run(enqueue, enqueueCall({ ...options, tasks }));
  if (answer.kind === "full") throw new Error("the topic has no bounds");
  return answer.leased;
}

function completeAll(f: ScriptFixture, completions: readonly Completion[], now = NOW) {
  return f.run(complete, { topic: TOPIC, refs: packRefs(completions), now, endedWindowMs: WINDOW_MS });
}

test("a completed task leaves nothing but its id, for the window", async () => {
  using f = await ScriptFixture.open();
  const [lease] = await leased(f, newTasks(1));
  if (lease === undefined) throw new Error("nothing was leased");
  await completeAll(f, [lease]);
  await f.unfold();
  const left = Object.keys(await f.picture()).map((key) => key.replace(/^.*\}:/, ""));
  const window = Math.floor(NOW / WINDOW_MS);
  expect(left.sort()).toEqual([`ended:${window}`, "holders", "stats", "takers", "windows"]);
  expect(await f.redis.pttl(`${f.key("ended:")}${window}`)).toBeGreaterThan(2 * WINDOW_MS);

  await f.run(prune, { topic: TOPIC, now: NOW + 3 * WINDOW_MS, limit: 10 });
  expect(
    Object.keys(await f.picture())
      .map((key) => key.replace(/^.*\}:/, ""))
      .sort(),
  ).toEqual(["holders", "stats", "takers"]);
});

test("a refused completion writes nothing", async () => {
  using f = await ScriptFixture.open();
  const leases = await leased(f, newTasks(3));
  await f.unfold();
  const before = await f.picture();
  const wrong = [
    ...leases.map((lease) => ({ ...lease, token: FOREIGN_TOKEN })),
    ...leases.map((lease) => ({ ...lease, session: sessionId("worker-2") })),
  ];
  const { outcomes } = await completeAll(f, wrong);
  expect(new Set(outcomes)).toEqual(new Set(["lease_lost"]));
  expect(await f.picture()).toEqual(before);
});

test("a thousand completions with results fit one call", async () => {
  using f = await ScriptFixture.open();
  const leases = await leased(f, newTasks(1000, { retentionMs: 1000, externalId: "x" }));
  const { outcomes } = await completeAll(
    f,
    leases.map((lease) => ({ ...lease, result: Buffer.from(lease.id) })),
  );
  expect(outcomes).toHaveLength(1000);
  expect(await f.redis.hget(f.key("results"), "t0999")).toBe("t0999");
  expect(await f.redis.zcard(f.key("retention"))).toBe(1000);
});

test("side hashes of a task are gone with it", async () => {
  using f = await ScriptFixture.open();
  const leases = await leased(f, [newTask("a", { externalId: "x" }), newTask("b")]);
  for (const name of ["meta", "cancels", "progress"] as const) {
    await f.redis.hset(f.key(name), { a: "0\t0\t\t\t", other: "0\t0\t\t\t" });
  }
  await completeAll(f, leases);
  for (const name of ["meta", "cancels", "progress"] as const)
    expect(await f.redis.hkeys(f.key(name))).toEqual(["other"]);
  expect(await f.redis.exists(f.key("xids"), f.key("tasks"))).toBe(0);
});
