/** Wrapper of list.lua. */
import type { TopicName } from "../../../domain/ids.js";
import type { TaskState } from "../../../domain/states.js";
import type { TaskRecord } from "../../../domain/task.js";
import type { Page } from "../../store.js";
import { decodeCursor, decodePage } from "../codec.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface ListCall extends TopicCall {
  readonly state: TaskState;
  readonly limit: number;
  /** Where the page before ended. */
  readonly after: ReturnType<typeof decodeCursor>;
}

export function listCall(call: TopicCall & { state: TaskState; limit: number; after: string | undefined }): ListCall {
  const after = call.after === undefined ? [] : decodeCursor(cursorKind(call), 2, call.after);
  return { ...call, after };
}

function cursorKind({ topic, state }: { topic: TopicName; state: TaskState }): string {
  return `${topic} ${state}`;
}

export const list = defineTopicScript<ListCall, Page<TaskRecord>>({
  name: "list",
  argv: {
    state: (call) => call.state,
    limit: (call) => call.limit,
    after_score: (call) => call.after[0] ?? "",
    after_member: (call) => call.after[1] ?? "",
  },
  reply: (word, [rows, next], call) =>
    word === "page" ? decodePage(cursorKind(call), rows, next) : unexpected("list", word),
});
