/** Wrapper of scrub-strays.lua. */
import type { SessionId, TaskId } from "../../../domain/ids.js";
import type { ScrubProblem } from "../../store.js";
import { defineTopicScript, unexpected } from "../script.js";
import { decodeScrubProblems, sessionIds } from "../scrub-codec.js";
import type { ScrubCall } from "./scrub-tasks.js";

export interface ScrubStraysCall extends ScrubCall {
  readonly sessions: readonly SessionId[];
  readonly ids: readonly TaskId[];
}

export interface ScrubbedStrays {
  readonly problems: readonly ScrubProblem[];
  readonly hidden: readonly SessionId[];
}

export const scrubStrays = defineTopicScript<ScrubStraysCall, ScrubbedStrays>({
  name: "scrub-strays",
  argv: {
    repair: (call) => (call.repair ? 1 : 0),
    limit: (call) => call.limit,
    sessions: (call) => call.sessions.join("\n"),
    ids: (call) => call.ids,
  },
  reply: (word, [problems, hidden]) =>
    word === "scrubbed"
      ? { problems: decodeScrubProblems(problems), hidden: sessionIds(hidden) }
      : unexpected("scrub-strays", word),
});
