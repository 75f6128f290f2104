/** Calls of one turn on a whole store: what they see of each other, and what one that fails does to the others. */
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { EmbeddedStore } from "../../../../server/store/embedded/embedded-store.js";
import { Topics } from "../../../../server/store/embedded/topic-state.js";
import { removeFolder, temporaryFolder } from "../../../support/guardian.js";
import { plain, takeSnapshot } from "../../../support/snapshot.js";
import { NOW, newSession, newTasks, topicName } from "../../../support/task-factory.js";

const TOPIC = topicName("clicks");
const ending = { now: NOW, endedWindowMs: 30_000 };
const session = newSession("worker-1", [TOPIC]);
const demand = { session: { id: session.id, epoch: 1 }, limit: 100, bytesMax: 1_000_000 };

let dir: string;

beforeEach(() => {
  dir = temporaryFolder();
  rmSync(dir, { recursive: true });
});

afterEach(() => removeFolder(dir));

async function opened(sync: "everysec" | "always" = "everysec"): Promise<EmbeddedStore> {
  const store = new EmbeddedStore({ dir, sync });
  await store.open();
  return store;
}

const enqueue = (store: EmbeddedStore, prefix: string) =>
  store.enqueue(TOPIC, newTasks(10, {}, prefix), { ...ending, tasksMax: 0, bytesMax: 0 });

async function ready(store: EmbeddedStore): Promise<number | undefined> {
  const [row] = await store.describe([TOPIC]);
  return row?.stats.ready;
}

/** Sessions are not a list: the verb is written down, and fails when it is applied. */
const failHalfWay = (store: EmbeddedStore) => store.renewSessions(JSON.parse("7"), NOW);

const journalBytes = () =>
  readdirSync(dir)
    .filter((file) => file.startsWith("journal-"))
    .reduce((bytes, file) => bytes + statSync(join(dir, file)).size, 0);

test("calls of one turn are done in their order, and a question sees those before it", async () => {
  const store = await opened();
  const answers = [store.openSession(session), enqueue(store, "a"), store.lease(TOPIC, [demand], ending)] as const;
  const seen = ready(store);
  const after = enqueue(store, "b");
  const { leased } = await answers[2];
  expect(leased.length).toBe(10);
  expect(await seen).toBe(0);
  await after;
  expect(await ready(store)).toBe(10);
  await store.close();
});

test("nothing of a turn is written before its end, and all of it then", async () => {
  const store = await opened();
  const answers = ["a", "b", "c"].map((prefix) => enqueue(store, prefix));
  expect(journalBytes()).toBe(0);
  await answers[0];
  const written = journalBytes();
  expect(written).toBeGreaterThan(0);
  await Promise.all(answers);
  expect(journalBytes()).toBe(written);
  expect(await ready(store)).toBe(30);
  await store.close();
});

test.each(["everysec", "always"] as const)("a verb that fails fails alone (sync %s)", async (sync) => {
  const store = await opened(sync);
  const calls = () => [
    enqueue(store, "a"),
    failHalfWay(store),
    enqueue(store, "b"),
    failHalfWay(store),
    enqueue(store, "c"),
  ];
  const outcomes = await Promise.allSettled(calls());
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "rejected", "fulfilled"]);
  expect(await ready(store)).toBe(30);
  const before = plain(await takeSnapshot(store, [TOPIC]));
  await store.close();
  const again = await opened(sync);
  expect(plain(await takeSnapshot(again, [TOPIC]))).toEqual(before);
  await again.close();
});

test("a store that is closed carries out what was called before", async () => {
  const store = await opened();
  const calls = [enqueue(store, "a"), failHalfWay(store), enqueue(store, "b")];
  const closed = store.close();
  const outcomes = await Promise.allSettled(calls);
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  await closed;
  const again = await opened();
  expect(await ready(again)).toBe(20);
  await again.close();
});

test("a commit that fails before lmdb is asked loses nothing, and the store can be closed", async () => {
  const store = await opened();
  await enqueue(store, "a");
  const full = Object.assign(new Error("there is no space left on device"), { code: "ENOSPC" });
  const save = vi.spyOn(Topics.prototype, "save").mockImplementationOnce(() => {
    throw full;
  });
  // A store that is closed commits; when that fails the journal has all there is.
  await store.close();
  expect(save).toHaveBeenCalledOnce();
  save.mockRestore();
  const again = await opened();
  expect(await ready(again)).toBe(10);
  await again.close();
});
