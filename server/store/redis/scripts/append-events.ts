/** Wrapper of append-events.lua. */
import { LIMITS } from "../../../domain/limits.js";
import { defineScript, unexpected } from "../script.js";

export const appendEvents = defineScript<Buffer, void>({
  name: "append-events",
  keys: (keys) => [keys.events, keys.eventSeq],
  argv: { entries_max: () => LIMITS.eventLogMax, batch: (batch) => batch },
  reply: (word) => {
    if (word !== "appended") unexpected("append-events", word);
  },
});
