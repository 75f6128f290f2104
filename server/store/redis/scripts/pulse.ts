/** Wrapper of pulse.lua. */
import { number, optionalNumber } from "../codec.js";
import { defineScript, unexpected } from "../script.js";

export const pulse = defineScript<void, { readonly nowMs: number; readonly watchedUntilMs: number }>({
  name: "pulse",
  keys: (keys) => [keys.pulse, keys.watch],
  argv: {},
  reply: (word, [seconds, micros, watched]) =>
    word === "pulse"
      ? {
          nowMs: number(seconds) * 1000 + Math.floor(number(micros) / 1000),
          watchedUntilMs: optionalNumber(watched) ?? 0,
        }
      : unexpected("pulse", word),
});
