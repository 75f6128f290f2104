/** Wrapper of expired-sessions.lua. */
import type { SessionRecord } from "../../store.js";
import { decodeSessionRow, list, optionalNumber } from "../codec.js";
import { defineScript, unexpected } from "../script.js";

export interface ExpiredSessionsCall {
  readonly now: number;
  readonly limit: number;
}

export interface ExpiredSessionsAnswer {
  readonly sessions: readonly SessionRecord[];
  readonly nextMs?: number;
}

export const expiredSessions = defineScript<ExpiredSessionsCall, ExpiredSessionsAnswer>({
  name: "expired-sessions",
  keys: (keys) => [keys.sessions, keys.sessionStates, keys.sessionExpiry],
  argv: { now_ms: (call) => call.now, limit: (call) => call.limit },
  reply: (word, [rows, next]) => {
    if (word !== "expired") return unexpected("expired-sessions", word);
    const nextMs = optionalNumber(next);
    return { sessions: list(rows).map(decodeSessionRow), ...(nextMs === undefined ? {} : { nextMs }) };
  },
});
