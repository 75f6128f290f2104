import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DEPTH_MAX } from "../../../sdk/args.js";
import { cutToBytes, isTaskId, LIMITS } from "../../../sdk/limits.js";
import { jitteredBackoffMs, timedId } from "../../../sdk/random.js";
import { VERSION } from "../../../sdk/version.js";
import { LIMITS as SERVER } from "../../../server/domain/limits.js";

test("the SDK's bounds are the broker's", () => {
  const { batchTasksMax, topicsMax, ...same } = LIMITS;
  expect(SERVER).toMatchObject(same);
  expect(SERVER).toMatchObject({ batchMax: batchTasksMax, topicsPerWorkerMax: topicsMax, argsDepthMax: DEPTH_MAX });
});

test("the SDK calls itself by the version of its package", () => {
  const { version } = JSON.parse(readFileSync(new URL("../../../sdk/package.json", import.meta.url), "utf8"));
  expect(VERSION).toBe(version);
});

test("ids are 20 characters that the broker allows, and never come twice", () => {
  const ids = new Set(Array.from({ length: 10_000 }, timedId));
  expect(ids.size).toBe(10_000);
  for (const id of ids) expect(id.length === 20 && isTaskId(id)).toBe(true);
});

test("text is cut between characters, to no more bytes than asked for", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), fc.nat({ max: 80 }), (text, bytesMax) => {
      const cut = cutToBytes(text, bytesMax);
      expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(bytesMax);
      expect(text.startsWith(cut)).toBe(true);
      if (Buffer.byteLength(text) <= bytesMax) expect(cut).toBe(text);
      else expect(Buffer.byteLength(cut)).toBeGreaterThan(bytesMax - 4);
    }),
  );
});

test("waiting times are anything from nothing to the cap, and double on the way", () => {
  fc.assert(
    fc.property(fc.nat({ max: 1_000 }), (failures) => {
      const ms = jitteredBackoffMs(failures, 100, 5_000);
      expect(ms).toBeGreaterThanOrEqual(0);
      expect(ms).toBeLessThan(Math.min(5_000, 100 * 2 ** Math.min(failures, 30)) + 1e-9);
    }),
  );
});
