/** Wrapper of extend-sessions.lua. */
import { number } from "../codec.js";
import { defineScript, unexpected } from "../script.js";

export interface ExtendSessionsCall {
  readonly untilMs: number;
  readonly skip: number;
  readonly limit: number;
}

export interface ExtendSessionsAnswer {
  readonly extended: number;
  readonly skip: number;
  readonly more: boolean;
}

export const extendSessions = defineScript<ExtendSessionsCall, ExtendSessionsAnswer>({
  name: "extend-sessions",
  keys: (keys) => [keys.sessionStates, keys.sessionExpiry],
  argv: { until_ms: (call) => call.untilMs, skip: (call) => call.skip, limit: (call) => call.limit },
  reply: (word, [extended, skip, more]) =>
    word === "extended"
      ? { extended: number(extended), skip: number(skip), more: number(more) === 1 }
      : unexpected("extend-sessions", word),
});
