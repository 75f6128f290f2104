/** Wrapper of configure.lua. */
import type { TopicSettings } from "../../../domain/topic.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface ConfigureCall extends TopicCall {
  readonly settings: TopicSettings;
}

export const configure = defineTopicScript<ConfigureCall, void>({
  name: "configure",
  argv: {
    paused: (call) => (call.settings.paused ? 1 : 0),
    settings: (call) => JSON.stringify(call.settings),
  },
  reply: (word) => {
    if (word !== "configured") unexpected("configure", word);
  },
});
