/** Wrapper of resume-session.lua. */
import type { SessionId } from "../../../domain/ids.js";
import type { SessionRecord } from "../../store.js";
import { decodeSession } from "../codec.js";
import { defineScript, unexpected } from "../script.js";

export interface ResumeSessionCall {
  readonly id: SessionId;
  readonly secret: string;
  readonly broker: string;
  readonly address: string;
  readonly expiresAtMs: number;
}

export type ResumeSessionAnswer =
  | { readonly kind: "resumed"; readonly session: SessionRecord }
  | { readonly kind: "session_lost" };

export const resumeSession = defineScript<ResumeSessionCall, ResumeSessionAnswer>({
  name: "resume-session",
  keys: (keys) => [keys.sessions, keys.sessionStates, keys.sessionExpiry],
  argv: {
    expires_at_ms: (call) => call.expiresAtMs,
    id: (call) => call.id,
    secret: (call) => call.secret,
    broker: (call) => call.broker,
    address: (call) => call.address,
  },
  reply: (word, [session, state], call) => {
    switch (word) {
      case "resumed":
        return { kind: word, session: decodeSession(session, state, call.expiresAtMs) };
      case "session_lost":
        return { kind: word };
      default:
        return unexpected("resume-session", word);
    }
  },
});
