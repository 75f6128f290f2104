/** What a store keeps when its process is killed, or its machine loses power: all it said it would. */
import assert from "node:assert";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { TopicStats } from "../../../../server/domain/topic.js";
import { EmbeddedStore } from "../../../../server/store/embedded/embedded-store.js";
import type { Store } from "../../../../server/store/store.js";
import { runSource } from "../../../support/process.js";
import { Random } from "../../../support/random.js";
import { assertConsistent, plain, takeSnapshot } from "../../../support/snapshot.js";
import { NOW, newSession, newTask, newTasks, topicName } from "../../../support/task-factory.js";
import { until } from "../../../support/until.js";

const TOPIC = topicName("kill");
const ending = { now: NOW, endedWindowMs: 600_000 };
const PAGE = 4096;

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "taskqueue-test-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function reopened<Answer>(dir: string, look: (store: Store) => Promise<Answer>): Promise<Answer> {
  const store = new EmbeddedStore({ dir });
  await store.open();
  try {
    return await look(store);
  } finally {
    await store.close();
  }
}

async function proven(store: Store): Promise<TopicStats> {
  assertConsistent(await takeSnapshot(store, [TOPIC]));
  for (let after: string | undefined; ; ) {
    const options = { ...ending, limit: 1000, repair: false, ...(after === undefined ? {} : { after }) };
    const piece = await store.scrub(TOPIC, options);
    expect(piece.problems).toEqual([]);
    if (piece.next === undefined) break;
    after = piece.next;
  }
  const [row] = await store.describe([TOPIC]);
  assert(row !== undefined);
  return row.stats;
}

describe.each(["everysec", "always"])("a killed process (sync %s)", (sync) => {
  test("loses nothing that was answered, round after round", async () => {
    for (const rounds of [3, 40, 400]) {
      const dir = join(folder, String(rounds));
      await using writer = await runSource("test/support/fixtures/embedded-writer.ts", [dir, sync]);
      await writer.waitForLine(new RegExp(`^completed ${rounds * 5}$`));
      await writer.kill();
      const said = [...writer.output.matchAll(/^(enqueued|completed) (\d+)$/gm)];
      const last = (word: string) => Number(said.findLast((match) => match[1] === word)?.[2]);
      const stats = await reopened(dir, proven);
      expect(stats.enqueued).toBeGreaterThanOrEqual(last("enqueued"));
      expect(stats.completed).toBeGreaterThanOrEqual(last("completed"));
      // And at most what was under way.
      expect(stats.enqueued).toBeLessThanOrEqual(last("enqueued") + 10);
      expect(stats.completed).toBeLessThanOrEqual(last("completed") + 5);
    }
  });
});

/** Copies the folder of an open store, as it is at this moment. */
function photograph(dir: string, name: string): string {
  const copy = join(folder, name);
  mkdirSync(copy);
  for (const file of readdirSync(dir)) {
    if (!file.startsWith("lock-") && !file.endsWith("-lock")) copyFileSync(join(dir, file), join(copy, file));
  }
  return copy;
}

const journals = (dir: string) => readdirSync(dir).filter((file) => file.startsWith("journal-"));

describe("a power cut", () => {
  /** A store that has been through a few checkpoints, with verbs after the last one. */
  async function busyStore(dir: string, store: EmbeddedStore): Promise<void> {
    await store.open();
    const session = newSession("writer", [TOPIC]);
    await store.openSession(session);
    for (let round = 0; round < 60; round += 1) await work(store, round);
    const [journal] = journals(dir);
    await until("a checkpoint was made", async () => !journals(dir).includes(journal ?? ""));
  }

  async function work(store: Store, round: number): Promise<void> {
    const tasks = [...newTasks(300, {}, `${round}-`), newTask(`large-${round}`, { spec: "x".repeat(10_000) })];
    await store.enqueue(TOPIC, tasks, { ...ending, tasksMax: 0, bytesMax: 0 });
    const demand = { session: { id: newSession("writer", []).id, epoch: 1 }, limit: 250, bytesMax: 1_000_000 };
    const { leased } = await store.lease(TOPIC, [demand], ending);
    await store.complete(TOPIC, leased.slice(0, 200), ending);
    await store.release(TOPIC, leased.slice(200, 220), ending);
  }

  test("whichever pages the disk has of what came after a checkpoint, nothing in the journal is lost", async () => {
    const dir = join(folder, "store");
    const store = new EmbeddedStore({ dir });
    await busyStore(dir, store);
    await until("the checkpoint is complete", async () => journals(dir).length === 1);
    const before = photograph(dir, "before");
    // Until the next commit, of which no checkpoint can have been made in the same turn.
    for (let round = 100; journals(dir).length === 1; round += 1) await work(store, round);
    const after = photograph(dir, "after");
    const expected = plain(await takeSnapshot(store, [TOPIC]));
    await store.close();

    for (const seed of [1, 2, 3]) {
      const cut = photograph(after, `cut-${seed}`);
      copyFileSync(join(before, "checkpoint"), join(cut, "checkpoint"));
      mixPages(join(before, "data.mdb"), join(cut, "data.mdb"), new Random(seed));
      await reopened(cut, async (again) => {
        await proven(again);
        expect(plain(await takeSnapshot(again, [TOPIC]))).toEqual(expected);
      });
    }
  });

  /** Each page of the second file becomes that of the first one, or stays. */
  function mixPages(older: string, newer: string, random: Random): void {
    const [old, mixed] = [readFileSync(older), readFileSync(newer)];
    for (let at = 0; at < old.length; at += PAGE) if (random.chance(0.5)) old.copy(mixed, at, at, at + PAGE);
    writeFileSync(newer, mixed);
  }

  test("a journal that is cut off anywhere gives the state up to there", async () => {
    const dir = join(folder, "store");
    const store = new EmbeddedStore({ dir });
    await busyStore(dir, store);
    for (let round = 200; round < 203; round += 1) await work(store, round);
    const copy = photograph(dir, "copy");
    await store.close();
    const journal = join(copy, journals(copy).at(-1) ?? "");
    const whole = readFileSync(journal).length;
    let enqueuedBefore = Number.POSITIVE_INFINITY;
    for (const length of [whole, whole - 1, Math.floor(whole / 2), 5, 0]) {
      const cut = photograph(copy, `cut-${length}`);
      truncateSync(join(cut, journals(cut).at(-1) ?? ""), length);
      const { enqueued } = await reopened(cut, proven);
      expect(enqueued).toBeLessThanOrEqual(enqueuedBefore);
      enqueuedBefore = enqueued;
    }
  });
});
