/** Wrapper of cancel.lua. */
import type { TaskId } from "../../../domain/ids.js";
import type { MoveOutcome } from "../../store.js";
import { decodeMove, list } from "../codec.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface CancelCall extends TopicCall {
  readonly now: number;
  readonly endedWindowMs: number;
  readonly ids: readonly TaskId[];
}

export const cancel = defineTopicScript<CancelCall, readonly MoveOutcome[]>({
  name: "cancel",
  argv: {
    ended_window_ms: (call) => call.endedWindowMs,
    ids: (call) => call.ids,
  },
  reply: (word, [outcomes]) => (word === "cancelled" ? list(outcomes).map(decodeMove) : unexpected("cancel", word)),
});
