/** Wake-ups as scripts publish them: a word, and what it is about, with spaces between. */
import { parseLeaseToken, parseSessionId, parseTopicName } from "../../domain/ids.js";
import type { Wake } from "../store.js";

/** Undefined for a message of a newer version. */
export function decodeWake(message: string): Wake | undefined {
  const [kind, name = "", third = "", fourth = ""] = message.split(" ");
  if (kind === "watch") return { kind };
  const topic = parseTopicName(name);
  if (topic === undefined) return undefined;
  switch (kind) {
    case "ready":
    case "settings":
      return { kind, topic };
    case "due":
      return { kind, topic, atMs: Number(third) };
    case "cancel": {
      const session = parseSessionId(third);
      const token = parseLeaseToken(fourth);
      return session === undefined || token === undefined ? undefined : { kind, topic, session, token };
    }
    default:
      return undefined;
  }
}
