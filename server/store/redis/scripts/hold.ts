/** Wrapper of hold.lua. */
import type { SessionRef } from "../../store.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface HoldCall extends TopicCall {
  readonly session: SessionRef;
  readonly why: "open" | "resume" | "close";
}

export const hold = defineTopicScript<HoldCall, void>({
  name: "hold",
  argv: {
    session: (call) => call.session.id,
    epoch: (call) => call.session.epoch,
    why: (call) => call.why,
  },
  reply: (word) => {
    if (word !== "held" && word !== "over") unexpected("hold", word);
  },
});
