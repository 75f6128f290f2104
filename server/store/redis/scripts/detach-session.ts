/** Wrapper of detach-session.lua. */
import type { SessionRef, Undelivered } from "../../store.js";
import { encodeUndelivered } from "../codec.js";
import { defineScript, unexpected } from "../script.js";

export interface DetachSessionCall extends SessionRef {
  readonly expiresAtMs: number;
  readonly undelivered: readonly Undelivered[];
}

export const detachSession = defineScript<DetachSessionCall, void>({
  name: "detach-session",
  keys: (keys) => [keys.sessionStates, keys.sessionExpiry],
  argv: {
    expires_at_ms: (call) => call.expiresAtMs,
    id: (call) => call.id,
    epoch: (call) => call.epoch,
    undelivered: (call) => encodeUndelivered(call.undelivered),
  },
  reply: (word) => {
    if (word !== "detached" && word !== "moved") unexpected("detach-session", word);
  },
});
