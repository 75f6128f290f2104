/** Wrapper of complete.lua. */
import type { CompleteOutcome, Completion, Demand, LeaseAnswer } from "../../store.js";
import { decodeLeaseAnswer, outcomes } from "../codec.js";
import { demandArgs, type PackedRefs, packResults, wanted } from "../packing.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface CompleteCall extends TopicCall {
  readonly now: number;
  readonly refs: PackedRefs<Completion>;
  readonly endedWindowMs: number;
  readonly demands?: readonly Demand[] | undefined;
}

/** Where the leases begin in ARGV, as the header says. */
const FIRST_LEASE = 8;

export const complete = defineTopicScript<
  CompleteCall,
  { readonly outcomes: readonly CompleteOutcome[] } & LeaseAnswer
>({
  name: "complete",
  tasks: (call) => call.refs.packed.length + wanted(call.demands),
  argv: {
    ended_window_ms: (call) => call.endedWindowMs,
    results_count: (call) => resultsOf(call.refs.packed),
    results: (call) => packResults(call.refs.packed),
    first_demand: (call) => FIRST_LEASE + call.refs.args.length,
    leases: (call) => call.refs.args,
    demands: (call) => demandArgs(call.demands),
  },
  reply: (word, rest, call) => {
    switch (word) {
      case "straight":
        return { outcomes: inOrder(call, call.refs.packed.map(completed)), leased: [], ready: 0, lostSessions: [] };
      case "completed": {
        const packed = outcomes<CompleteOutcome>(rest[0], { c: "completed", l: "lease_lost" });
        return { outcomes: inOrder(call, packed), ...decodeLeaseAnswer(rest, 1, call) };
      }
      default:
        return unexpected("complete", word);
    }
  },
});

function inOrder(
  { refs, endedWindowMs }: CompleteCall,
  packed: readonly CompleteOutcome[],
): readonly CompleteOutcome[] {
  return refs.unpack(packed, (outcome) => (endedWindowMs > 0 ? outcome : "lease_lost"));
}

function completed(): CompleteOutcome {
  return "completed";
}

function resultsOf(completions: readonly Completion[]): number {
  let results = 0;
  for (const { result } of completions) if (result !== undefined) results += 1;
  return results;
}
