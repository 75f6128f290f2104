/** Wrapper of renew-sessions.lua. */
import type { SessionRef } from "../../store.js";
import { outcomes } from "../codec.js";
import { defineScript, unexpected } from "../script.js";

export interface RenewSessionsCall {
  readonly sessions: readonly SessionRef[];
  readonly expiresAtMs: number;
}

export const renewSessions = defineScript<RenewSessionsCall, readonly ("renewed" | "lost")[]>({
  name: "renew-sessions",
  keys: (keys) => [keys.sessionStates, keys.sessionExpiry],
  argv: {
    expires_at_ms: (call) => call.expiresAtMs,
    sessions: (call) => call.sessions.flatMap(({ id, epoch }) => [id, epoch]),
  },
  reply: (word, [letters]) =>
    word === "renewed"
      ? outcomes<"renewed" | "lost">(letters, { r: "renewed", l: "lost" })
      : unexpected("renew-sessions", word),
});
