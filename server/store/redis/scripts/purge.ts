/** Wrapper of purge.lua. */
import type { TaskState } from "../../../domain/states.js";
import { number } from "../codec.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface PurgeCall extends TopicCall {
  readonly state: Exclude<TaskState, "leased">;
  readonly limit: number;
}

export const purge = defineTopicScript<PurgeCall, { readonly deleted: number; readonly more: boolean }>({
  name: "purge",
  argv: { state: (call) => call.state, limit: (call) => call.limit },
  reply: (word, [deleted, more]) =>
    word === "purged" ? { deleted: number(deleted), more: number(more) === 1 } : unexpected("purge", word),
});
