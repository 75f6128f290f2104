/** Wrapper of sessions.lua. */
import type { Page, SessionRecord } from "../../store.js";
import { decodeSessionRow, list, number } from "../codec.js";
import { defineScript, unexpected } from "../script.js";

export interface SessionsCall {
  readonly after: string;
  readonly limit: number;
}

export const sessions = defineScript<SessionsCall, Page<SessionRecord>>({
  name: "sessions",
  keys: (keys) => [keys.sessions, keys.sessionStates, keys.sessionExpiry, keys.sessionIds],
  argv: { after: (call) => call.after, limit: (call) => call.limit },
  reply: (word, [replies, more]) => {
    if (word !== "sessions") return unexpected("sessions", word);
    const rows = list(replies).map(decodeSessionRow);
    const last = rows.at(-1);
    return { rows, ...(number(more) === 1 && last !== undefined ? { next: last.id } : {}) };
  },
});
