import { expect, test } from "vitest";
import { Tally } from "../../bench/roles/tally.js";

function tallyOf(...numbers: number[]): Tally {
  const tally = new Tally();
  for (const n of numbers) tally.add(n);
  return tally;
}

test("exact delivery is every number once", () => {
  expect(tallyOf(0, 1, 2).judge(3)).toEqual({ never: 0, again: 0, foreign: 0 });
});

test("a number that is missing, repeated or unknown is found", () => {
  expect(tallyOf(0, 2, 2, 9).judge(4)).toEqual({ never: 2, again: 1, foreign: 1 });
});

test("a repetition in another worker's tally is found, also after its way through JSON", () => {
  const all = tallyOf(0, 5000);
  all.merge(Tally.fromBase64(tallyOf(1, 5000).toBase64()));
  expect(all.judge(2)).toEqual({ never: 0, again: 0, foreign: 1 });
  expect(all.judge(5001)).toEqual({ never: 4998, again: 1, foreign: 0 });
});
