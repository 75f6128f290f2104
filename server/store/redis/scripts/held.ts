/** Wrapper of held.lua. */
import type { SessionId, TaskId } from "../../../domain/ids.js";
import type { Leased } from "../../store.js";
import { decodeHeld, list, taskIds } from "../codec.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface HeldCall extends TopicCall {
  readonly session: SessionId;
  /** Unset: tell the ids of all of them. */
  readonly ids?: readonly TaskId[];
}

export type HeldAnswer =
  | { readonly kind: "ids"; readonly ids: readonly TaskId[] }
  | { readonly kind: "held"; readonly leases: readonly Leased[] };

export const held = defineTopicScript<HeldCall, HeldAnswer>({
  name: "held",
  argv: {
    session: (call) => call.session,
    ids: (call) => call.ids?.join(" ") ?? "",
  },
  reply: (word, rest, call) => {
    switch (word) {
      case "ids":
        return { kind: word, ids: taskIds(rest[0]) };
      case "held":
        return { kind: word, leases: decodeHeld(call.session, list(rest)) };
      default:
        return unexpected("held", word);
    }
  },
});
