/** Wrapper of scrub-leases.lua. */
import type { SessionId } from "../../../domain/ids.js";
import { number, text } from "../codec.js";
import { defineTopicScript, unexpected } from "../script.js";
import { decodeScrubProblems } from "../scrub-codec.js";
import type { ScrubbedPortion, ScrubCall } from "./scrub-tasks.js";

export interface ScrubLeasesCall extends ScrubCall {
  readonly session: SessionId;
  readonly cursor: string;
}

export const scrubLeases = defineTopicScript<ScrubLeasesCall, ScrubbedPortion>({
  name: "scrub-leases",
  argv: {
    repair: (call) => (call.repair ? 1 : 0),
    limit: (call) => call.limit,
    session: (call) => call.session,
    cursor: (call) => call.cursor,
  },
  reply: (word, [checked, problems, cursor]) =>
    word === "scrubbed"
      ? { checked: number(checked), problems: decodeScrubProblems(problems), cursor: text(cursor) }
      : unexpected("scrub-leases", word),
});
