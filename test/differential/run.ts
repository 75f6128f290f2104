/**
 * Runs sequences of calls: draws them on the model, replays them on the model
 * and a store side by side, and shortens a sequence that tells them apart.
 */
import assert from "node:assert";
import type { LeaseToken } from "../../server/domain/ids.js";
import type { Millis } from "../../server/domain/task.js";
import type { Store, Wake } from "../../server/store/store.js";
import type { Random } from "../support/random.js";
import { assertConsistent, plain, takeSnapshot } from "../support/snapshot.js";
import { NOW, token, topicName } from "../support/task-factory.js";
import { until } from "../support/until.js";
import { type Call, type PreparedCall, World } from "./call.js";
import type { Coverage } from "./coverage.js";
import { drawCall } from "./draw.js";
import { ModelStore } from "./model.js";

const SHRINK_REPLAYS_MAX = 500;
const DIFFERENCES_SHOWN_MAX = 12;
const MARKER = topicName("marker");

/** A store to compare with the model, in a fresh namespace. */
export type OpenStore = () => Promise<{ readonly store: Store; dispose(passed: boolean): Promise<void> }>;

export interface Difference {
  /** The calls up to the one that told the stores apart, as they were made. */
  readonly shown: readonly string[];
  /** What differs. */
  readonly message: string;
}

/** Draws a sequence of calls by making them against a model. */
export async function drawSequence(random: Random, length: number, coverage: Coverage): Promise<Call[]> {
  const model = new ModelStore();
  const world = new World(model);
  const endedWindowMs = random.pick([0, 100, 2000, 2000]);
  const calls: Call[] = [];
  let now: Millis = NOW;
  let opened = 0;
  while (calls.length < length) {
    now += random.pick([0, 0, 0, 1, 5, 5, 10, 100, ...(random.chance(0.1) ? [1000, 3000] : [])]);
    const snapshot = await takeSnapshot(model);
    const call = drawCall({ random, world, snapshot, now, endedWindowMs, opened });
    if (call.verb === "openSession") opened += 1;
    const prepared = call.prepare(world);
    const states = prepared.subjects.map(({ topic, id }) => world.state(topic, id));
    coverage.saw(call.verb, prepared, states, await make(prepared, model, world));
    calls.push(call);
  }
  return calls;
}

/** Makes a call against the model, and tells the world what came of it. `seen`: what the store answered before. */
async function make(prepared: PreparedCall, model: ModelStore, world: World, seen?: unknown): Promise<unknown> {
  const answer = await prepared.make(model, seen);
  world.saw(prepared.args, answer);
  return answer;
}

/**
 * Makes the calls against a model and a store, with equal arguments, and gives
 * the first difference of their answers, of their full pictures (compared every
 * `pictureEvery` calls and at the end), or of the wakes they sent.
 */
export async function replay(
  calls: readonly Call[],
  open: OpenStore,
  pictureEvery = 1,
): Promise<Difference | undefined> {
  const model = new ModelStore();
  const world = new World(model);
  const { store, dispose } = await open();
  const shown: string[] = [];
  const wakes = { model: collectWakes(model), store: collectWakes(store) };
  let passed = false;
  try {
    await Promise.all([wakes.model.begin(), wakes.store.begin()]);
    for (const [index, call] of calls.entries()) {
      const prepared = call.prepare(world);
      shown.push(`${call.verb}(${prepared.args.map(show).join(", ")})`);
      const actual = await attempt(prepared, store);
      model.foretold = tokensIn(actual);
      assertSame("answers", await make(prepared, model, world, actual), actual);
      if ((index + 1) % pictureEvery === 0 || index === calls.length - 1) {
        const picture = await takeSnapshot(store);
        assertSame("pictures", await takeSnapshot(model), picture);
        assertConsistent(picture);
      }
    }
    const [expected, actual] = await Promise.all([wakes.model.end(), wakes.store.end()]);
    assertSame("wakes", expected, actual);
    passed = true;
    return undefined;
  } catch (error) {
    return { shown, message: error instanceof Error ? error.message : String(error) };
  } finally {
    await dispose(passed);
  }
}

/** Of the tasks that an answer hands out. That tokens rise is settled; by how much is the store's business. */
function tokensIn(answer: unknown): LeaseToken[] {
  const leased = isObject(answer) && Array.isArray(answer.leased) ? answer.leased : [];
  return leased.flatMap((lease: unknown) => (isObject(lease) ? [token(String(lease.token))] : []));
}

function assertSame(what: string, expected: unknown, actual: unknown): void {
  const differences = differencesOf(plain(expected), plain(actual));
  assert(differences.length === 0, [`the ${what} differ`, ...differences.slice(0, DIFFERENCES_SHOWN_MAX)].join("\n  "));
}

/** A line for each place where the two are not alike. */
function differencesOf(expected: unknown, actual: unknown, path = ""): string[] {
  if (isObject(expected) && isObject(actual)) {
    const keys = new Set([...Object.keys(expected), ...Object.keys(actual)]);
    return [...keys].flatMap((key) => differencesOf(expected[key], actual[key], path === "" ? key : `${path}.${key}`));
  }
  return Object.is(expected, actual) ? [] : [`${path}: ${show(expected)} expected, but got ${show(actual)}`];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

async function attempt(prepared: PreparedCall, store: Store): Promise<unknown> {
  try {
    return await prepared.make(store);
  } catch (error) {
    return { threw: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * The messages of a run, in no order: how those of one call are ordered is open,
 * and a cancelling that is asked for twice may be told twice.
 */
function collectWakes(store: Store) {
  const seen: Wake[] = [];
  const stop = store.listen((wake) => seen.push(wake));
  const isMarker = (wake: Wake) => wake.kind === "settings" && wake.topic === MARKER;
  const mark = () =>
    until("the marker has come", async () => {
      await store.configure(MARKER, { paused: false });
      return seen.some(isMarker);
    });
  return {
    async begin(): Promise<void> {
      await mark();
      seen.length = 0;
    },
    async end(): Promise<string[]> {
      // A marker of `begin` may still be on its way; a second one of the end cannot hurt.
      seen.splice(0, seen.length, ...seen.filter((wake) => !isMarker(wake)));
      await mark();
      stop();
      const messages = seen.filter((wake) => !isMarker(wake)).map((wake) => JSON.stringify(wake));
      const cancels = new Set(messages.filter((message) => message.includes('"cancel"')));
      return [...messages.filter((message) => !cancels.has(message)), ...cancels].sort();
    },
  };
}

/** Leaves out calls, large pieces first, as long as the rest still tells the stores apart. */
export async function shrink(
  calls: readonly Call[],
  first: Difference,
  open: OpenStore,
): Promise<{ readonly calls: readonly Call[]; readonly difference: Difference }> {
  let best = { calls: calls.slice(0, first.shown.length), difference: first };
  let replays = 0;
  for (let size = Math.ceil(best.calls.length / 2); size >= 1; ) {
    let shorter = false;
    for (let start = best.calls.length - size; start > -size && replays < SHRINK_REPLAYS_MAX; start -= size) {
      const rest = [...best.calls.slice(0, Math.max(0, start)), ...best.calls.slice(start + size)];
      const difference = await replay(rest, open);
      replays += 1;
      if (difference === undefined) continue;
      best = { calls: rest.slice(0, difference.shown.length), difference };
      shorter = true;
    }
    if (size === 1 && !shorter) break;
    size = shorter && size === 1 ? 1 : Math.floor(size / 2);
    if (size === 0) size = 1;
    if (replays >= SHRINK_REPLAYS_MAX) break;
  }
  return best;
}

export function describeDifference({ shown, message }: Difference): string {
  return [message, "", ...shown.map((line, index) => `${index + 1}. ${line}`)].join("\n");
}

/** A value as a person reads it: keys bare, bytes as text, long ones cut. */
function show(value: unknown): string {
  const text = JSON.stringify(plain(value), (_key, field: unknown) =>
    typeof field === "string" && field.length > 80 ? `${field.slice(0, 77)}...` : field,
  );
  return (text ?? "undefined").replace(/"(\w+)":/g, "$1: ");
}
