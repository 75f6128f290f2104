/** Wrapper of enqueue-straight.lua. */
import type { SessionRef } from "../../store.js";
import { number, text } from "../codec.js";
import { defineScript, unexpected } from "../script.js";
import { itemsOf, packFields, packTopics, type StraightCall } from "../straight-packing.js";

export interface EnqueueStraightCall extends StraightCall {
  readonly tasks: readonly { readonly id: string }[];
  /** As `packStraight` does it. */
  readonly packed: Buffer;
  readonly takers: readonly SessionRef[];
}

export interface EnqueueStraightAnswer {
  readonly firstToken: number;
  /** Per group how many were leased: its first ones. Undefined when all were. */
  readonly counts: readonly number[] | undefined;
}

export const enqueueStraight = defineScript<EnqueueStraightCall, EnqueueStraightAnswer>({
  name: "enqueue-straight",
  keys: (keys, call) => keys.scope(call.topic),
  argv: {
    now_ms: (call) => call.now,
    ended_window_ms: (call) => call.endedWindowMs,
    count: (call) => itemsOf(call.groups),
    fields: (call) => packFields(call.groups, call.tasks),
    tasks: (call) => call.packed,
    topics_count: (call) => call.groups.length,
    topics: (call) => packTopics(call.groups),
    takers: ({ takers }) => idsAndEpochs(takers),
  },
  reply: (word, [firstToken, counts]) => {
    if (word !== "straight") return unexpected("enqueue-straight", word);
    const some = text(counts);
    return {
      firstToken: number(firstToken),
      counts: some === "" ? undefined : some.split(" ").map(Number),
    };
  },
});

function idsAndEpochs(takers: readonly SessionRef[]): readonly (string | number)[] {
  const list: (string | number)[] = [];
  for (const { id, epoch } of takers) list.push(id, epoch);
  return list;
}
