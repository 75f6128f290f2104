/**
 * The model against every store: random calls, equal answers, equal pictures.
 *
 * Sequences are drawn until every outcome of every verb has been met from every
 * state and nothing new has turned up for a while. A difference is shortened to
 * a few calls and printed with its seed: TASKQUEUE_SEED repeats a run.
 */
import assert from "node:assert";
import { describe, expect, test } from "vitest";
import { STORES } from "../conformance/stores.js";
import { chooseSeed, Random } from "../support/random.js";
import type { Call } from "./call.js";
import { Coverage } from "./coverage.js";
import { describeDifference, drawSequence, type OpenStore, replay, shrink } from "./run.js";

const SEED = chooseSeed();
const CALLS_PER_SEQUENCE = 150;
/** So many sequences without anything new end the drawing. */
const QUIET_SEQUENCES = 10;
const SEQUENCES_MAX = 150;
const PICTURE_EVERY = 10;

async function drawUntilQuiet(random: Random): Promise<{ sequences: Call[][]; coverage: Coverage }> {
  const coverage = new Coverage();
  const sequences: Call[][] = [];
  for (let quiet = 0; quiet < QUIET_SEQUENCES && sequences.length < SEQUENCES_MAX; ) {
    const before = coverage.size;
    sequences.push(await drawSequence(random, CALLS_PER_SEQUENCE, coverage));
    quiet = coverage.size > before || coverage.missing.length > 0 ? 0 : quiet + 1;
  }
  return { sequences, coverage };
}

/** Fails with the shortest sequence found that tells a store from the model. */
async function assertSame(sequences: readonly Call[][], open: OpenStore): Promise<void> {
  for (const sequence of sequences) {
    const difference = await replay(sequence, open, PICTURE_EVERY);
    if (difference === undefined) continue;
    const shortest = await shrink(sequence, difference, open);
    assert.fail(`${describeDifference(shortest.difference)}\n\nTASKQUEUE_SEED=${SEED} repeats this run.`);
  }
}

describe(`differential, TASKQUEUE_SEED=${SEED}`, async () => {
  const { sequences, coverage } = await drawUntilQuiet(new Random(SEED));

  test("the sequences meet every outcome of every verb, from every state", () => {
    expect(coverage.missing).toEqual([]);
  });

  for (const [name, open] of Object.entries(STORES)) {
    if (name === "model") continue;
    test(`${name} answers like the model in ${sequences.length} sequences`, () => assertSame(sequences, open));
  }
});
