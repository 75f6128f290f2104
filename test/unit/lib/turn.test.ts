import { describe, expect, test } from "vitest";
import { Turn } from "../../../server/lib/turn.js";
import { ManualClock } from "../../support/clock.js";

const tick = () => new Promise<void>((resolve) => process.nextTick(resolve));
const immediate = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A turn, and what ended in it so far. */
function rig() {
  const clock = new ManualClock();
  const turn = new Turn(clock);
  const ended: string[] = [];
  const call = (name: string) => turn.atEnd(() => ended.push(name), true);
  return { clock, turn, ended, call };
}

describe("a turn", () => {
  test("has one end for all that is put off", async () => {
    const { turn, ended } = rig();
    turn.atEnd(() => {
      ended.push("a");
      void Promise.resolve().then(() => ended.push("promise"));
    });
    turn.atEnd(() => ended.push("b"));
    await tick();
    expect(ended).toEqual([]);
    await immediate();
    expect(ended).toEqual(["a", "b", "promise"]);
  });

  test("puts off no lone call, but those that come right behind it", async () => {
    const { ended, call } = rig();
    await immediate();
    call("first");
    await tick();
    expect(ended).toEqual(["first"]);
    call("second");
    await tick();
    call("third");
    await tick();
    expect(ended).toEqual(["first"]);
    await immediate();
    expect(ended).toEqual(["first", "second", "third"]);
  });

  test("puts off nothing any more once calls come one at a time again", async () => {
    const { clock, ended, call } = rig();
    for (const name of ["a", "b"]) call(name);
    await immediate();
    call("alone, behind a crowd");
    await tick();
    expect(ended).toHaveLength(2);
    await immediate();
    for (const name of ["alone", "alone again"]) {
      await clock.advance(1);
      call(name);
      await tick();
      expect(ended.at(-1)).toBe(name);
    }
  });
});
