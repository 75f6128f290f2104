/** Wrapper of scrub-segments.lua. */
import { number, text } from "../codec.js";
import { defineTopicScript, unexpected } from "../script.js";
import { decodeScrubProblems } from "../scrub-codec.js";
import type { ScrubbedPortion, ScrubCall } from "./scrub-tasks.js";

export const scrubSegments = defineTopicScript<ScrubCall & { readonly cursor: string }, ScrubbedPortion>({
  name: "scrub-segments",
  argv: { repair: (call) => (call.repair ? 1 : 0), limit: (call) => call.limit, cursor: (call) => call.cursor },
  reply: (word, [checked, problems, cursor]) =>
    word === "scrubbed"
      ? { checked: number(checked), problems: decodeScrubProblems(problems), cursor: text(cursor) }
      : unexpected("scrub-segments", word),
});
