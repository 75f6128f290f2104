/**
 * Verbs on their way, in the order in which they were called. What is called in
 * one turn is written to the journal with one write, and only then applied and
 * answered: a write costs about as much as a verb.
 *
 * A call that is a question first needs the state after the calls before it, so
 * it begins a group of its own. A verb that fails is taken out of the journal,
 * and those behind it wait until the state is rebuilt. The queue knows nothing of
 * files: what it writes to, and when it must wait, is the keeper's business.
 */
import type { Wake } from "../store.js";
import { storeError } from "./disk-errors.js";
import type { EntryWriter, Journaled } from "./journal-codec.js";
import type { State } from "./verbs.js";

/** A verb on its way. */
export interface Call<Answer> {
  readonly verb: Journaled;
  /** Writes the arguments down. */
  readonly write: (entry: EntryWriter) => EntryWriter;
  readonly apply: (state: State) => Answer;
  /** Whether there is something to do; when not, the verb is applied as a mere question. */
  readonly changes?: (state: State) => boolean;
}

/** What the queue has its calls kept by. */
export interface Keeper {
  readonly state: State;
  /** Calls wait for this; nothing may be asked or applied meanwhile. Never rejects. */
  gate(): Promise<void> | undefined;
  /** Why no call can be carried out any more. */
  failure(): unknown;
  /** Throws when the verb is not to be taken in. */
  admit(verb: Journaled): void;
  /** May close the gate when it throws. */
  ask<Answer>(question: (state: State) => Answer): Answer;
  /**
   * Writes the entries of `verbs` with one write; returns where the first one
   * stands. When it throws, or there is no room for several, nothing was written.
   */
  append(entries: EntryWriter, verbs: readonly Journaled[]): number | "no room";
  wake(message: Wake): void;
  /** A group was applied, as far as it could be. Returns what its answers must wait for. */
  applied(): Promise<void> | undefined;
  /** The verb whose entry stands there failed half-way: takes back what was written from there on. Closes the gate. */
  giveUp(from: number): void;
}

interface Waiting extends Pick<Call<unknown>, "verb" | "write"> {
  readonly changes: ((state: State) => boolean) | undefined;
  /** Applies the verb; returns how to answer. */
  readonly apply: (state: State) => (kept: Promise<void> | undefined) => void;
  readonly refuse: (error: unknown) => void;
}

/** Bytes of entries after which a group takes no more. */
const GROUP_BYTES_MAX = 256 * 1024;

export class CallQueue {
  readonly #keeper: Keeper;
  readonly #entries: EntryWriter;
  #waiting: Waiting[] = [];
  #isScheduled = false;
  /** So many of the calls that wait are written one by one: there was no room for them together. */
  #oneByOne = 0;

  constructor(keeper: Keeper, entries: EntryWriter) {
    this.#keeper = keeper;
    this.#entries = entries;
  }

  /** Carries a call out at the end of the turn, or when the gate opens. */
  add<Answer>({ verb, write, apply, changes }: Call<Answer>): Promise<Answer> {
    return new Promise((resolve, refuse) => {
      const applyFor = (state: State) => {
        const answer = apply(state);
        return (kept: Promise<void> | undefined) => resolve(kept === undefined ? answer : kept.then(() => answer));
      };
      this.#waiting.push({ verb, write, apply: applyFor, changes, refuse });
      if (this.#isScheduled) return;
      this.#isScheduled = true;
      process.nextTick(this.#turn);
    });
  }

  readonly #turn = (): void => {
    this.#isScheduled = false;
    void this.carryOut();
  };

  /** Carries out what waits, until there is nothing, or the gate is closed. Returns the gate if it is. */
  carryOut(): Promise<void> | undefined {
    while (this.#waiting.length > 0 && this.#keeper.gate() === undefined) {
      const failure = this.#keeper.failure();
      if (failure === undefined) this.#carryOutGroup(this.#takeGroup());
      else for (const { refuse } of this.#waiting.splice(0)) refuse(failure);
    }
    const gate = this.#keeper.gate();
    if (this.#waiting.length > 0 && gate !== undefined && !this.#isScheduled) {
      this.#isScheduled = true;
      void gate.then(this.#turn);
    }
    return gate;
  }

  /** The calls that come next and can be written together. Those that need no entry are answered. */
  #takeGroup(): Waiting[] {
    const group: Waiting[] = [];
    this.#entries.clear();
    const callsMax = this.#oneByOne > 0 ? 1 : Number.POSITIVE_INFINITY;
    let taken = 0;
    for (const call of this.#waiting) {
      const isFull = group.length >= callsMax || this.#entries.length >= GROUP_BYTES_MAX;
      if (isFull || (group.length > 0 && call.changes !== undefined)) break;
      taken += 1;
      if (this.#enter(call)) group.push(call);
      else if (this.#keeper.gate() !== undefined) break;
    }
    this.#waiting.splice(0, taken);
    this.#oneByOne = Math.max(0, this.#oneByOne - taken);
    return group;
  }

  /** Adds the entry of a call to the group; tells whether it needs one. */
  #enter({ verb, write, apply, changes, refuse }: Waiting): boolean {
    const before = this.#entries.length;
    try {
      if (changes !== undefined && !this.#keeper.ask(changes)) {
        this.#keeper.ask(apply)(undefined);
        return false;
      }
      this.#keeper.admit(verb);
      write(this.#entries.begin(verb));
      return true;
    } catch (error) {
      this.#entries.cut(before);
      refuse(error);
      return false;
    }
  }

  #carryOutGroup(group: readonly Waiting[]): void {
    if (group.length === 0) return;
    try {
      const verbs = group.map(({ verb }) => verb);
      const at = this.#keeper.append(this.#entries, verbs);
      if (at === "no room") {
        this.#putBack(group);
        this.#oneByOne = group.length;
      } else {
        this.#apply(group, at);
      }
    } catch (error) {
      for (const { refuse } of group) refuse(error);
    }
  }

  /** `at`: where the first entry stands. */
  #apply(group: readonly Waiting[], at: number): void {
    const keeper = this.#keeper;
    const answers: ReturnType<Waiting["apply"]>[] = [];
    for (const { apply, refuse } of group) {
      try {
        answers.push(apply(keeper.state));
      } catch (error) {
        keeper.giveUp(at + (this.#entries.starts[answers.length] ?? 0));
        refuse(storeError(error));
        this.#putBack(group.slice(answers.length + 1));
        break;
      }
      for (const message of keeper.state.wakes) queueMicrotask(() => keeper.wake(message));
      keeper.state.wakes = [];
    }
    if (answers.length === 0) return;
    const kept = keeper.applied();
    for (const answer of answers) answer(kept);
  }

  #putBack(group: readonly Waiting[]): void {
    this.#waiting = [...group, ...this.#waiting];
  }
}
