/** Wrapper of close-session.lua. */
import type { NewSession, SessionRef } from "../../store.js";
import { decodeNewSession } from "../codec.js";
import { defineScript, unexpected } from "../script.js";

export interface CloseSessionCall extends SessionRef {
  readonly step: "bar" | "forget";
}

export type CloseSessionAnswer =
  | { readonly kind: "barred"; readonly session: NewSession }
  | { readonly kind: "forgotten" | "moved" };

export const closeSession = defineScript<CloseSessionCall, CloseSessionAnswer>({
  name: "close-session",
  keys: (keys) => [keys.sessions, keys.sessionStates, keys.sessionExpiry, keys.sessionIds],
  argv: { id: (call) => call.id, epoch: (call) => call.epoch, step: (call) => call.step },
  reply: (word, [session]) => {
    switch (word) {
      case "barred":
        return { kind: word, session: decodeNewSession(session) };
      case "forgotten":
      case "moved":
        return { kind: word };
      default:
        return unexpected("close-session", word);
    }
  },
});
