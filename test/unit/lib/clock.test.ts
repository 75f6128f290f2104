import { describe, expect, test } from "vitest";
import { pause, systemClock } from "../../../server/lib/clock.js";
import { ManualClock } from "../../support/clock.js";

describe("the system's clock", () => {
  test("tells the time of day, and measures", async () => {
    const before = Date.now();
    expect(systemClock.now()).toBeGreaterThanOrEqual(before);
    const start = systemClock.monotonic();
    await new Promise<void>((resolve) => systemClock.after(5, resolve));
    expect(systemClock.monotonic() - start).toBeGreaterThan(3);
  });

  test("does not call what was cancelled", async () => {
    let called = false;
    const cancel = systemClock.after(0, () => {
      called = true;
    });
    cancel();
    await new Promise<void>((resolve) => systemClock.after(2, resolve));
    expect(called).toBe(false);
  });
});

describe("a pause", () => {
  test("ends after its time, and leaves nothing behind", async () => {
    const clock = new ManualClock();
    let over = false;
    void pause(clock, 100).then(() => {
      over = true;
    });
    await clock.advance(99);
    expect(over).toBe(false);
    await clock.advance(1);
    expect(over).toBe(true);
    expect(clock.pending).toBe(0);
  });

  test("ends at once when it is aborted, before it began or while it lasts", async () => {
    const clock = new ManualClock();
    await pause(clock, 100, AbortSignal.abort());
    const abort = new AbortController();
    const waiting = pause(clock, 100, abort.signal);
    abort.abort();
    await waiting;
    expect(clock.pending).toBe(0);
  });
});

describe("the manual clock", () => {
  test("fires in the order in which timers fall due, those of one moment in the order they were set", async () => {
    const clock = new ManualClock(1_000);
    const fired: string[] = [];
    const at = (ms: number, name: string) => clock.after(ms, () => fired.push(`${name} at ${clock.now()}`));
    at(20, "c");
    at(10, "a");
    at(10, "b");
    at(30, "late");
    await clock.advance(20);
    expect(fired).toEqual(["a at 1010", "b at 1010", "c at 1020"]);
    expect(clock.pending).toBe(1);
  });

  test("lets what a timer set off come to rest before the next one fires", async () => {
    const clock = new ManualClock();
    const steps: string[] = [];
    const first = async () => {
      await Promise.resolve();
      await new Promise((resolve) => setImmediate(resolve));
      steps.push("first is done");
      clock.after(1, () => steps.push("set on the way"));
    };
    clock.after(1, () => void first());
    clock.after(3, () => steps.push("third"));
    await clock.advance(3);
    expect(steps).toEqual(["first is done", "set on the way", "third"]);
  });

  test("can be set without moving, and can stand still and catch up", async () => {
    const clock = new ManualClock(0);
    const fired: number[] = [];
    clock.after(10, () => fired.push(clock.monotonic()));
    clock.step(5_000);
    expect([clock.now(), clock.monotonic()]).toEqual([5_000, 0]);
    await clock.freeze(1_000);
    expect(fired).toEqual([1_000]);
  });

  test("refuses timers that Node would fire at once", () => {
    expect(() => new ManualClock().after(2 ** 31, () => {})).toThrow("would fire at once");
    expect(() => new ManualClock().after(Number.NaN, () => {})).toThrow("would fire at once");
  });
});
