/** Wrapper of list-external.lua. */
import type { TaskState } from "../../../domain/states.js";
import type { TaskRecord } from "../../../domain/task.js";
import type { Page } from "../../store.js";
import { decodeCursor, decodePage } from "../codec.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface ListExternalCall extends TopicCall {
  readonly externalId: string;
  readonly state: TaskState | undefined;
  readonly limit: number;
  /** The id that ended the page before. */
  readonly after: ReturnType<typeof decodeCursor>;
}

function cursorKind({ topic, state, externalId }: Pick<ListExternalCall, "topic" | "state" | "externalId">): string {
  return `${topic} ${state ?? ""} ${externalId}`;
}

export function listExternalCall(
  call: TopicCall & { externalId: string; state: TaskState | undefined; limit: number; after: string | undefined },
): ListExternalCall {
  const after = call.after === undefined ? [] : decodeCursor(cursorKind(call), 1, call.after);
  return { ...call, after };
}

export const listExternal = defineTopicScript<ListExternalCall, Page<TaskRecord>>({
  name: "list-external",
  argv: {
    external_id: (call) => call.externalId,
    state: (call) => call.state ?? "",
    limit: (call) => call.limit,
    after_id: (call) => call.after[0] ?? "",
  },
  reply: (word, [rows, next], call) =>
    word === "page" ? decodePage(cursorKind(call), rows, next) : unexpected("list-external", word),
});
