import { expect, test } from "vitest";
import { Retries } from "../../../server/engine/retries.js";
import { ManualClock, settle } from "../../support/clock.js";

function rig() {
  const clock = new ManualClock();
  const retries = new Retries(clock);
  const ended: boolean[] = [];
  const wait = (ms: number) => void retries.pause(ms).then((again) => ended.push(again));
  return { clock, retries, ended, wait };
}

test("a pause ends after its time, or when all are to hurry; those that begin later are full ones again", async () => {
  const { clock, retries, ended, wait } = rig();
  wait(50);
  wait(100);
  await clock.advance(50);
  expect(ended).toEqual([true]);
  retries.hurry();
  await settle();
  expect(ended).toEqual([true, true]);
  wait(100);
  await clock.advance(99);
  expect(ended).toHaveLength(2);
  await clock.advance(1);
  expect(ended).toEqual([true, true, true]);
  expect(clock.pending).toBe(0);
});

test("once the broker stops nothing is tried again", async () => {
  const { clock, retries, ended, wait } = rig();
  wait(100);
  retries.stop();
  wait(100);
  await settle();
  expect(ended).toEqual([false, false]);
  expect(clock.pending).toBe(0);
});
