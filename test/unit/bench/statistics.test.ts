import { expect, test } from "vitest";
import { distribution, median, percentile, Sample } from "../../bench/statistics.js";

test("a percentile is the nearest rank: a value that was really measured", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
  expect([0, 0.01, 0.5, 0.99, 0.999, 1].map((fraction) => percentile(hundred, fraction))).toEqual([
    1, 1, 50, 99, 100, 100,
  ]);
  expect(percentile([7], 0.5)).toBe(7);
  expect(percentile([1, 9], 0.5)).toBe(1);
  expect(percentile([1, 9], 0.51)).toBe(9);
  expect(percentile([], 0.5)).toBeNaN();
  expect(() => percentile([1], 99)).toThrow(RangeError);
});

test("the median of an even number of values is the mean of the middle two", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test("the median leaves its argument as it was", () => {
  const values = [3, 1, 2];
  median(values);
  expect(values).toEqual([3, 1, 2]);
});

test("a distribution sorts by number, not by text", () => {
  const { min, p50, max, count } = distribution(Float64Array.of(100, 9, 20));
  expect({ min, p50, max, count }).toEqual({ min: 9, p50: 20, max: 100, count: 3 });
});

test("a sample keeps every value beyond its first capacity, and none after it was cleared", () => {
  const sample = new Sample();
  for (let value = 3000; value >= 1; value -= 1) sample.add(value);
  const { count, min, p50, max } = sample.distribution();
  expect({ count, min, p50, max }).toEqual({ count: 3000, min: 1, p50: 1500, max: 3000 });
  sample.clear();
  sample.add(5);
  expect(sample.distribution()).toEqual({ count: 1, min: 5, p50: 5, p99: 5, p999: 5, max: 5 });
});
