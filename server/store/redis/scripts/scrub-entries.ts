/** Wrapper of scrub-entries.lua. */
import { number, text } from "../codec.js";
import { defineTopicScript, unexpected } from "../script.js";
import { decodeScrubProblems } from "../scrub-codec.js";
import type { ScrubbedPortion, ScrubCall } from "./scrub-tasks.js";

/** What points to tasks; leases apart. */
export const ENTRY_SECTIONS = [
  "ready",
  "scheduled",
  "dead",
  "completed",
  "cancelled",
  "retention",
  "meta",
  "cancels",
  "progress",
  "results",
  "xids",
] as const;

export interface ScrubEntriesCall extends ScrubCall {
  readonly section: (typeof ENTRY_SECTIONS)[number];
  readonly cursor: string;
}

export const scrubEntries = defineTopicScript<ScrubEntriesCall, ScrubbedPortion>({
  name: "scrub-entries",
  argv: {
    repair: (call) => (call.repair ? 1 : 0),
    limit: (call) => call.limit,
    section: (call) => call.section,
    cursor: (call) => call.cursor,
  },
  reply: (word, [checked, problems, cursor]) =>
    word === "scrubbed"
      ? { checked: number(checked), problems: decodeScrubProblems(problems), cursor: text(cursor) }
      : unexpected("scrub-entries", word),
});
