/**
 * Shows that the checker bites: real brokers over stores that break a promise,
 * each of which must be caught, in a real run, by the invariant of that promise.
 * Good stores take part in the same runs, and must be found good.
 */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, defineTopic, Worker } from "@taskqueue/sdk";
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from "vitest";
import { runSource } from "../support/process.js";
import { chooseSeed } from "../support/random.js";
import { RedisServer } from "../support/redis.js";
import { until } from "../support/until.js";
import { check, describeViolations, INVARIANTS, type Violation } from "./checker.js";
import { AT_WORK, type ProducerOrders, type QueueAddress, type WorkerOrders } from "./child.js";
import { monotonicUs, ofQueue, Recorder, readHistory } from "./history.js";
import type { Expectations } from "./invariants/invariant.js";
import { readLedger } from "./ledger.js";
import { Member } from "./member.js";
import { isMutantName, MUTANTS, type Mutant, type MutantName, mutantOf } from "./mutants.js";
import { awaitQuiet, recordSnapshot } from "./snapshot.js";
import { LOST_LEASES_MAX, lostLeasesMaxOf, ORDERED, TOPICS } from "./workload.js";

const seed = chooseSeed();

const ROUNDS_MAX = 4;

interface MutationRun {
  readonly names: readonly MutantName[];
  readonly topics: readonly string[];
  readonly concurrency: number;
  readonly callsPerSecond: number;
  /** Whether workers are killed and stopped. */
  readonly faults: boolean;
  readonly expected: Partial<Expectations>;
}

/** What only shows in peace. */
const CALM: MutationRun = {
  names: ["none", "turns-the-order-round", "tires-of-the-living"],
  topics: [ORDERED.name],
  concurrency: 1,
  // Faster than the workers: where no queue forms there is no order.
  callsPerSecond: 60,
  faults: false,
  expected: { leasesSpared: true },
};

/** What ends or burdens a process, which the others must not share. */
const ALONE: readonly MutantName[] = ["none", "ends-its-process", "leaves-files-open", "never-leaves"];
/** How long such a process may take to leave. */
const EXIT_MS_MAX = 3_000;

/** What workers that die bring to light. */
const ROUGH: MutationRun = {
  names: Object.keys(MUTANTS)
    .filter(isMutantName)
    .filter((name) => name === "none" || (!CALM.names.includes(name) && !ALONE.includes(name))),
  topics: TOPICS.map(({ name }) => name),
  concurrency: 5,
  callsPerSecond: 10,
  faults: true,
  expected: { lostLeasesMax: lostLeasesMaxOf },
};

async function play(run: MutationRun, folder: string, fate: Recorder, seed: number): Promise<void> {
  await using redis = await RedisServer.start();
  const orders = { url: redis.url, names: run.names };
  await using brokers = await runSource("test/chaos/child-mutants.ts", [JSON.stringify(orders)]);
  await brokers.waitForLine(new RegExp(AT_WORK));
  const queues = run.names.map((queue): QueueAddress => {
    const address = new RegExp(`^${queue} (.*)$`, "m").exec(brokers.output)?.[1] ?? "";
    return { queue, addresses: [address] };
  });
  const clients = queues.map(({ queue, addresses }) => ({ queue, client: new Client({ address: addresses }) }));
  for (const { client } of clients) await client.admin.configure("fragile", { lostLeasesMax: LOST_LEASES_MAX.fragile });
  const { topics, concurrency, callsPerSecond } = run;
  const member = (name: string, file: string, more: Partial<WorkerOrders & ProducerOrders>) =>
    new Member({
      name,
      folder,
      fate,
      launch: async (life) => {
        const child = await runSource(file, [JSON.stringify({ folder, seed, name: life, queues, topics, ...more })]);
        await child.waitForLine(new RegExp(AT_WORK));
        return child;
      },
    });
  const workers = [1, 2].map((number) => member(`worker-${number}`, "test/chaos/child-worker.ts", { concurrency }));
  const producer = member("producer-1", "test/chaos/child-producer.ts", {
    callsPerSecond,
    repeated: 0.3,
    callsMax: 40,
  });
  const members = [...workers, producer];
  try {
    await Promise.all(members.map((each) => each.start()));
    if (run.faults) {
      // What the killed one held is lost, what the stopped one held is handed back.
      await freezeAtWork(workers[0], folder);
      await Promise.all([workers[0]?.kill(), workers[1]?.stop()]);
      await Promise.all(workers.map((worker) => worker.start()));
    }
    await producer.ended();
    await Promise.all(clients.map(({ queue, client }) => awaitQuiet(client, fate, { queue, timeoutMs: 6_000 })));
    for (const { queue, client } of clients) await recordSnapshot(client, fate, queue);
  } finally {
    await Promise.all(clients.map(({ client }) => client.close()));
    await Promise.all(members.map((each) => each.kill()));
  }
}

/** A moment at which the worker has held a task for so long that its broker knows that it was received. */
async function freezeAtWork(worker: Member | undefined, folder: string): Promise<void> {
  await until(
    "the worker is in the middle of a fragile task of the broker that never gives up",
    () => {
      worker?.freeze();
      const atUs = monotonicUs();
      const { runs } = readLedger(ofQueue(readHistory(folder), "never-gives-up"));
      const isAtIt = runs.some(
        ({ by, topic, startedUs, endedUs }) =>
          by === worker?.life && topic === "fragile" && endedUs === undefined && atUs - startedUs > 100_000,
      );
      if (!isAtIt) worker?.thaw();
      return isAtIt;
    },
    { timeoutMs: 20_000 },
  );
}

describe.each([
  ["while workers die", ROUGH],
  ["in peace", CALM],
])("%s", (_, run) => {
  const folder = mkdtempSync(join(tmpdir(), "taskqueue-chaos-mutants-"));
  const violations = new Map<MutantName, Violation[]>(run.names.map((name) => [name, []]));
  let isKept = false;

  /** What a mutant does wrong takes an occasion, and chance may not give it one: then there is another round. */
  beforeAll(async () => {
    for (let round = 1; round <= ROUNDS_MAX && run.names.some((name) => isMissed(name)); round += 1) {
      const inside = join(folder, `round-${round}`);
      mkdirSync(inside);
      const fate = new Recorder(inside, "fate");
      await play(run, inside, fate, seed + round - 1);
      fate.close();
      const history = readHistory(inside);
      for (const name of run.names) {
        violations.get(name)?.push(...check(ofQueue(history, name), run.expected).violations);
      }
    }
  });

  function isMissed(name: MutantName): boolean {
    const { caughtBy } = mutantOf(name);
    const found = violations.get(name) ?? [];
    return caughtBy !== undefined && !found.some(({ invariant }) => invariant === caughtBy);
  }

  afterAll(() => {
    if (isKept) renameSync(folder, `${folder}-${seed}`);
    else rmSync(folder, { recursive: true, force: true });
  });

  test.each(run.names)("%s", (name) => {
    onTestFailed(() => {
      isKept = true;
      process.stdout.write(`seed ${seed}; the record is in ${folder}-${seed}\n`);
    });
    const { caughtBy } = mutantOf(name);
    const found = violations.get(name) ?? [];
    if (caughtBy === undefined) expect(describeViolations(found)).toBe("");
    else expect(found.map(({ invariant }) => invariant)).toContain(caughtBy);
  });
});

/** Some tasks through a broker in a process of its own, until that is asked to leave. */
async function playAlone(name: MutantName, redis: RedisServer, folder: string): Promise<void> {
  mkdirSync(folder);
  const fate = new Recorder(folder, "fate");
  let address = "";
  const launch = async () => {
    const orders = { url: redis.url, names: [name] };
    const child = await runSource("test/chaos/child-mutants.ts", [JSON.stringify(orders)]);
    await child.waitForLine(new RegExp(AT_WORK));
    address = new RegExp(`^${name} (.*)$`, "m").exec(child.output)?.[1] ?? "";
    return child;
  };
  const broker = new Member({ name: "broker-1", folder, fate, launch });
  await broker.start();
  const topic = defineTopic<[]>("plain");
  const client = new Client({ address });
  const worker = new Worker({ address, concurrency: 5, name: "worker-1" });
  let settled = 0;
  worker.on("settled", ({ leaseTokens }) => {
    settled += leaseTokens.length;
  });
  worker.register(topic, async () => {});
  try {
    await client.enqueueMany(
      topic,
      Array.from({ length: 20 }, () => ({ args: [] })),
    );
    void worker.start().catch(() => {});
    await until("all are done, or nobody is left to say so", () => settled === 20 || !broker.isUp);
  } finally {
    await worker.close({ timeoutMs: 300 });
    await client.close();
  }
  await broker.recordEnd();
  await broker.stop(EXIT_MS_MAX);
  fate.close();
}

describe("processes", () => {
  const folder = mkdtempSync(join(tmpdir(), "taskqueue-chaos-mutants-"));

  beforeAll(async () => {
    await using redis = await RedisServer.start();
    for (const name of ALONE) await playAlone(name, redis, join(folder, name));
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test.each(ALONE)("%s", (name) => {
    const { caughtBy } = mutantOf(name);
    const found = check(readHistory(join(folder, name)), { exitMsMax: EXIT_MS_MAX }).violations.filter(
      ({ invariant }) => invariant === "nobody-dies" || invariant === "nothing-leaks",
    );
    expect([...new Set(found.map(({ invariant }) => invariant))]).toEqual(caughtBy === undefined ? [] : [caughtBy]);
  });
});

test("every mutant took part", () => {
  expect([...new Set([...ROUGH.names, ...CALM.names, ...ALONE])].sort()).toEqual(Object.keys(MUTANTS).sort());
});

test("every invariant has a mutant that it catches, and docs/operations.md says which", () => {
  const caught = Object.entries<Mutant>(MUTANTS).flatMap(([name, { caughtBy }]) =>
    caughtBy ? [[name, caughtBy]] : [],
  );
  expect([...new Set(caught.map(([, invariant]) => invariant))].sort()).toEqual(Object.keys(INVARIANTS).sort());
  const document = readFileSync(new URL("../../docs/operations.md", import.meta.url), "utf8");
  const rows = [...document.matchAll(/^\| `([a-z-]+)` \|[^|]*\| `([a-z-]+)` \|$/gm)].map(([, name, invariant]) => [
    name,
    invariant,
  ]);
  expect(rows.sort()).toEqual(caught.sort());
});
