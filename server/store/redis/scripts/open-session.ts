/** Wrapper of open-session.lua. */
import type { NewSession } from "../../store.js";
import { encodeSession } from "../codec.js";
import { defineScript, unexpected } from "../script.js";

export const openSession = defineScript<NewSession, void>({
  name: "open-session",
  keys: (keys) => [keys.sessions, keys.sessionStates, keys.sessionExpiry, keys.sessionIds],
  argv: {
    expires_at_ms: (session) => session.expiresAtMs,
    id: (session) => session.id,
    session: encodeSession,
    broker: (session) => session.broker,
    address: (session) => session.address,
  },
  reply: (word) => {
    if (word !== "opened") unexpected("open-session", word);
  },
});
