/** Wrapper of scrub-tasks.lua. */
import type { TaskId } from "../../../domain/ids.js";
import type { ScrubProblem } from "../../store.js";
import { number, taskIds, text } from "../codec.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";
import { decodeScrubProblems } from "../scrub-codec.js";

/** What every script of a scrub is told. */
export interface ScrubCall extends TopicCall {
  readonly repair: boolean;
  readonly limit: number;
}

/** A portion of something; the cursor is "0" before the first and after the last one. */
export interface ScrubbedPortion {
  readonly checked: number;
  readonly problems: readonly ScrubProblem[];
  readonly cursor: string;
}

export interface ScrubbedTasks extends ScrubbedPortion {
  readonly bytes: number;
  readonly strays: readonly TaskId[];
}

export const scrubTasks = defineTopicScript<ScrubCall & { readonly cursor: string }, ScrubbedTasks>({
  name: "scrub-tasks",
  argv: { repair: (call) => (call.repair ? 1 : 0), limit: (call) => call.limit, cursor: (call) => call.cursor },
  reply: (word, [checked, problems, cursor, bytes, strays]) => {
    if (word !== "scrubbed") return unexpected("scrub-tasks", word);
    return {
      checked: number(checked),
      problems: decodeScrubProblems(problems),
      cursor: text(cursor),
      bytes: number(bytes),
      strays: taskIds(strays),
    };
  },
});
