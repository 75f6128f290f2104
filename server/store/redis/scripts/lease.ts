/** Wrapper of lease.lua. */
import type { Demand, LeaseAnswer } from "../../store.js";
import { decodeLeaseAnswer } from "../codec.js";
import { demandArgs, wanted } from "../packing.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface LeaseCall extends TopicCall {
  readonly now: number;
  readonly demands: readonly Demand[];
}

export const lease = defineTopicScript<LeaseCall, LeaseAnswer>({
  name: "lease",
  tasks: (call) => wanted(call.demands),
  argv: { demands: (call) => demandArgs(call.demands) },
  reply: (word, rest, call) => (word === "leased" ? decodeLeaseAnswer(rest, 0, call) : unexpected("lease", word)),
});
