/** What the broker still knows of a run's tasks, and the verdict: was anything lost? */
import { LIMITS } from "../../domain/limits.js";
import type { BrokerClient } from "../context.js";
import type { Ledger } from "./ledger.js";
import { type Plan, taskIdOf } from "./plan.js";

/** Below this many unfinished tasks it is worth asking for them one by one. */
const FEW = 2_000;

/** The end of a simulation. The keys are those of `--json`. */
export interface Summary {
  readonly run: string;
  readonly seed: number;
  /** Tasks that brokers accepted. */
  readonly accepted: number;
  /** Tasks that a processor finished. */
  readonly finished: number;
  /** Tasks in the dead queue. */
  readonly dead: number;
  /** Tasks that wait, or that a worker holds. */
  readonly waiting: number;
  /** Tasks accepted that are nowhere. */
  readonly lost: number;
  /** Some of them. */
  readonly lostIds: readonly string[];
  /** Tasks that were finished more than once. */
  readonly repeated: number;
  /** Attempts that failed, hung, and killed their process. */
  readonly failed: number;
  readonly hung: number;
  readonly crashes: number;
  /** Attempts cut off by --shutdown-timeout. */
  readonly aborted: number;
}

type Admin = Pick<BrokerClient, "admin" | "stats">;

/** Whether every task of the run has ended: completed, dead or deleted. */
export async function allEnded(client: Admin, plan: Plan, ledger: Ledger): Promise<boolean> {
  const reports = await Promise.all(plan.topics.map((topic) => client.stats({ topic })));
  const moving = reports.reduce(
    (sum, { stats }) => sum + stats.scheduledSize + stats.inputQueueSize + stats.workQueueSize,
    0,
  );
  if (moving === 0) return true;
  // The rest may be somebody else's.
  if (ledger.accepted - ledger.finished > FEW) return false;
  for (const topic of plan.topics) {
    for await (const { state } of tasksOf(client, plan, topic)) {
      if (state === "scheduled" || state === "ready" || state === "leased") return false;
    }
  }
  return true;
}

/** Compares the books with the broker's. To be called when no worker of the run is at work any more. */
export async function audit(client: Admin, plan: Plan, ledger: Ledger, aborted: number): Promise<Summary> {
  const present = new Set<string>();
  let dead = 0;
  let waiting = 0;
  for (const topic of plan.topics) {
    for await (const { id, state } of tasksOf(client, plan, topic)) {
      present.add(id);
      if (state === "dead") dead += 1;
      else if (state !== "completed" && state !== "cancelled") waiting += 1;
    }
  }
  const { count, examples } = ledger.lost(present, ({ producer, number }) => taskIdOf(plan.run, producer, number));
  const { accepted, finished, repeated, notes } = ledger;
  return {
    run: plan.run,
    seed: plan.seed,
    accepted,
    finished,
    dead,
    waiting,
    lost: count,
    lostIds: examples,
    repeated,
    ...notes,
    aborted,
  };
}

function tasksOf(client: Admin, plan: Plan, topic: string) {
  return client.admin.listTasks({ topic, externalId: plan.run, pageSize: LIMITS.pageSizeMax });
}
