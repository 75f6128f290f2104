/**
 * What was done, and what the journal says, come to the same: after random
 * calls, a store that is opened from a copy of the folder shows the same picture
 * as the one that did the work.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { EmbeddedStore } from "../../../../server/store/embedded/embedded-store.js";
import { World } from "../../../differential/call.js";
import { Coverage } from "../../../differential/coverage.js";
import { ModelStore } from "../../../differential/model.js";
import { drawSequence } from "../../../differential/run.js";
import { chooseSeed, Random } from "../../../support/random.js";
import { plain, takeSnapshot } from "../../../support/snapshot.js";
import { NOW, newTask, topicName } from "../../../support/task-factory.js";

const SEED = chooseSeed();

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "taskqueue-test-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Copies the folder of an open store, as a kill would leave it. */
function copyOf(dir: string): string {
  const copy = join(folder, "copy");
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(copy);
  for (const file of readdirSync(dir)) {
    if (!file.startsWith("lock-") && !file.endsWith("-lock")) copyFileSync(join(dir, file), join(copy, file));
  }
  return copy;
}

async function expectSameAfterReplay(dir: string, store: EmbeddedStore): Promise<void> {
  const again = new EmbeddedStore({ dir: copyOf(dir) });
  await again.open();
  expect(plain(await takeSnapshot(again))).toEqual(plain(await takeSnapshot(store)));
  await again.close();
}

test(`a replayed journal gives the store that wrote it, TASKQUEUE_SEED=${SEED}`, async () => {
  const random = new Random(SEED);
  const dir = join(folder, "store");
  for (let sequence = 0; sequence < 12; sequence += 1) {
    const store = new EmbeddedStore({ dir });
    await store.open();
    const model = new ModelStore();
    const world = new World(model);
    for (const [index, call] of (await drawSequence(random, 100, new Coverage())).entries()) {
      const prepared = call.prepare(world);
      world.saw(prepared.args, await prepared.make(model));
      await prepared.make(store);
      if (index % 33 === 32) await expectSameAfterReplay(dir, store);
    }
    await store.close();
    rmSync(dir, { recursive: true });
  }
});

test("contents of any size and kind come through the journal", async () => {
  const dir = join(folder, "store");
  const topic = topicName("contents");
  const store = new EmbeddedStore({ dir });
  await store.open();
  const sizes = [0, 1, 1000, 1024, 1025, 1900, 5000, 300_000];
  const tasks = sizes.map((size) =>
    newTask(`t${size}`, {
      spec: Buffer.alloc(size, size),
      externalId: "Grüße\u{1f600}",
      retentionMs: 1000,
      priority: -size,
    }),
  );
  await store.enqueue(topic, tasks, { now: NOW, endedWindowMs: 1000, tasksMax: 0, bytesMax: 0 });
  for (const size of sizes) await store.appendEvents(Buffer.alloc(size, 7));
  await expectSameAfterReplay(dir, store);
  const before = await store.readEvents({ after: "000000000000", limit: 100, waitMs: 0 });
  await store.close();
  await store.open();
  expect(plain(await store.readEvents({ after: "000000000000", limit: 100, waitMs: 0 }))).toEqual(plain(before));
  expect(before.entries.map(({ batch }) => batch.length)).toEqual(sizes);
  await store.close();
});
