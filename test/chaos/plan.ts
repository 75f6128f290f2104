/**
 * Which faults there are, and the schedule of them that a seed stands for.
 *
 * Pure: the plan is data, and faults.ts carries it out. No two faults hold the
 * same process or way at once; apart from that they may overlap.
 */
import { Random } from "../support/random.js";

type Target = "broker" | "clock" | "worker" | "producer" | "store";

interface FaultKind {
  /** What it befalls. */
  readonly on: Target;
  /** How long it lasts, in milliseconds, before it is lifted. */
  readonly forMs: readonly [min: number, max: number] | typeof COMA;
  /**
   * That no lease may be lost by it, as long as the grace and the session's
   * timeout are longer than the fault: promise 3 of the README.
   */
  readonly sparesLeases: boolean;
  /** Where it is possible. */
  readonly stores: readonly StoreKind[];
}

export type StoreKind = "redis" | "embedded";

/** As long as the brokers' patience, and longer. */
const COMA = "coma";

const ANYWHERE = ["redis", "embedded"] as const;
const REDIS = ["redis"] as const;

export const FAULTS = {
  /** kill -9, and a new process on the same address and folder. */
  "broker-kill": { on: "broker", forMs: [50, 600], sparesLeases: true, stores: ANYWHERE },
  /** SIGTERM, as in a deploy: drains, leaves, and comes back. */
  "broker-restart": { on: "broker", forMs: [0, 300], sparesLeases: true, stores: ANYWHERE },
  "broker-freeze": { on: "broker", forMs: [200, 1_200], sparesLeases: true, stores: ANYWHERE },
  /** Frozen for longer than a session lasts: what it thinks of its sessions is history when it wakes. */
  "broker-coma": { on: "broker", forMs: COMA, sparesLeases: false, stores: ANYWHERE },
  /** The broker's wall clock jumps, forwards or backwards, and stays so. */
  "broker-clock": { on: "clock", forMs: [500, 1_500], sparesLeases: true, stores: REDIS },
  "worker-kill": { on: "worker", forMs: [50, 600], sparesLeases: false, stores: ANYWHERE },
  /** SIGTERM: hands back what it holds, leaves, and comes back. */
  "worker-restart": { on: "worker", forMs: [0, 300], sparesLeases: true, stores: ANYWHERE },
  "worker-freeze": { on: "worker", forMs: [200, 900], sparesLeases: true, stores: ANYWHERE },
  /** Frozen for longer than its session lasts: it wakes with leases that others hold by then. */
  "worker-coma": { on: "worker", forMs: COMA, sparesLeases: false, stores: ANYWHERE },
  "producer-kill": { on: "producer", forMs: [50, 600], sparesLeases: true, stores: ANYWHERE },
  "producer-freeze": { on: "producer", forMs: [200, 1_500], sparesLeases: true, stores: ANYWHERE },
  /** Connections between a worker and all brokers are reset; new ones are accepted. */
  "worker-cut": { on: "worker", forMs: [0, 0], sparesLeases: true, stores: ANYWHERE },
  /** They are reset, and so is each new one for a while. */
  "worker-partition": { on: "worker", forMs: [300, 3_000], sparesLeases: false, stores: ANYWHERE },
  /** They stay open and carry nothing, one way or both; then they go on, or are reset. */
  "worker-half-open": { on: "worker", forMs: [300, 1_200], sparesLeases: true, stores: ANYWHERE },
  "worker-latency": { on: "worker", forMs: [300, 1_500], sparesLeases: true, stores: ANYWHERE },
  "producer-cut": { on: "producer", forMs: [0, 0], sparesLeases: true, stores: ANYWHERE },
  "producer-half-open": { on: "producer", forMs: [300, 1_200], sparesLeases: true, stores: ANYWHERE },
  "producer-latency": { on: "producer", forMs: [300, 1_500], sparesLeases: true, stores: ANYWHERE },
  /** The same between a broker and Redis. */
  "store-cut": { on: "broker", forMs: [0, 0], sparesLeases: true, stores: REDIS },
  "store-partition": { on: "broker", forMs: [300, 1_200], sparesLeases: true, stores: REDIS },
  "store-half-open": { on: "broker", forMs: [300, 1_200], sparesLeases: true, stores: REDIS },
  "store-latency": { on: "broker", forMs: [300, 1_500], sparesLeases: true, stores: REDIS },
  /** kill -9 of Redis, and a new process on the same folder. */
  "redis-kill": { on: "store", forMs: [50, 800], sparesLeases: true, stores: REDIS },
  "redis-restart": { on: "store", forMs: [0, 300], sparesLeases: true, stores: REDIS },
  "redis-freeze": { on: "store", forMs: [200, 1_200], sparesLeases: true, stores: REDIS },
  /** A power cut: what Redis had not synced to the disk, up to a second, never happened. */
  "redis-forget": { on: "store", forMs: [50, 300], sparesLeases: false, stores: REDIS },
  "redis-script-flush": { on: "store", forMs: [0, 0], sparesLeases: true, stores: REDIS },
  /** maxmemory below what is used, and raised again. */
  "redis-full": { on: "store", forMs: [300, 1_200], sparesLeases: true, stores: REDIS },
} as const satisfies Record<string, FaultKind>;

export type FaultName = keyof typeof FAULTS;

export function kindOf(fault: FaultName): FaultKind {
  return FAULTS[fault];
}

export function isFaultName(name: string): name is FaultName {
  return Object.hasOwn(FAULTS, name);
}

/** The faults that are possible with a store. */
export function faultsWith(store: StoreKind): FaultName[] {
  return Object.keys(FAULTS).filter(
    (name): name is FaultName => isFaultName(name) && kindOf(name).stores.includes(store),
  );
}

export interface PlannedFault {
  readonly number: number;
  readonly fault: FaultName;
  /** The name of a process; `store` for Redis. */
  readonly target: string;
  readonly atMs: number;
  readonly forMs: number;
  /** For half-open connections: which way carries nothing, and how it ends. */
  readonly direction: "up" | "down" | "both";
  readonly ending: "heal" | "cut";
  /** Milliseconds of latency, or of a clock's jump. */
  readonly amountMs: number;
}

export interface PlanOptions {
  readonly faults: readonly FaultName[];
  /** Faults begin within this time. */
  readonly durationMs: number;
  /** How long a coma lasts: longer than a session does. */
  readonly comaMs: readonly [min: number, max: number];
  /** The pause between the beginnings of two faults. */
  readonly gapMs: readonly [min: number, max: number];
  /** The processes there are, by what they are. */
  readonly members: Readonly<Record<Target, readonly string[]>>;
}

export function planFaults(seed: number, options: PlanOptions): PlannedFault[] {
  const { faults, durationMs, gapMs, comaMs, members } = options;
  const random = new Random(seed);
  const plan: PlannedFault[] = [];
  for (let atMs = random.int(...gapMs); atMs < durationMs; atMs += random.int(...gapMs)) {
    const fault = random.pick(faults);
    const kind = kindOf(fault);
    const drawn = {
      number: plan.length + 1,
      fault,
      target: random.pick(members[kind.on]),
      atMs,
      forMs: random.int(...(kind.forMs === COMA ? comaMs : kind.forMs)),
      direction: random.pick(["up", "down", "both"] as const),
      ending: random.pick(["heal", "cut"] as const),
      amountMs: fault === "broker-clock" ? random.pick([-1, 1]) * random.int(1_000, 60_000) : random.int(5, 120),
    };
    const busy = plan.some(
      ({ target, atMs: from, forMs }) => target === drawn.target && drawn.atMs < from + forMs + RECOVERY_MS,
    );
    if (!busy) plan.push(drawn);
  }
  return plan;
}

/** What was just restarted is left alone for so long: a process that never comes up proves nothing. */
const RECOVERY_MS = 400;
