/**
 * One run: a cluster at work, a plan of faults carried out on it, and then
 * peace, until everything has ended; what is left of it is a history.
 */
import { renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pause, systemClock } from "../../server/lib/clock.js";
import { removeFolder, temporaryFolder } from "../support/guardian.js";
import { check, describeViolations, type Verdict } from "./checker.js";
import { Cluster, type Timing } from "./cluster.js";
import { inject } from "./faults.js";
import { type History, monotonicUs, readHistory } from "./history.js";
import type { Expectations } from "./invariants/invariant.js";
import { type FaultName, kindOf, type PlannedFault, planFaults, type StoreKind } from "./plan.js";
import { fromSource, type Programs } from "./programs.js";
import { awaitQuiet, recordSnapshot } from "./snapshot.js";
import { lostLeasesMaxOf } from "./workload.js";

export interface Scenario {
  readonly seed: number;
  readonly store: StoreKind;
  readonly timing: Timing;
  readonly faults: readonly FaultName[];
  /** How long faults go on. */
  readonly durationMs: number;
  readonly gapMs?: readonly [min: number, max: number];
  /** How long work goes on after the last of them; default: not at all. */
  readonly calmMs?: number;
  readonly callsPerSecond?: number;
}

export interface Outcome {
  readonly scenario: Scenario;
  readonly plan: readonly PlannedFault[];
  readonly history: History;
  readonly verdict: Verdict;
  /** The record, where it was kept: after a violation, or when asked for. */
  readonly folder: string | undefined;
}

const GAP_MS = [150, 900] as const;
/** How long the faults may be over before everything has ended. */
const QUIET_MS_MAX = 30_000;
const EXIT_MS_MAX: Record<Timing, number> = { rough: 4_000, gentle: 6_000, default: 6_000 };
/** Longer than it takes until a silent worker is given up. */
const COMA_MS: Record<Timing, readonly [min: number, max: number]> = {
  rough: [2_500, 3_500],
  gentle: [2_500, 3_500],
  default: [25_000, 26_000],
};

export interface PlayOptions {
  /** Keep the record of a good run, too. */
  readonly keep?: boolean;
  /** Default: from source. */
  readonly programs?: Programs;
}

/** Runs it, checks it, and keeps the record if there is something to look at. */
export async function play(scenario: Scenario, { keep = false, programs }: PlayOptions = {}): Promise<Outcome> {
  const folder = temporaryFolder();
  try {
    const plan = await run(scenario, folder, programs);
    const history = readHistory(folder);
    const verdict = check(history, expectations(scenario));
    const isKept = keep || verdict.violations.length > 0;
    return { scenario, plan, history, verdict, folder: isKept ? keepRecord(folder, scenario) : undefined };
  } catch (error) {
    const kept = keepRecord(folder, scenario);
    throw new Error(`the run of seed ${scenario.seed} broke off; its record is in ${kept}`, { cause: error });
  } finally {
    removeFolder(folder);
  }
}

/** For people: what was violated, and how to see it again. */
export function describeOutcome({ scenario, verdict, folder, plan }: Outcome, again?: string): string {
  const { violations } = verdict;
  if (violations.length === 0) return "";
  const faults = plan.map(({ fault, target, atMs }) => `${fault} of ${target} at ${atMs} ms`).join(", ");
  return [
    `seed ${scenario.seed} on ${scenario.store}, ${scenario.timing}: ${violations.length} violations`,
    describeViolations(violations),
    `faults: ${faults}`,
    `the record is in ${folder}`,
    `again: ${again ?? `TASKQUEUE_SEED=${scenario.seed} make test-chaos, or for longer: make chaos SEED=${scenario.seed}`}`,
  ].join("\n");
}

function expectations({ faults, timing }: Scenario): Partial<Expectations> {
  return {
    lostLeasesMax: lostLeasesMaxOf,
    leasesSpared: timing === "gentle" && faults.every((fault) => kindOf(fault).sparesLeases),
    exitMsMax: EXIT_MS_MAX[timing],
  };
}

function keepRecord(folder: string, { seed, store, timing, faults }: Scenario): string {
  const [only, another] = faults;
  const name = [seed, store, timing, ...(only && !another ? [only] : [])].join("-");
  const kept = join(tmpdir(), `taskqueue-chaos-${name}`);
  rmSync(kept, { recursive: true, force: true });
  renameSync(folder, kept);
  return kept;
}

async function run(
  scenario: Scenario,
  folder: string,
  programs: Programs = fromSource,
): Promise<readonly PlannedFault[]> {
  const { seed, store, timing, faults, durationMs, gapMs = GAP_MS, calmMs = 0, callsPerSecond = 25 } = scenario;
  const brokers = store === "redis" ? 2 : 1;
  await using cluster = await Cluster.start({
    folder,
    seed,
    store,
    timing,
    brokers,
    workers: 3,
    producers: 2,
    callsPerSecond,
    programs,
  });
  const names = (members: readonly { readonly name: string }[]) => members.map(({ name }) => name);
  const plan = planFaults(seed, {
    faults,
    durationMs,
    gapMs,
    comaMs: COMA_MS[timing],
    members: {
      broker: names(cluster.brokers),
      clock: cluster.clocks,
      worker: names(cluster.workers),
      producer: names(cluster.producers),
      store: ["store"],
    },
  });
  await carryOut(cluster, plan, durationMs);
  await pause(systemClock, calmMs);
  cluster.fate.record({ kind: "faults:over" }, "*");
  const overUs = monotonicUs();
  await Promise.all(cluster.producers.map((producer) => producer.stop()));
  await awaitQuiet(cluster.client, cluster.fate, { sinceUs: overUs, timeoutMs: QUIET_MS_MAX });
  await recordSnapshot(cluster.client, cluster.fate);
  await Promise.all(cluster.workers.map((worker) => worker.stop()));
  await cluster.client.close();
  await Promise.all(cluster.brokers.map((broker) => broker.recordEnd()));
  await Promise.all(cluster.brokers.map((broker) => broker.stop()));
  return plan;
}

async function carryOut(cluster: Cluster, plan: readonly PlannedFault[], durationMs: number): Promise<void> {
  const fromUs = monotonicUs();
  const passedMs = () => (monotonicUs() - fromUs) / 1_000;
  const underWay: Promise<void>[] = [];
  for (const planned of plan) {
    await pause(systemClock, planned.atMs - passedMs());
    const injected = inject(cluster, planned);
    underWay.push(injected);
    // Two faults that spare leases may cost some together: an outage, and a worker that leaves meanwhile.
    if (cluster.options.timing === "gentle") await injected;
  }
  await pause(systemClock, durationMs - passedMs());
  await Promise.all(underWay);
}
