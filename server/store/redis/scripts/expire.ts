/** Wrapper of expire.lua. */
import type { LeaseToken, SessionId } from "../../../domain/ids.js";
import type { Expired } from "../../store.js";
import { decodeExpired, list, number } from "../codec.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

export interface ExpireCall extends TopicCall {
  readonly now: number;
  readonly session: SessionId;
  readonly charge: "lost" | "none";
  readonly undelivered: readonly LeaseToken[];
  readonly lostLeasesMax: number;
  readonly error: string;
  readonly endedWindowMs: number;
  readonly limit: number;
}

export const expire = defineTopicScript<ExpireCall, { readonly expired: readonly Expired[]; readonly more: boolean }>({
  name: "expire",
  argv: {
    ended_window_ms: (call) => call.endedWindowMs,
    session: (call) => call.session,
    charge: (call) => call.charge,
    lost_leases_max: (call) => call.lostLeasesMax,
    error: (call) => call.error,
    limit: (call) => call.limit,
    undelivered: (call) => call.undelivered,
  },
  reply: (word, [more, rows]) =>
    word === "expired"
      ? { expired: list(rows).map(decodeExpired), more: number(more) === 1 }
      : unexpected("expire", word),
});
