/** Wrapper of release.lua. */
import type { LeaseRef, ReleaseOutcome } from "../../store.js";
import { outcomes } from "../codec.js";
import type { PackedRefs } from "../packing.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface ReleaseCall extends TopicCall {
  readonly now: number;
  readonly refs: PackedRefs<LeaseRef>;
  readonly endedWindowMs: number;
}

export const release = defineTopicScript<ReleaseCall, readonly ReleaseOutcome[]>({
  name: "release",
  tasks: (call) => call.refs.packed.length,
  argv: {
    ended_window_ms: (call) => call.endedWindowMs,
    leases: (call) => call.refs.args,
  },
  reply: (word, [letters], call) =>
    word === "released"
      ? call.refs.unpack(
          outcomes<ReleaseOutcome>(letters, { r: "released", a: "aborted", l: "lease_lost" }),
          () => "lease_lost",
        )
      : unexpected("release", word),
});
