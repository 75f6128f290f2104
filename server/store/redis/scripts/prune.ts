/** Wrapper of prune.lua. */
import { number, optionalNumber } from "../codec.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface PruneCall extends TopicCall {
  readonly now: number;
  readonly limit: number;
}

export const prune = defineTopicScript<PruneCall, { readonly pruned: number; readonly nextMs?: number }>({
  name: "prune",
  tasks: (call) => call.limit,
  argv: { limit: (call) => call.limit },
  reply: (word, [count, next]) => {
    if (word !== "pruned") return unexpected("prune", word);
    const nextMs = optionalNumber(next);
    return { pruned: number(count), ...(nextMs === undefined ? {} : { nextMs }) };
  },
});
