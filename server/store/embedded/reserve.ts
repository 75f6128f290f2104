/**
 * Disk space kept back, as a file of zeros, for the changes that free room: on
 * a full disk even removing a task takes new pages first. Whoever needs it
 * releases it, and until it is there again nothing new is taken in.
 */
import { closeSync, fsyncSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";

export const RESERVE_FILE = "reserve";

const RESERVE_BYTES = 8 * 1024 * 1024;
const STEP_BYTES = 1024 * 1024;

export class Reserve {
  readonly #path: string;
  #held: boolean;

  constructor(dir: string) {
    this.#path = join(dir, RESERVE_FILE);
    this.#held = statSync(this.#path, { throwIfNoEntry: false })?.size === RESERVE_BYTES;
  }

  get held(): boolean {
    return this.#held;
  }

  /** Takes the space; tells whether it is there. */
  take(): boolean {
    if (this.#held) return true;
    try {
      const file = openSync(this.#path, "w", 0o600);
      try {
        const zeros = Buffer.alloc(STEP_BYTES);
        for (let at = 0; at < RESERVE_BYTES; at += STEP_BYTES) writeSync(file, zeros, 0, STEP_BYTES, at);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      this.#held = true;
    } catch {
      // No room for it: that is what is being asked here.
      rmSync(this.#path, { force: true });
    }
    return this.#held;
  }

  /** Gives the space away; tells whether there was any. */
  release(): boolean {
    if (!this.#held) return false;
    rmSync(this.#path, { force: true });
    this.#held = false;
    return true;
  }
}
