/** Calls that were made and whose answers are not dealt with, for those who want to wait for the end of what there is. */
export class CallsUnderWay {
  /** What stands for each call; a few. */
  readonly #calls: object[] = [];
  #waiting: { readonly calls: Set<object>; readonly resolve: () => void }[] = [];

  begin(call: object): void {
    this.#calls.push(call);
  }

  end(call: object): void {
    const index = this.#calls.indexOf(call);
    if (index !== -1) this.#calls.splice(index, 1);
    if (this.#waiting.length === 0) return;
    this.#waiting = this.#waiting.filter(({ calls, resolve }) => {
      calls.delete(call);
      if (calls.size > 0) return true;
      resolve();
      return false;
    });
  }

  /** Resolves when those that are under way now have ended. */
  async ended(): Promise<void> {
    if (this.#calls.length === 0) return;
    const calls = new Set(this.#calls);
    await new Promise<void>((resolve) => this.#waiting.push({ calls, resolve }));
  }
}
