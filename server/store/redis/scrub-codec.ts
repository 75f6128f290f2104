/**
 * Replies of the scripts of a scrub as domain types. What comes from Redis was
 * written by a broker: the casts trust that, as those of codec.ts do.
 */
import type { SessionId, TaskId } from "../../domain/ids.js";
import type { ScrubProblem, ScrubProblemKind } from "../store.js";
import { list, number, present, text } from "./codec.js";
import type { Reply } from "./script.js";

/** What was found; see scripts/fragments/scrub.lua. */
export function decodeScrubProblems(reply: Reply | undefined): ScrubProblem[] {
  return list(reply).map((problem) => {
    const [kind, id, detail, repaired] = list(problem);
    return {
      kind: text(kind) as ScrubProblemKind,
      ...(present(id) ? { id: text(id) as TaskId } : {}),
      detail: text(detail),
      repaired: number(repaired) === 1,
    };
  });
}

export function sessionIds(reply: Reply | undefined): SessionId[] {
  return list(reply).map((id) => text(id) as SessionId);
}
