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
  reply: (word, answer, call) => (word === "leased" ? decodeLeaseAnswer(answer, call) : unexpected("lease", word)),
});
