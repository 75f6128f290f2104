/** Wrapper of complete-straight.lua. */
import type { SessionId, TopicName } from "../../../domain/ids.js";
import { text } from "../codec.js";
import { defineScript, unexpected } from "../script.js";
import { type Group, itemsOf, packFields, packTopics } from "../straight-packing.js";

export interface CompleteStraightCall {
  /** One of those of the call: they are of one scope. */
  readonly topic: TopicName;
  readonly now: number;
  readonly endedWindowMs: number;
  readonly groups: readonly Group[];
  readonly leases: readonly { readonly id: string }[];
  /** As `packLeases` does it. */
  readonly packed: Buffer;
  readonly sessions: readonly SessionId[];
}

/** Whether each was completed, in the order of the groups. */
export const completeStraight = defineScript<CompleteStraightCall, (rank: number) => boolean>({
  name: "complete-straight",
  keys: (keys, call) => keys.scope(call.topic),
  argv: {
    now_ms: (call) => call.now,
    ended_window_ms: (call) => call.endedWindowMs,
    count: (call) => itemsOf(call.groups),
    fields: (call) => packFields(call.groups, call.leases),
    leases: (call) => call.packed,
    topics_count: (call) => call.groups.length,
    topics: (call) => packTopics(call.groups),
    sessions: (call) => call.sessions,
  },
  reply: (word, [outcomes]) => {
    if (word !== "completed") return unexpected("complete-straight", word);
    const letters = text(outcomes);
    return (rank) => letters === "" || letters[rank] === "c";
  },
});
