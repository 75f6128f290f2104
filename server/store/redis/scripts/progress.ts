/** Wrapper of progress.lua. */
import type { Progress } from "../../../domain/task.js";
import type { LeaseRef } from "../../store.js";
import { encodeProgress, outcomes } from "../codec.js";
import { type PackedRefs, packTexts } from "../packing.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface ProgressCall extends TopicCall {
  readonly refs: PackedRefs<LeaseRef & { readonly progress?: Progress }>;
}

export const progress = defineTopicScript<ProgressCall, readonly ("held" | "lease_lost")[]>({
  name: "progress",
  tasks: (call) => call.refs.packed.length,
  argv: {
    notes: ({ refs }) =>
      packTexts(refs.packed.map((note) => (note.progress === undefined ? "" : encodeProgress(note.progress)))),
    leases: (call) => call.refs.args,
  },
  reply: (word, [letters], call) =>
    word === "progress"
      ? call.refs.unpack(outcomes<"held" | "lease_lost">(letters, { h: "held", l: "lease_lost" }))
      : unexpected("progress", word),
});
