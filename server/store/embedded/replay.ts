/** Doing again what the journal tells, onto the state of the last commit. */
import { TaskqueueError } from "../../domain/errors.js";
import type { Log } from "../../lib/log.js";
import { readJournal } from "./journal.js";
import { decodeEntry } from "./journal-codec.js";
import { type State, VERBS } from "./verbs.js";

/** Replays the journals from number `first` on. */
export function replayAll(state: State, dir: string, journals: readonly number[], first: number, log: Log): void {
  const numbers = journals.filter((number) => number >= first);
  for (const [index, number] of numbers.entries()) {
    if (number !== first + index) {
      throw new TaskqueueError("STORE_UNAVAILABLE", `${dir} lacks its journal ${first + index}`);
    }
    const isWhole = replayOne(state, dir, number);
    if (isWhole || index === numbers.length - 1) continue;
    // What follows was done after something that is lost.
    log.error({ dir }, `journal ${number} is cut off; what was done after it is dropped`);
    return;
  }
}

/** Tells whether the journal is whole. */
export function replayOne(state: State, dir: string, number: number): boolean {
  const { entries, isWhole } = readJournal(dir, number);
  for (const entry of entries) {
    const { verb, args } = decodeEntry(entry);
    Reflect.apply(VERBS[verb], undefined, [state, ...args]);
    // Whoever is to wake has been told, or is not there any more.
    state.wakes = [];
  }
  return isWhole;
}
