/**
 * The books of a simulation: which tasks were accepted, and how often a
 * processor finished each. A task that was accepted, that no processor finished
 * and that the broker no longer knows is lost.
 *
 * A processor enters its task here before it tells the broker, so that whatever
 * the broker has stored as completed is in the books.
 */
const ACCEPTED = 0x80;
const FINISHED_MAX = 0x7f;
const EXAMPLES_MAX = 10;

export interface TaskNumber {
  readonly producer: number;
  readonly number: number;
}

export class Ledger {
  /** By producer: a byte per task, whose top bit says accepted and whose others count finishes. */
  readonly #tasks = new Map<number, Uint8Array>();
  #accepted = 0;
  #finished = 0;
  #repeated = 0;
  /** What processors and processes told. */
  readonly notes = { failed: 0, hung: 0, crashes: 0 };

  /** Tasks the broker accepted. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Tasks that a processor finished. */
  get finished(): number {
    return this.#finished;
  }

  /** Tasks finished more than once: legal, since delivery is at least once, but to be told. */
  get repeated(): number {
    return this.#repeated;
  }

  accept({ producer, number }: TaskNumber): void {
    const tasks = this.#bytes(producer, number);
    const before = tasks[number] ?? 0;
    if ((before & ACCEPTED) !== 0) return;
    tasks[number] = before | ACCEPTED;
    this.#accepted += 1;
  }

  finish({ producer, number }: TaskNumber): void {
    const tasks = this.#bytes(producer, number);
    const before = tasks[number] ?? 0;
    const times = before & FINISHED_MAX;
    if (times === 0) this.#finished += 1;
    if (times === 1) this.#repeated += 1;
    if (times < FINISHED_MAX) tasks[number] = before + 1;
  }

  /** Accepted, finished by nobody, and not among `present`. Tells how many, and some of them. */
  lost(present: ReadonlySet<string>, idOf: (task: TaskNumber) => string): { count: number; examples: string[] } {
    const examples: string[] = [];
    let count = 0;
    for (const [producer, tasks] of this.#tasks) {
      for (const [number, byte] of tasks.entries()) {
        if (byte !== ACCEPTED) continue;
        const id = idOf({ producer, number });
        if (present.has(id)) continue;
        count += 1;
        if (examples.length < EXAMPLES_MAX) examples.push(id);
      }
    }
    return { count, examples };
  }

  #bytes(producer: number, number: number): Uint8Array {
    const tasks = this.#tasks.get(producer) ?? new Uint8Array(0);
    if (number < tasks.length) return tasks;
    const longer = new Uint8Array(Math.max(1_024, number + 1, tasks.length * 2));
    longer.set(tasks);
    this.#tasks.set(producer, longer);
    return longer;
  }
}
