/** Who wants to hear of a worker's events. What a listener throws concerns nobody but the log. */
import type { Logger } from "./options.js";
import type { WorkerEvent, WorkerEventOf, WorkerEventType } from "./worker-event.js";

type Listener = (event: WorkerEvent) => void;

export class Listeners {
  readonly #byType = new Map<WorkerEventType | "*", Set<Listener>>();
  readonly #logger: Logger | undefined;

  constructor(logger: Logger | undefined, toAll: Listener | undefined) {
    this.#logger = logger;
    if (toAll) this.#byType.set("*", new Set([toAll]));
  }

  /** Whether there are any: events on single tasks are made only then. */
  get any(): boolean {
    return this.#byType.size > 0;
  }

  add<Type extends WorkerEventType>(type: Type, listener: (event: WorkerEventOf<Type>) => void): () => void {
    const own: Listener = (event) => {
      if (isOfType(event, type)) listener(event);
    };
    const listeners = this.#byType.get(type) ?? new Set();
    this.#byType.set(type, listeners);
    listeners.add(own);
    return () => {
      listeners.delete(own);
      if (listeners.size === 0 && this.#byType.get(type) === listeners) this.#byType.delete(type);
    };
  }

  emit(event: WorkerEvent): void {
    if (!this.any) return;
    for (const key of [event.type, "*"] as const) {
      for (const listener of this.#byType.get(key) ?? []) {
        try {
          listener(event);
        } catch (error) {
          this.#logger?.error({ error, event: event.type }, "a listener threw");
        }
      }
    }
  }
}

function isOfType<Type extends WorkerEventType>(event: WorkerEvent, type: Type): event is WorkerEventOf<Type> {
  return event.type === type;
}
