/** Wrapper of fail.lua. */
import type { FailOutcome, Failure } from "../../store.js";
import { outcomes } from "../codec.js";
import { type PackedRefs, packFailures } from "../packing.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface FailCall extends TopicCall {
  readonly now: number;
  readonly refs: PackedRefs<Failure>;
  readonly endedWindowMs: number;
}

export const fail = defineTopicScript<FailCall, readonly FailOutcome[]>({
  name: "fail",
  tasks: (call) => call.refs.packed.length,
  argv: {
    ended_window_ms: (call) => call.endedWindowMs,
    failures: (call) => packFailures(call.refs.packed, call.now),
    leases: (call) => call.refs.args,
  },
  reply: (word, [letters], call) =>
    word === "failed"
      ? call.refs.unpack(
          outcomes<FailOutcome>(letters, { r: "retried", b: "buried", a: "aborted", l: "lease_lost" }),
          (outcome) => (outcome === "aborted" ? "lease_lost" : outcome),
        )
      : unexpected("fail", word),
});
