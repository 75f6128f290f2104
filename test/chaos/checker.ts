/**
 * The promises of the README, as questions to a recorded history.
 *
 * Pure: a history in, a list of violations out. Each invariant has a name, a
 * file of its own subject in invariants/, a hand-made history that it passes
 * and one that it catches (checker.test.ts), and a mutant of the store that it
 * catches in a real run (mutation.test.ts).
 */
import type { History } from "./history.js";
import { attemptsBounded, lostLeasesBounded } from "./invariants/attempts.js";
import { countersEqualRecount } from "./invariants/counters.js";
import { DEFAULT_EXPECTATIONS, type Expectations, type Invariant } from "./invariants/invariant.js";
import { acceptedIsKept, enqueuedOnce, nothingInvented } from "./invariants/kept.js";
import { leasesSpared, nothingAfterCompletion, oneValidLease } from "./invariants/leases.js";
import { order } from "./invariants/order.js";
import { everythingEnds, nobodyDies, nothingLeaks } from "./invariants/rest.js";
import { readLedger } from "./ledger.js";

export const INVARIANTS = {
  "accepted-is-kept": acceptedIsKept,
  "nothing-invented": nothingInvented,
  "enqueued-once": enqueuedOnce,
  "one-valid-lease": oneValidLease,
  "nothing-after-completion": nothingAfterCompletion,
  "leases-spared": leasesSpared,
  "attempts-bounded": attemptsBounded,
  "lost-leases-bounded": lostLeasesBounded,
  order,
  "counters-equal-recount": countersEqualRecount,
  "everything-ends": everythingEnds,
  "nobody-dies": nobodyDies,
  "nothing-leaks": nothingLeaks,
} as const satisfies Record<string, Invariant>;

export type InvariantName = keyof typeof INVARIANTS;

export interface Violation {
  readonly invariant: InvariantName;
  readonly task: string | undefined;
  readonly message: string;
}

export interface Verdict {
  readonly violations: readonly Violation[];
  /** What would be violations, had the store not been made to forget what its fsync mode lets it forget. */
  readonly excused: readonly Violation[];
}

export function check(history: History, expected: Partial<Expectations> = {}): Verdict {
  const ledger = readLedger(history);
  const violations: Violation[] = [];
  const excused: Violation[] = [];
  for (const name of Object.keys(INVARIANTS)) {
    if (!isInvariantName(name)) continue;
    INVARIANTS[name](
      ledger,
      (message, about = {}) =>
        (about.excused ? excused : violations).push({ invariant: name, task: about.task, message }),
      { ...DEFAULT_EXPECTATIONS, ...expected },
    );
  }
  return { violations, excused };
}

function isInvariantName(name: string): name is InvariantName {
  return Object.hasOwn(INVARIANTS, name);
}

/** For people: a line each, the first ones in full. */
export function describeViolations(violations: readonly Violation[], most = 20): string {
  const lines = violations
    .slice(0, most)
    .map(({ invariant, task, message }) => `${invariant}: ${task === undefined ? "" : `task ${task} `}${message}`);
  if (violations.length > most) lines.push(`… and ${violations.length - most} more`);
  return lines.join("\n");
}
