/** Standard input, line by line, without reading ahead. */
import { UsageError } from "./exit-code.js";

const LINE_CHARACTERS_MAX = 96 * 1024 * 1024;

/** The lines that are not blank, with their numbers from 1. */
export async function* lines(
  input: AsyncIterable<Uint8Array | string>,
): AsyncGenerator<{ readonly number: number; readonly text: string }> {
  const decoder = new TextDecoder();
  let rest = "";
  let number = 0;
  const take = function* (parts: readonly string[]) {
    for (const text of parts) {
      number += 1;
      if (text.trim() !== "") yield { number, text };
    }
  };
  for await (const chunk of input) {
    const parts = (rest + (typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true }))).split("\n");
    rest = parts.pop() ?? "";
    if (rest.length > LINE_CHARACTERS_MAX) throw new UsageError(`line ${number + parts.length + 1} is too long`);
    yield* take(parts);
  }
  yield* take([rest + decoder.decode()]);
}
