/** Which folders a store takes, and what it says about the others. */
import {
  existsSync,
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
import { afterEach, beforeEach, expect, test } from "vitest";
import { EmbeddedStore } from "../../../../server/store/embedded/embedded-store.js";
import { runSource } from "../../../support/process.js";
import { NOW, newTasks, topicName } from "../../../support/task-factory.js";

const TOPIC = topicName("clicks");
const options = { now: NOW, endedWindowMs: 30_000, tasksMax: 0, bytesMax: 0 };
const WRITER = "test/support/fixtures/embedded-writer.ts";

let folder: string;
let dir: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "taskqueue-test-"));
  dir = join(folder, "data");
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function filled(): Promise<void> {
  const store = new EmbeddedStore({ dir });
  await store.open();
  await store.enqueue(TOPIC, newTasks(100), options);
  await store.close();
}

async function ready(): Promise<number | undefined> {
  const store = new EmbeddedStore({ dir });
  await store.open();
  const [row] = await store.describe([TOPIC]);
  await store.close();
  return row?.stats.ready;
}

async function expectRefused(message: RegExp, other: object = {}): Promise<void> {
  const files = existsSync(dir) ? readdirSync(dir) : [];
  const refused = new EmbeddedStore({ dir, ...other }).open();
  await expect(refused).rejects.toMatchObject({ name: "TaskqueueError", message: expect.stringMatching(message) });
  if (existsSync(dir)) expect(readdirSync(dir).sort()).toEqual(files.sort());
}

test("what was stored is there when the folder is opened again, also by a path too long for a socket", async () => {
  dir = join(folder, "a-long-name-".repeat(15));
  await filled();
  expect(await ready()).toBe(100);
});

test("a second store on the folder is refused, and harms nothing", async () => {
  const store = new EmbeddedStore({ dir });
  await store.open();
  await store.enqueue(TOPIC, newTasks(10), options);
  await expectRefused(new RegExp(`in use by process ${process.pid}`));
  await store.enqueue(TOPIC, newTasks(10, {}, "more"), options);
  await store.close();
  expect(await ready()).toBe(20);
});

test("a process on the folder keeps others out until it is killed", async () => {
  await using writer = await runSource(WRITER, [dir, "everysec"]);
  await writer.waitForLine(/^open$/);
  writer.pause();
  await expect(new EmbeddedStore({ dir }).open()).rejects.toMatchObject({
    message: expect.stringMatching(/in use by/),
  });
  await writer.kill();
  expect(await ready()).toBe(0);
});

test("of stores that are opened at the same time at most one gets the folder", async () => {
  const stores = Array.from({ length: 4 }, () => new EmbeddedStore({ dir }));
  const opened = await Promise.allSettled(stores.map((store) => store.open()));
  expect(opened.filter(({ status }) => status === "fulfilled").length).toBeLessThanOrEqual(1);
  for (const store of stores) await store.close();
  expect(await ready()).toBe(0);
});

test("a folder that holds something else is refused and left alone", async () => {
  mkdirSync(dir);
  writeFileSync(join(dir, "thesis.txt"), "important");
  await expectRefused(/holds something else \(thesis\.txt\)/);
  expect(readFileSync(join(dir, "thesis.txt"), "utf8")).toBe("important");
});

test("a file instead of a folder is refused", async () => {
  writeFileSync(dir, "a file");
  await expect(new EmbeddedStore({ dir }).open()).rejects.toThrow(/is not a folder/);
  await expect(new EmbeddedStore({ dir: join(dir, "below") }).open()).rejects.toThrow(/is not a folder/);
});

test.runIf(process.getuid?.() !== 0)("a folder that cannot be written to is refused", async () => {
  mkdirSync(dir, { mode: 0o500 });
  await expect(new EmbeddedStore({ dir }).open()).rejects.toMatchObject({ code: "STORE_READ_ONLY" });
});

test("another namespace, and another layout, are refused", async () => {
  await filled();
  await expectRefused(/holds namespace "default", not "other"/, { namespace: "other" });
  const marker = join(dir, "store.json");
  writeFileSync(marker, readFileSync(marker, "utf8").replace('"layout": 3', '"layout": 7'));
  await expectRefused(/layout 7/);
  writeFileSync(marker, "not JSON");
  await expectRefused(/unreadable store\.json/);
});

test.each([1, 2])("a folder of layout %i is taken over, and marked as of this one", async (before) => {
  await filled();
  const marker = join(dir, "store.json");
  const now = readFileSync(marker, "utf8");
  writeFileSync(marker, now.replace('"layout": 3', `"layout": ${before}`));
  expect(await ready()).toBe(100);
  expect(readFileSync(marker, "utf8")).toBe(now);
});

test("damaged and missing files are told, and nothing is made anew in their place", async () => {
  await filled();
  const data = readFileSync(join(dir, "data.mdb"));
  truncateSync(join(dir, "data.mdb"), data.length - 4096);
  await expectRefused(/data\.mdb has been cut short/);
  writeFileSync(join(dir, "data.mdb"), Buffer.concat([Buffer.alloc(8192, 7), data.subarray(8192)]));
  await expectRefused(/data\.mdb is damaged/);
  rmSync(join(dir, "data.mdb"));
  await expectRefused(/data\.mdb is missing/);
  writeFileSync(join(dir, "data.mdb"), data);
  const checkpoint = readFileSync(join(dir, "checkpoint"));
  writeFileSync(join(dir, "checkpoint"), checkpoint.fill(1));
  await expectRefused(/checkpoint is missing or damaged/);
});

test("a folder whose making was cut off is made anew", async () => {
  mkdirSync(dir);
  const marker = { taskqueue: "embedded store", layout: 1, namespace: "default", finished: false };
  writeFileSync(join(dir, "store.json"), JSON.stringify(marker));
  writeFileSync(join(dir, "data.mdb"), "half a page");
  await filled();
  expect(await ready()).toBe(100);
});

test("a temporary folder is removed at the end", async () => {
  const temporary = () =>
    readdirSync(tmpdir()).filter((name) => name.startsWith("taskqueue-") && !name.includes("test"));
  const before = temporary();
  const store = new EmbeddedStore({ dir: ":memory:" });
  await store.open();
  await store.enqueue(TOPIC, newTasks(10), options);
  const made = temporary().filter((name) => !before.includes(name));
  expect(made.length).toBeGreaterThan(0);
  await store.close();
  await store.close();
  expect(made.filter((name) => existsSync(join(tmpdir(), name))).length).toBeLessThan(made.length);
});

test("a process that forgets to close its store ends all the same, and loses nothing", async () => {
  await using forgetful = await runSource("test/support/fixtures/embedded-forgetful.ts", [dir]);
  expect(await forgetful.exited).toMatchObject({ code: 0 });
  expect(await ready()).toBe(10);
});
