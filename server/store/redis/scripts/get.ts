/** Wrapper of get.lua. */
import type { TaskId } from "../../../domain/ids.js";
import type { TaskRecord } from "../../../domain/task.js";
import { decodeRow, list } from "../codec.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface GetCall extends TopicCall {
  readonly ids: readonly TaskId[];
}

export const get = defineTopicScript<GetCall, readonly (TaskRecord | undefined)[]>({
  name: "get",
  argv: { ids: (call) => call.ids },
  reply: (word, [rows]) => (word === "tasks" ? list(rows).map(decodeRow) : unexpected("get", word)),
});
