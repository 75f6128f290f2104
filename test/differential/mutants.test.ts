/**
 * The comparison must be able to fail. Each mutant is the model with one fault
 * such as a store might have; the differential test has to find it and to
 * shorten the proof to a few calls.
 */
import { describe, expect, test } from "vitest";
import type { Store } from "../../server/store/store.js";
import { chooseSeed, Random } from "../support/random.js";
import type { Call } from "./call.js";
import { Coverage } from "./coverage.js";
import { ModelStore } from "./model.js";
import { describeDifference, drawSequence, type OpenStore, replay, shrink } from "./run.js";

const SEED = chooseSeed();
const SEQUENCES = 50;
const CALLS_PER_SEQUENCE = 100;
const PROOF_CALLS_MAX = 12;

/** Gives the verbs that are at fault; the others stay the model's. */
type Fault = (model: ModelStore) => Partial<Store>;

const FAULTS: Record<string, Fault> = {
  "complete does not check the token": (model) => ({
    complete: async (topic, completions, options) => {
      const records = await model.get(
        topic,
        completions.map(({ id }) => id),
      );
      const trusting = completions.map((completion, index) => ({ ...completion, ...records[index]?.lease }));
      return model.complete(topic, trusting, options);
    },
  }),
  "a released task loses its place": (model) => ({
    release: async (topic, leases, options) => {
      const records = await model.get(
        topic,
        leases.map(({ id }) => id),
      );
      const outcomes = await model.release(topic, leases, options);
      for (const [index, outcome] of outcomes.entries()) {
        const record = records[index];
        if (outcome !== "released" || record === undefined) continue;
        await model.remove(topic, [record.id]);
        await model.enqueue(topic, [{ ...record, dueAtMs: 0 }], { ...options, tasksMax: 0, bytesMax: 0 });
      }
      return outcomes;
    },
  }),
  "ended ids are not remembered": (model) => ({
    enqueue: (topic, tasks, options) => model.enqueue(topic, tasks, { ...options, endedWindowMs: 0 }),
  }),
  "an id that ended lately goes straight": (model) => ({
    enqueueStraight: (tasks, takers, options) => model.enqueueStraight(tasks, takers, { ...options, endedWindowMs: 0 }),
  }),
  "a task goes straight behind one of its topic that was declined": (model) => ({
    enqueueStraight: async (tasks, takers, options) => {
      const leased = [];
      for (const [index, task] of tasks.entries()) {
        leased.push(...(await model.enqueueStraight([task], takers.slice(index, index + 1), options)));
      }
      return leased;
    },
  }),
  "a broker of an old epoch may let tasks go straight": (model) => ({
    enqueueStraight: async (tasks, takers, options) => {
      const { rows } = await model.sessions({ limit: 1000 });
      const current = takers.map((taker) => rows.find(({ id }) => id === taker.id) ?? taker);
      return model.enqueueStraight(tasks, current, options);
    },
  }),
  "a task that is declined is enqueued all the same": (model) => ({
    enqueueStraight: async (tasks, takers, options) => {
      const leased = await model.enqueueStraight(tasks, takers, options);
      for (const [index, task] of tasks.entries()) {
        const isDeclined = leased[index] === undefined;
        if (isDeclined) await model.enqueue(task.topic, [task], { ...options, tasksMax: 0, bytesMax: 0 });
      }
      return leased;
    },
  }),
  "completeStraight does not check the token": (model) => ({
    completeStraight: async (leases, options) => {
      const records = await Promise.all(leases.map(({ topic, id }) => model.get(topic, [id])));
      return model.completeStraight(
        leases.map((lease, index) => ({ ...lease, ...records[index]?.[0]?.lease })),
        options,
      );
    },
  }),
  "completeStraight forgets the id": (model) => ({
    completeStraight: (leases, options) => model.completeStraight(leases, { ...options, endedWindowMs: 0 }),
  }),
  "one lost lease too many is forgiven": (model) => ({
    expire: (topic, session, options) =>
      model.expire(topic, session, { ...options, lostLeasesMax: options.lostLeasesMax + 1 }),
  }),
  "undelivered leases are charged": (model) => ({
    expire: (topic, session, options) => model.expire(topic, session, { ...options, undelivered: [] }),
  }),
  "a bound may be exceeded by one": (model) => ({
    enqueue: (topic, tasks, options) =>
      model.enqueue(topic, tasks, { ...options, tasksMax: options.tasksMax === 0 ? 0 : options.tasksMax + 1 }),
  }),
  "a broker of an old epoch may renew": (model) => ({
    renewSessions: async (refs, expiresAtMs) => {
      const { rows } = await model.sessions({ limit: 1000 });
      const current = refs.map((ref) => ({ ...ref, epoch: rows.find((row) => row.id === ref.id)?.epoch ?? ref.epoch }));
      return model.renewSessions(current, expiresAtMs);
    },
  }),
  "the size of a demand in bytes is not looked at": (model) => ({
    lease: (topic, demands, options) =>
      model.lease(
        topic,
        demands.map((demand) => ({ ...demand, bytesMax: Number.MAX_SAFE_INTEGER })),
        options,
      ),
  }),
  "nobody is woken for what is due": (model) => ({
    listen: (wake) => model.listen((message) => message.kind !== "due" && wake(message)),
  }),
  "white space at the end of an error is lost": (model) => ({
    fail: (topic, failures, options) =>
      model.fail(
        topic,
        failures.map((failure) => ({ ...failure, error: failure.error.trimEnd() })),
        options,
      ),
  }),
};

/** The mutant answers by its fault where there is one, and by the model elsewhere. */
function openMutant(fault: Fault): OpenStore {
  return async () => {
    const model = new ModelStore();
    const faulty = fault(model);
    const store = new Proxy<Store>(model, {
      get(target, name) {
        const own: unknown = Reflect.get(faulty, name) ?? Reflect.get(target, name);
        return typeof own === "function" && !Reflect.has(faulty, name) ? own.bind(target) : own;
      },
    });
    return { store, dispose: () => store.close() };
  };
}

describe(`mutants, TASKQUEUE_SEED=${SEED}`, async () => {
  const random = new Random(SEED);
  const sequences: Call[][] = [];
  while (sequences.length < SEQUENCES) sequences.push(await drawSequence(random, CALLS_PER_SEQUENCE, new Coverage()));

  for (const [name, fault] of Object.entries(FAULTS)) {
    test(`it is noticed when ${name}`, async () => {
      const open = openMutant(fault);
      for (const calls of sequences) {
        const difference = await replay(calls, open, 10);
        if (difference === undefined) continue;
        const shortest = await shrink(calls, difference, open);
        expect(shortest.calls.length, describeDifference(shortest.difference)).toBeLessThanOrEqual(PROOF_CALLS_MAX);
        return;
      }
      expect.fail(`${SEQUENCES} sequences did not tell it from the model`);
    });
  }
});
