import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LmdbFile, VALUE_BYTES_MAX } from "../../../../server/store/embedded/database.js";

const MEGABYTE = 1024 * 1024;
const START = Buffer.from("a");
const END = Buffer.from("z");

let folder: string;
let file: LmdbFile;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "taskqueue-test-"));
  file = new LmdbFile(join(folder, "data.mdb"), MEGABYTE);
  file.begin();
});

afterEach(async () => {
  await file.abort();
  await file.close();
  rmSync(folder, { recursive: true });
});

const key = (number: number) => Buffer.from(`key ${String(number).padStart(8, "0")}`);
const value = (number: number) => Buffer.alloc(VALUE_BYTES_MAX, number % 251);

function fill(rows: number): void {
  for (let number = 0; number < rows; number += 1) file.tables.ready.put(key(number), value(number));
}

test("the file outgrows the map that it was opened with, within a transaction and by many", async () => {
  const rows = (20 * MEGABYTE) / VALUE_BYTES_MAX;
  for (let from = 0; from < 3; from += 1) {
    fill(rows);
    await file.commit();
    file.begin();
  }
  expect(statSync(join(folder, "data.mdb")).size).toBeGreaterThan(20 * MEGABYTE);
  for (let number = 0; number < rows; number += 1) {
    expect(file.tables.ready.get(key(number))?.equals(value(number))).toBe(true);
  }
});

test("what was done since the last commit can be undone", async () => {
  fill(10);
  await file.commit();
  file.begin();
  file.tables.ready.remove(key(3));
  file.tables.ready.put(key(100), value(100));
  await file.abort();
  file.begin();
  expect(file.tables.ready.keys(START, END, 100)).toEqual(Array.from({ length: 10 }, (_, number) => key(number)));
});

test("inserting leaves a value that is there, and an empty value is a value", () => {
  const { ready } = file.tables;
  expect(ready.insert(key(1), Buffer.from("first"))).toBe(true);
  expect(ready.insert(key(1), Buffer.from("second"))).toBe(false);
  expect(ready.get(key(1))?.toString()).toBe("first");
  ready.put(key(2), Buffer.alloc(0));
  expect(ready.get(key(2))).toEqual(Buffer.alloc(0));
  expect(ready.remove(key(3))).toBe(false);
});

test("the last row not after a key is found, also when the key is beyond all rows", () => {
  const { ready } = file.tables;
  for (const number of [10, 20, 30]) ready.put(key(number), value(number));
  const floor = (number: number) => ready.floor(key(number), START)?.key.toString();
  expect([floor(20), floor(29), floor(1000), floor(9)]).toEqual([
    key(20).toString(),
    key(20).toString(),
    key(30).toString(),
    undefined,
  ]);
  expect(ready.lastKey(START, END)?.toString()).toBe(key(30).toString());
});

test("room that removed rows leave is told", async () => {
  const rows = (8 * MEGABYTE) / VALUE_BYTES_MAX;
  fill(rows);
  await file.commit();
  file.begin();
  expect(file.freeBytes()).toBeLessThan(MEGABYTE);
  for (let number = 0; number < rows; number += 1) file.tables.ready.remove(key(number));
  expect(file.freeBytes()).toBeGreaterThan(6 * MEGABYTE);
});
