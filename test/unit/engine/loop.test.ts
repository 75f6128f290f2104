import { describe, expect, test } from "vitest";
import { Loop, type LoopOptions } from "../../../server/engine/loop.js";
import { ManualClock, settle } from "../../support/clock.js";

function rig(tick: LoopOptions["tick"], options: Partial<LoopOptions> = {}) {
  const clock = new ManualClock(0);
  const ticks: number[] = [];
  const warnings: string[] = [];
  const log = { debug() {}, info() {}, error() {}, warn: (_: object, text: string) => warnings.push(text) };
  const loop = new Loop({
    name: "test",
    clock,
    log,
    intervalMs: 1_000,
    jitter: 0,
    random: () => 0.5,
    ...options,
    tick: () => {
      ticks.push(clock.monotonic());
      return tick();
    },
  });
  return { clock, loop, ticks, warnings };
}

describe("a loop", () => {
  test("ticks at once, then at its interval", async () => {
    const { clock, loop, ticks } = rig(async () => undefined);
    loop.start();
    await clock.advance(2_500);
    expect(ticks).toEqual([0, 1_000, 2_000]);
  });

  test("starts later when told so, and only once", async () => {
    const { clock, loop, ticks } = rig(async () => undefined);
    loop.start(300);
    loop.start(0);
    await clock.advance(400);
    expect(ticks).toEqual([300]);
  });

  test("spreads its ticks by the jitter, half before and half after the interval", async () => {
    for (const [random, second] of [
      [0, 900],
      [0.999_999, 1_099],
    ] as const) {
      const { clock, loop, ticks } = rig(async () => undefined, { jitter: 0.2, random: () => random });
      loop.start();
      await clock.advance(1_200);
      expect(Math.floor(ticks[1] ?? 0)).toBe(second);
    }
  });

  test("ticks when a tick wished it", async () => {
    const wishes = [10, 20_000, undefined];
    const { clock, loop, ticks } = rig(async () => wishes.shift());
    loop.start();
    await clock.advance(22_000);
    expect(ticks).toEqual([0, 10, 20_010, 21_010]);
  });

  test("never sets a timer that Node cannot hold: it looks again after a minute", async () => {
    const { clock, loop, ticks } = rig(async () => 10 * 365 * 86_400_000);
    loop.start();
    await clock.advance(150_000);
    expect(ticks).toEqual([0, 60_000, 120_000]);
  });

  test("keeps to an interval that is longer than a minute", async () => {
    const { clock, loop, ticks } = rig(async () => undefined, { intervalMs: 600_000 });
    loop.start(600_000);
    await clock.advance(1_200_000);
    expect(ticks).toEqual([600_000, 1_200_000]);
  });

  test("ticks sooner when it is poked, not later", async () => {
    const { clock, loop, ticks } = rig(async () => undefined);
    loop.start();
    await clock.advance(100);
    loop.poke(50);
    loop.poke(500);
    await clock.advance(50);
    expect(ticks).toEqual([0, 150]);
    loop.poke();
    await clock.advance(0);
    expect(ticks).toEqual([0, 150, 150]);
  });

  test("remembers a poke that comes while it ticks", async () => {
    let end = () => {};
    const { clock, loop, ticks } = rig(
      () =>
        new Promise((resolve) => {
          end = () => resolve(undefined);
        }),
    );
    loop.start();
    await clock.advance(0);
    loop.poke(200);
    loop.poke(30);
    end();
    await clock.advance(30);
    expect(ticks).toEqual([0, 30]);
    end();
    await loop.stop();
  });

  test("never ticks twice at once", async () => {
    let end = () => {};
    const { clock, loop, ticks } = rig(
      () =>
        new Promise((resolve) => {
          end = () => resolve(undefined);
        }),
    );
    loop.start();
    await clock.advance(5_000);
    expect(ticks).toEqual([0]);
    end();
    await clock.advance(1_000);
    expect(ticks).toEqual([0, 6_000]);
    end();
    await loop.stop();
  });

  test("goes on after a tick that failed, within a second, and complains once", async () => {
    const outcomes = [new Error("first"), new Error("second"), undefined, new Error("third")];
    const { clock, loop, ticks, warnings } = rig(
      async () => {
        const outcome = outcomes.shift();
        if (outcome) throw outcome;
        return undefined;
      },
      { intervalMs: 30_000 },
    );
    loop.start();
    await clock.advance(1_000);
    expect(loop.lastError).toEqual(new Error("second"));
    await clock.advance(1_000);
    expect(loop.lastError).toBeUndefined();
    await clock.advance(30_000);
    expect(ticks).toEqual([0, 1_000, 2_000, 32_000]);
    expect(warnings.length).toBe(2);
    await loop.stop();
  });

  test("stops: at once while it waits, after the tick under way otherwise, and twice is fine", async () => {
    let end = () => {};
    const { clock, loop, ticks } = rig(
      () =>
        new Promise((resolve) => {
          end = () => resolve(5);
        }),
    );
    await loop.stop();
    loop.start();
    await clock.advance(0);
    let stopped = false;
    const stopping = loop.stop().then(() => {
      stopped = true;
    });
    await settle();
    expect(stopped).toBe(false);
    end();
    await stopping;
    await loop.stop();
    expect(clock.pending).toBe(0);
    await clock.advance(5_000);
    expect(ticks).toEqual([0]);
    loop.start();
    await loop.stop();
    expect(clock.pending).toBe(0);
  });
});
