/**
 * The stores of this process that are open. Should it run out of things to do
 * without closing them, they are closed then: lmdb waits for its open
 * transaction when a process ends, and would wait for ever.
 */
interface Closable {
  close(): Promise<void>;
}

class OpenStores {
  readonly #stores = new Set<Closable>();
  readonly #closeAll = () => {
    for (const store of this.#stores) void store.close();
  };

  add(store: Closable): void {
    if (this.#stores.size === 0) process.on("beforeExit", this.#closeAll);
    this.#stores.add(store);
  }

  /** Tells whether the store was open. */
  delete(store: Closable): boolean {
    const was = this.#stores.delete(store);
    if (was && this.#stores.size === 0) process.off("beforeExit", this.#closeAll);
    return was;
  }
}

export const openStores = new OpenStores();
