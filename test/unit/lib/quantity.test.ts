import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  formatAge,
  formatBytes,
  formatBytesRoughly,
  formatDuration,
  parseBytes,
  parseDuration,
} from "../../../server/lib/quantity.js";

describe("durations", () => {
  test.each([
    ["0", 0],
    ["0s", 0],
    ["500ms", 500],
    ["1.5s", 1_500],
    ["1h30m", 5_400_000],
    ["2d", 172_800_000],
    ["-1s", -1_000],
  ])("%s", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each(["", "5", "s", "1 s", "1S", "1w", "-", "1s2", "1e3s", ".5s", "1..5s"])("%j is none", (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  test("what is written can be read", () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e12, max: 1e12 }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms);
      }),
    );
  });

  test.each([
    [0, "0ms"],
    [850, "850ms"],
    [1_540, "1.5s"],
    [59_600, "1m"],
    [3_725_000, "1h2m"],
    [93_600_000, "1d2h"],
    [86_405_000, "1d"],
  ])("%i ms is about %s", (ms, text) => {
    expect(formatAge(ms)).toBe(text);
  });
});

describe("sizes", () => {
  test.each([
    ["0", 0],
    ["1024", 1_024],
    ["10B", 10],
    ["64KiB", 65_536],
    ["1.5MiB", 1_572_864],
    ["1GiB", 1_073_741_824],
  ])("%s", (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  test.each(["", "-1", "1MB", "1 KiB", "KiB", "1e3"])("%j is none", (text) => {
    expect(parseBytes(text)).toBeUndefined();
  });

  test("what is written can be read", () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 31 - 1 }), (bytes) => {
        expect(parseBytes(formatBytes(bytes))).toBe(bytes);
      }),
    );
    expect(formatBytes(1_048_576)).toBe("1MiB");
  });

  test("for people", () => {
    expect([0, 1, 1_536, 5_000_000].map(formatBytesRoughly)).toEqual(["0B", "1B", "1.5KiB", "4.8MiB"]);
  });
});
