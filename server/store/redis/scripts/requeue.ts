/** Wrapper of requeue.lua. */
import type { TaskId } from "../../../domain/ids.js";
import type { MoveOutcome } from "../../store.js";
import { decodeMove, list, number, taskIds } from "../codec.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface RequeueCall extends TopicCall {
  readonly now: number;
  readonly which: { readonly ids: readonly TaskId[] } | { readonly oldestDead: number };
}

export interface RequeueAnswer {
  readonly ids: readonly TaskId[];
  readonly outcomes: readonly MoveOutcome[];
  readonly more: boolean;
}

export const requeue = defineTopicScript<RequeueCall, RequeueAnswer>({
  name: "requeue",
  argv: {
    oldest_dead: ({ which }) => ("oldestDead" in which ? which.oldestDead : 0),
    ids: ({ which }) => ("ids" in which ? which.ids : []),
  },
  reply: (word, [more, ids, outcomes]) =>
    word === "requeued"
      ? { ids: taskIds(ids), outcomes: list(outcomes).map(decodeMove), more: number(more) === 1 }
      : unexpected("requeue", word),
});
