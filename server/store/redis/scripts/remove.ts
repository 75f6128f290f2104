/** Wrapper of remove.lua. */
import type { TaskId } from "../../../domain/ids.js";
import type { MoveOutcome } from "../../store.js";
import { decodeMove, list } from "../codec.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface RemoveCall extends TopicCall {
  readonly ids: readonly TaskId[];
}

export const remove = defineTopicScript<RemoveCall, readonly MoveOutcome[]>({
  name: "remove",
  argv: { ids: (call) => call.ids },
  reply: (word, [outcomes]) => (word === "removed" ? list(outcomes).map(decodeMove) : unexpected("remove", word)),
});
