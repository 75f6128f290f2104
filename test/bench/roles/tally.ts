/** How often each task was handled, by its number: what proves exact delivery. */
export class Tally {
  #counts = new Uint8Array(1024);

  static fromBase64(text: string): Tally {
    const tally = new Tally();
    tally.#counts = new Uint8Array(Buffer.from(text, "base64"));
    return tally;
  }

  add(n: number, times = 1): void {
    if (n >= this.#counts.length) {
      const larger = new Uint8Array(Math.max(n + 1, this.#counts.length * 2));
      larger.set(this.#counts);
      this.#counts = larger;
    }
    // 255 stands for "255 or more".
    this.#counts[n] = Math.min(255, (this.#counts[n] ?? 0) + times);
  }

  merge(other: Tally): void {
    other.#counts.forEach((times, n) => {
      if (times > 0) this.add(n, times);
    });
  }

  /** Of the tasks 0 to `sent` - 1: those never handled, those handled more than once; and numbers that nobody sent. */
  judge(sent: number): { never: number; again: number; foreign: number } {
    let [never, again, foreign] = [0, 0, 0];
    for (let n = 0; n < Math.max(sent, this.#counts.length); n += 1) {
      const times = this.#counts[n] ?? 0;
      if (n >= sent) foreign += times > 0 ? 1 : 0;
      else if (times === 0) never += 1;
      else if (times > 1) again += 1;
    }
    return { never, again, foreign };
  }

  toBase64(): string {
    return Buffer.from(this.#counts).toString("base64");
  }
}
