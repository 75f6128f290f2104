import { expect, test } from "vitest";
import { EventBound } from "../../../server/engine/event-bound.js";

/** A bound on a clock of its own. */
function boundOf(perSecond: number) {
  let nowMs = 0;
  const bound = new EventBound(perSecond, () => nowMs);
  return {
    pass: (ms: number) => {
      nowMs += ms;
    },
    /** Those tasks of which an event was told. */
    tell(topic: string, ids: readonly string[], sure = false): string[] {
      const share = bound.offer(topic, sure ? 0 : ids.length);
      return ids.filter((id) => bound.admits(share, id, sure));
    },
  };
}

const ids = (count: number, from = 0) => Array.from({ length: count }, (_, index) => `order-${from + index}`);

test("below the bound everything is told", () => {
  const { tell, pass } = boundOf(1_000);
  for (let second = 0; second < 10; second += 1) {
    expect(tell("clicks", ids(700)).length).toBe(700);
    pass(1_000);
  }
});

test("what is told at once is a second's worth at most, and no more in a second, however many there are", () => {
  const { tell, pass } = boundOf(1_000);
  expect(tell("clicks", ids(50_000)).length).toBe(750);
  let told = 0;
  for (let turn = 0; turn < 1_000; turn += 1) {
    pass(10);
    told += tell("clicks", ids(300, turn * 300)).length;
  }
  expect(told).toBeGreaterThan(8_000);
  expect(told).toBeLessThanOrEqual(10_000);
});

test("after a quiet time everything is told again", () => {
  const { tell, pass } = boundOf(1_000);
  for (let turn = 0; turn < 100; turn += 1) {
    pass(100);
    tell("clicks", ids(5_000));
  }
  pass(5_000);
  tell("clicks", ids(1));
  expect(tell("clicks", ids(500)).length).toBe(500);
});

test("of a task that is told, each event is: here, and where the bound is another", () => {
  const [one, other] = [boundOf(1_000), boundOf(3_000)];
  const seen: string[][] = [[], [], [], []];
  for (let turn = 0; turn < 40; turn += 1) {
    const batch = ids(1_000, turn * 1_000);
    one.pass(100);
    other.pass(100);
    const told = [...[0, 1, 2].map(() => one.tell("clicks", batch)), other.tell("clicks", batch)];
    // Until the bound knows how many there are.
    if (turn >= 20) for (const [index, some] of told.entries()) seen[index]?.push(...some);
  }
  const [first = [], second, third, wider] = seen;
  expect(first.length).toBeGreaterThan(500);
  expect(second).toEqual(first);
  expect(third).toEqual(first);
  expect(wider).toEqual(expect.arrayContaining(first));
});

test("ids that are alike are chosen from as evenly as others", () => {
  for (const id of [
    (index: number) => `a-customer@example.com/${index}/thumbnails/large`,
    (index: number) => String(index).padStart(20, "0"),
    (index: number) => `${index}-0000-0000-0000`,
  ]) {
    const { tell, pass } = boundOf(1_000);
    let told = 0;
    for (let turn = 0; turn < 100; turn += 1) {
      pass(100);
      told += tell(
        "clicks",
        Array.from({ length: 1_000 }, (_, index) => id(turn * 1_000 + index)),
      ).length;
    }
    expect(told).toBeGreaterThan(6_000);
  }
});

test("topics share alike: a quiet one is told whole beside a busy one", () => {
  const { tell, pass } = boundOf(1_000);
  let told = 0;
  for (let turn = 0; turn < 100; turn += 1) {
    pass(100);
    tell("busy", ids(5_000, turn * 5_000));
    tell("busy too", ids(2_000, turn * 2_000));
    const quiet = tell("quiet", ids(10, turn * 10)).length;
    if (turn >= 20) told += quiet;
  }
  expect(told).toBe(800);
});

test("what is sure passes when the bound is used up by others, and is bounded itself", () => {
  const { tell, pass } = boundOf(1_000);
  for (let turn = 0; turn < 10; turn += 1) {
    tell("busy", ids(5_000));
    pass(100);
  }
  tell("busy", ids(5_000));
  expect(tell("busy", ids(100), true).length).toBe(100);
  expect(tell("busy", ids(5_000), true).length).toBeLessThanOrEqual(1_000);
});
