/** Wrapper of promote.lua. */
import { number, optionalNumber } from "../codec.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface PromoteCall extends TopicCall {
  readonly now: number;
  readonly limit: number;
}

export const promote = defineTopicScript<PromoteCall, { readonly promoted: number; readonly nextDueMs?: number }>({
  name: "promote",
  tasks: (call) => call.limit,
  argv: { limit: (call) => call.limit },
  reply: (word, [count, next]) => {
    if (word !== "promoted") return unexpected("promote", word);
    const nextDueMs = optionalNumber(next);
    return { promoted: number(count), ...(nextDueMs === undefined ? {} : { nextDueMs }) };
  },
});
