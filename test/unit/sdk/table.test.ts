import { describe, expect, test } from "vitest";
import { hashOfText, hashOfToken, Table } from "../../../sdk/table.js";
import { Random } from "../../support/random.js";

const token = (number: number, topic = "clicks") => `${number.toString(16).padStart(12, "0")}.${topic}`;

describe("a table", () => {
  test.each([
    { hashes: "spread", hash: hashOfText },
    { hashes: "all alike", hash: () => 7 },
    { hashes: "negative, and at the end of the table", hash: (key: string) => -1 - (key.length % 3) },
  ])("holds what a Map would, with hashes that are $hashes", ({ hash }) => {
    const random = new Random(1);
    const table = new Table<number>(hash);
    const map = new Map<string, number>();
    for (let step = 0; step < 5_000; step++) {
      const key = `k${random.int(0, 59)}`.repeat(random.int(1, 2));
      if (random.chance(0.5)) {
        table.set(key, step);
        map.set(key, step);
      } else {
        expect(table.delete(key)).toBe(map.get(key));
        map.delete(key);
      }
      expect(table.size).toBe(map.size);
      expect(table.get(key)).toBe(map.get(key));
      expect(table.has(key)).toBe(map.has(key));
      if (step % 100 === 0) {
        expect(table.keys().sort()).toEqual([...map.keys()].sort());
        expect(table.values().sort()).toEqual([...map.values()].sort());
        for (const known of map.keys()) expect(table.get(known)).toBe(map.get(known));
      }
    }
  });

  test("grows, and is as good as new once it is empty", () => {
    const table = new Table<number>(hashOfToken);
    for (let round = 0; round < 2; round++) {
      for (let number = 0; number < 10_000; number++) table.set(token(number), number);
      expect(table.size).toBe(10_000);
      for (let number = 0; number < 10_000; number++) {
        expect(table.get(token(number))).toBe(number);
        table.delete(token(number));
      }
      expect([table.size, table.values(), table.keys()]).toEqual([0, [], []]);
    }
  });

  test("what is listed is not changed by what happens meanwhile", () => {
    const table = new Table<string>(hashOfText);
    for (const key of ["a", "b", "c"]) table.set(key, key);
    for (const key of table.values()) table.delete(key);
    expect(table.size).toBe(0);
  });
});

test.each([
  { what: "tokens in a row", keys: Array.from({ length: 4_096 }, (_, index) => token(0x12_3456_7890 + index)) },
  { what: "one token of many topics", keys: Array.from({ length: 4_096 }, (_, index) => token(77, `topic-${index}`)) },
])("hashes of $what are spread", ({ keys }) => {
  const slots = new Set(keys.map((key) => hashOfToken(key) & 0x1fff));
  // Of random ones 3,223 would differ.
  expect(slots.size).toBeGreaterThan(2_900);
});

test("anything may be asked for as if it were a token", () => {
  const table = new Table<number>(hashOfToken);
  table.set(token(1), 1);
  for (const key of ["", "x", "0".repeat(12), `${token(1)}x`, "\u{1f600}"]) expect(table.get(key)).toBeUndefined();
});
