/** Wrapper of complete-straight.lua. */
import type { SessionId } from "../../../domain/ids.js";
import { text } from "../codec.js";
import { defineScript, unexpected } from "../script.js";
import { itemsOf, packFields, packTopics, type StraightCall } from "../straight-packing.js";

export interface CompleteStraightCall extends StraightCall {
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
