import { describe, expect, test } from "vitest";
import { Batcher, type BatcherOptions } from "../../../server/engine/batcher.js";
import { Turn } from "../../../server/lib/turn.js";
import { ManualClock, settle } from "../../support/clock.js";

/** A batcher of numbers that weigh what they are; its calls end when the test says so. */
function rig(options: Pick<BatcherOptions<number>, "weightMax" | "weightShared" | "itemsShared" | "callsMax">) {
  const calls: number[][] = [];
  const open: (() => void)[] = [];
  const clock = new ManualClock();
  const batcher = new Batcher<number>({
    turn: new Turn(clock),
    weigh: (item) => item,
    ...options,
    run: (items) => {
      calls.push(items);
      return new Promise((resolve) => open.push(resolve));
    },
  });
  const end = async () => {
    open.shift()?.();
    await settle();
  };
  return { batcher, calls, end, clock };
}

describe("a batcher", () => {
  test("gathers what comes within a turn, and lets a lone item go at its end", async () => {
    const { batcher, calls } = rig({ weightMax: 100, callsMax: 1 });
    batcher.add(1);
    batcher.add(2);
    expect(calls).toEqual([]);
    expect(batcher.weight).toBe(3);
    await settle();
    expect(calls).toEqual([[1, 2]]);
    expect(batcher.weight).toBe(0);
  });

  test("lets a lone item go before further input is read, unless the latest call was for more than one", async () => {
    const { batcher, calls, end, clock } = rig({ weightMax: 100, callsMax: 2 });
    const callsByNextInput = async (...items: number[]) => {
      await clock.advance(1);
      return new Promise((resolve) => {
        setImmediate(() => resolve(calls.length));
        for (const item of items) batcher.add(item);
      });
    };
    expect(await callsByNextInput(1)).toBe(1);
    await end();
    expect(await callsByNextInput(2, 3)).toBe(2);
    await end();
    expect(await callsByNextInput(4)).toBe(2);
    await settle();
    await end();
    expect(calls).toEqual([[1], [2, 3], [4]]);
    expect(await callsByNextInput(5)).toBe(4);
  });

  test("gathers while as many calls are under way as are allowed", async () => {
    const { batcher, calls, end } = rig({ weightMax: 100, callsMax: 2 });
    for (const item of [1, 2, 3, 4, 5]) {
      batcher.add(item);
      await settle();
    }
    expect(calls).toEqual([[1], [2]]);
    await end();
    expect(calls).toEqual([[1], [2], [3, 4, 5]]);
  });

  test("never exceeds the weight of a call, but for a single heavy item, and keeps the order", async () => {
    const { batcher, calls, end } = rig({ weightMax: 10, callsMax: 1 });
    for (const item of [4, 4, 4, 25, 1, 9, 1]) batcher.add(item);
    for (let call = 0; call < 6; call += 1) {
      await settle();
      await end();
    }
    expect(calls).toEqual([[4, 4], [4], [25], [1, 9], [1]]);
  });

  test("fills all the calls it may make at once", async () => {
    const { batcher, calls } = rig({ weightMax: 10, callsMax: 2 });
    for (let item = 0; item < 5; item += 1) batcher.add(9);
    await settle();
    expect(calls).toEqual([[9], [9]]);
    expect(batcher.weight).toBe(27);
  });

  test("shares what waits among the calls it may make, unless that is little", async () => {
    const { batcher, calls, end } = rig({ weightMax: 100, weightShared: 4, callsMax: 3 });
    for (let item = 0; item < 9; item += 1) batcher.add(2);
    await settle();
    expect(calls).toEqual([
      [2, 2, 2],
      [2, 2, 2],
      [2, 2, 2],
    ]);
    for (let item = 0; item < 3; item += 1) batcher.add(2);
    await end();
    await end();
    expect(calls.slice(3)).toEqual([[2, 2, 2]]);
    for (let item = 0; item < 7; item += 1) batcher.add(1);
    await end();
    // Two calls may be made, but for two shares of 4 there is too little.
    expect(calls.slice(4)).toEqual([[1, 1, 1, 1, 1, 1, 1]]);
  });

  test("shares many items that weigh little as well", async () => {
    const { batcher, calls } = rig({ weightMax: 100, weightShared: 50, itemsShared: 3, callsMax: 2 });
    for (let item = 0; item < 6; item += 1) batcher.add(1);
    await settle();
    expect(calls).toEqual([
      [1, 1, 1],
      [1, 1, 1],
    ]);
  });

  test("does not share fewer items than that, unless they weigh enough", async () => {
    const options = { weightMax: 100, weightShared: 50, itemsShared: 3, callsMax: 2 };
    const few = rig(options);
    for (let item = 0; item < 5; item += 1) few.batcher.add(1);
    const heavy = rig(options);
    heavy.batcher.add(50);
    heavy.batcher.add(50);
    await settle();
    expect(few.calls).toEqual([[1, 1, 1, 1, 1]]);
    expect(heavy.calls).toEqual([[50], [50]]);
  });

  test("is idle when nothing waits and nothing is under way", async () => {
    const { batcher, end } = rig({ weightMax: 10, callsMax: 1 });
    await batcher.idle();
    expect(batcher.busy).toBe(false);
    batcher.add(9);
    batcher.add(9);
    expect(batcher.busy).toBe(true);
    let idle = 0;
    void batcher.idle().then(() => idle++);
    void batcher.idle().then(() => idle++);
    await settle();
    await end();
    expect(idle).toBe(0);
    await end();
    expect(idle).toBe(2);
  });
});
