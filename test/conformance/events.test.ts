import assert from "node:assert";
import { expect } from "vitest";
import { LIMITS } from "../../server/domain/limits.js";
import { conformance, type Fixture } from "./suite.js";

const read = (f: Fixture, after?: string, limit = 1000) =>
  f.store.readEvents({ limit, waitMs: 0, ...(after === undefined ? {} : { after }) });

/** Where the log ends now. */
async function end(f: Fixture): Promise<string> {
  return (await read(f)).cursor;
}

const append = (f: Fixture, text: string) => f.store.appendEvents(Buffer.from(text));
const texts = (page: Awaited<ReturnType<typeof read>>) =>
  page.entries.map(({ batch }) => Buffer.from(batch).toString());

conformance("events", {
  "without a cursor only the end of the log is told": async (f) => {
    await append(f, "before");
    const page = await read(f);
    expect(page).toMatchObject({ entries: [], gap: false });
    expect(await read(f, page.cursor)).toEqual({ entries: [], cursor: page.cursor, gap: false });
  },

  "an empty log has an end to go on from": async (f) => {
    const cursor = await end(f);
    await append(f, "first");
    expect(texts(await read(f, cursor))).toEqual(["first"]);
  },

  "entries after a cursor come oldest first, and the page says where to go on": async (f) => {
    const start = await end(f);
    for (const text of ["a", "b", "c"]) await append(f, text);
    const first = await read(f, start, 2);
    expect(texts(first)).toEqual(["a", "b"]);
    expect(first.cursor).toBe(first.entries.at(-1)?.cursor);
    const second = await read(f, first.cursor, 2);
    expect(texts(second)).toEqual(["c"]);
    expect(await read(f, second.cursor)).toEqual({ entries: [], cursor: second.cursor, gap: false });
    expect(texts(await read(f, first.entries[0]?.cursor))).toEqual(["b", "c"]);
  },

  "cursors differ, and the end is the last entry's": async (f) => {
    const start = await end(f);
    await Promise.all(Array.from({ length: 100 }, (_, index) => append(f, String(index))));
    const { entries } = await read(f, start);
    expect(new Set(entries.map((entry) => entry.cursor)).size).toBe(100);
    expect(await end(f)).toBe(entries.at(-1)?.cursor);
  },

  "a batch may hold every byte value, and be large": async (f) => {
    const start = await end(f);
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    const large = Buffer.alloc(1024 * 1024, bytes);
    await f.store.appendEvents(bytes);
    await f.store.appendEvents(large);
    const [first, second] = (await read(f, start)).entries;
    expect(bytes.equals(first?.batch ?? Buffer.alloc(0))).toBe(true);
    expect(large.equals(second?.batch ?? Buffer.alloc(0))).toBe(true);
  },

  "waiting ends with the first entry": async (f) => {
    const cursor = await end(f);
    const waiting = f.store.readEvents({ after: cursor, limit: 10, waitMs: 20_000 });
    await append(f, "a");
    expect(texts(await waiting)).toEqual(["a"]);
  },

  "waiting does not begin when there is something": async (f) => {
    const cursor = await end(f);
    await append(f, "a");
    expect(texts(await f.store.readEvents({ after: cursor, limit: 10, waitMs: 20_000 }))).toEqual(["a"]);
  },

  "waiting in vain ends in time, with the cursor that was asked for": async (f) => {
    const cursor = await end(f);
    const page = await f.store.readEvents({ after: cursor, limit: 10, waitMs: 20 });
    expect(page).toEqual({ entries: [], cursor, gap: false });
  },

  "readers that wait do not hold up each other or other verbs": async (f) => {
    const cursor = await end(f);
    const waiting = Array.from({ length: 5 }, () => f.store.readEvents({ after: cursor, limit: 10, waitMs: 20_000 }));
    expect(await f.complete(await f.leased("a"))).toEqual(["completed"]);
    await append(f, "x");
    for (const page of await Promise.all(waiting)) expect(texts(page)).toEqual(["x"]);
  },

  "the log keeps about its limit, and says when it no longer reaches back": async (f) => {
    const start = await end(f);
    const total = LIMITS.eventLogMax + 2000;
    for (let index = 0; index < total; index += 500) {
      await Promise.all(Array.from({ length: 500 }, (_, offset) => append(f, String(index + offset))));
    }
    const page = await read(f, start, 10);
    expect(page.gap).toBe(true);
    expect(page.entries.length).toBe(10);
    let cursor = page.cursor;
    let kept = page.entries.length;
    for (let next = await read(f, cursor); next.entries.length > 0; next = await read(f, cursor)) {
      assert(!next.gap, "a gap within what is kept");
      kept += next.entries.length;
      cursor = next.cursor;
    }
    expect(kept).toBeGreaterThanOrEqual(LIMITS.eventLogMax * 0.9);
    expect(kept).toBeLessThanOrEqual(LIMITS.eventLogMax * 1.1);
    expect(texts(await read(f, await end(f)))).toEqual([]);
  },

  "a cursor it did not make is refused": async (f) => {
    for (const after of ["x", "{}", "é", "1-2-3", "-", "$", "+", ">"]) {
      await expect(read(f, after), after).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    }
  },
});

conformance("announceWatch", {
  "the pulse tells until when somebody watches; the longest wish counts": async (f) => {
    expect((await f.store.pulse()).watchedUntilMs).toBe(0);
    const { nowMs } = await f.store.pulse();
    await f.store.announceWatch(nowMs + 60_000);
    expect((await f.store.pulse()).watchedUntilMs).toBe(nowMs + 60_000);
    await f.store.announceWatch(nowMs + 30_000);
    expect((await f.store.pulse()).watchedUntilMs).toBe(nowMs + 60_000);
    await f.store.announceWatch(nowMs + 90_000);
    expect((await f.store.pulse()).watchedUntilMs).toBe(nowMs + 90_000);
  },

  "a watch that is over is nobody's": async (f) => {
    const { nowMs } = await f.store.pulse();
    await f.store.announceWatch(nowMs - 1);
    const { watchedUntilMs } = await f.store.pulse();
    expect(watchedUntilMs).toBeLessThan(nowMs);
  },

  "it wakes with `watch` when nobody watched before": async (f) => {
    const { nowMs } = await f.store.pulse();
    expect(await f.wakes(() => f.store.announceWatch(nowMs + 60_000))).toEqual([{ kind: "watch" }]);
  },
});
