/** What an invariant is: a question to a ledger, answered by complaints. */
import type { Ledger } from "../ledger.js";

/** What the queue was told, which the history does not tell. */
export interface Expectations {
  /** Per topic, how many leases a task may lose before it is dead. */
  readonly lostLeasesMax: (topic: string) => number;
  /** Only faults were injected that no lease may be lost by. */
  readonly leasesSpared: boolean;
  /** How long a process at rest may take to exit after SIGTERM. */
  readonly exitMsMax: number;
}

export const DEFAULT_EXPECTATIONS: Expectations = {
  lostLeasesMax: () => 3,
  leasesSpared: false,
  exitMsMax: 3_000,
};

/** `excused`: broken only because the store forgot what it is allowed to forget. */
export type Complaint = (message: string, about?: { readonly task?: string; readonly excused?: boolean }) => void;

export type Invariant = (ledger: Ledger, complain: Complaint, expected: Expectations) => void;
