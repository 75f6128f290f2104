/**
 * The tasks that watchers of this broker asked for by id or external id. What
 * happens to them is told however much else there is to tell.
 *
 * Only watchers of this broker: the others' are not known here.
 */
import { randomUUID } from "node:crypto";

/** A watcher's wish; later ones have higher numbers. */
export interface Wish {
  readonly taskIds: ReadonlySet<string>;
  readonly externalIds: ReadonlySet<string>;
  readonly number: number;
}

export class EventWishes {
  /** Unlike that of any other broker, even one of the same name. */
  readonly keeper = randomUUID();
  readonly #taskIds = new Map<string, number>();
  readonly #externalIds = new Map<string, number>();
  #number = 0;

  /** The number of the latest wish. */
  get number(): number {
    return this.#number;
  }

  add(filter: Pick<Wish, "taskIds" | "externalIds">): Wish {
    this.#number += 1;
    const { taskIds, externalIds } = filter;
    for (const id of taskIds) count(this.#taskIds, id, 1);
    for (const id of externalIds) count(this.#externalIds, id, 1);
    return { taskIds, externalIds, number: this.#number };
  }

  remove({ taskIds, externalIds }: Wish): void {
    for (const id of taskIds) count(this.#taskIds, id, -1);
    for (const id of externalIds) count(this.#externalIds, id, -1);
  }

  wants(taskId: string, externalId: string): boolean {
    return (
      (this.#taskIds.size > 0 && this.#taskIds.has(taskId)) ||
      (this.#externalIds.size > 0 && externalId !== "" && this.#externalIds.has(externalId))
    );
  }
}

function count(wanted: Map<string, number>, id: string, by: number): void {
  const watchers = (wanted.get(id) ?? 0) + by;
  if (watchers > 0) wanted.set(id, watchers);
  else wanted.delete(id);
}
