/** Wrapper of describe.lua. */
import type { TopicRow } from "../../store.js";
import { decodeTopic } from "../codec.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export const describe = defineTopicScript<TopicCall, TopicRow>({
  name: "describe",
  tasks: () => 1,
  argv: {},
  reply: (word, rest, call) => (word === "topic" ? decodeTopic(call.topic, rest) : unexpected("describe", word)),
});
