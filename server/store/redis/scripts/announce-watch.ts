/** Wrapper of announce-watch.lua. */
import { defineScript, unexpected } from "../script.js";

export interface AnnounceWatchCall {
  readonly untilMs: number;
  readonly channel: string;
}

export const announceWatch = defineScript<AnnounceWatchCall, void>({
  name: "announce-watch",
  keys: (keys) => [keys.watch],
  argv: { until_ms: (call) => call.untilMs, channel: (call) => call.channel },
  reply: (word) => {
    if (word !== "announced") unexpected("announce-watch", word);
  },
});
