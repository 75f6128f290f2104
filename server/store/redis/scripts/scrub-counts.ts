/** Wrapper of scrub-counts.lua. */
import type { ScrubProblem } from "../../store.js";
import { defineTopicScript, unexpected } from "../script.js";
import { decodeScrubProblems } from "../scrub-codec.js";
import type { ScrubCall } from "./scrub-tasks.js";

export interface ScrubCountsCall extends ScrubCall {
  readonly enqueued: number;
  readonly bytes: number;
  readonly countedTasks: number;
  readonly countedBytes: number;
}

export const scrubCounts = defineTopicScript<ScrubCountsCall, readonly ScrubProblem[]>({
  name: "scrub-counts",
  argv: {
    repair: (call) => (call.repair ? 1 : 0),
    limit: (call) => call.limit,
    enqueued: (call) => call.enqueued,
    bytes: (call) => call.bytes,
    counted_tasks: (call) => call.countedTasks,
    counted_bytes: (call) => call.countedBytes,
  },
  reply: (word, [problems]) => (word === "scrubbed" ? decodeScrubProblems(problems) : unexpected("scrub-counts", word)),
});
