/**
 * Disk space kept back, as a file of zeros, for the changes that free room: on
 * a full disk even the end of a task must be written down first. Whoever needs
 * it releases it, and until it is there again nothing new is taken in.
 */
import { closeSync, fsyncSync, openSync, rmSync, statfsSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { TaskqueueError } from "../../domain/errors.js";
import type { Clock } from "../../lib/clock.js";
import type { Log } from "../../lib/log.js";

export const RESERVE_FILE = "reserve";
export const PROBE_FILE = "probe";

const RESERVE_BYTES = 16 * 1024 * 1024;
const STEP_BYTES = 1024 * 1024;
/** How often a full store looks for room. */
const RETRY_MS = 1000;
const SCARCE_BYTES = 64 * 1024 * 1024;
const PROBE = Buffer.from("1");

export interface ReserveOptions {
  readonly dir: string;
  /** False for a store that is not to be opened again: it has no reserve. */
  readonly isKept: boolean;
  readonly clock: Clock;
  readonly log: Log;
  /** Bytes that the store can use without asking the disk: those that tasks left behind. */
  readonly freeBytes: () => number;
}

/** Whether the disk has hardly any space left. */
export function isScarce(dir: string): boolean {
  const { bavail, bsize } = statfsSync(dir);
  return bavail * bsize < SCARCE_BYTES;
}

/** Gives the reserve away before a store is opened that may need it for its first commit. */
export function releaseIfScarce(dir: string): void {
  if (isScarce(dir)) rmSync(join(dir, RESERVE_FILE), { force: true });
}

export class Reserve {
  readonly #options: ReserveOptions;
  readonly #path: string;
  readonly #probe: number;
  #held: boolean;
  /** While the reserve is out: whether there is room all the same, and when that was looked at. */
  #hasRoom = false;
  #lookedAt: number;

  constructor(options: ReserveOptions) {
    this.#options = options;
    this.#path = join(options.dir, RESERVE_FILE);
    this.#probe = openSync(join(options.dir, PROBE_FILE), "w", 0o600);
    this.probe();
    this.#held = statSync(this.#path, { throwIfNoEntry: false })?.size === RESERVE_BYTES;
    this.#lookedAt = options.clock.monotonic();
    if (options.isKept && !this.#held) this.#take();
  }

  close(): void {
    closeSync(this.#probe);
  }

  /** Throws when the disk takes no writes at all. A full one does. */
  probe(): void {
    writeSync(this.#probe, PROBE, 0, PROBE.length, 0);
  }

  /** Throws STORE_FULL while the reserve is out and there is no other room; looks for it once in a while. */
  requireRoom(): void {
    const { isKept, clock, freeBytes } = this.#options;
    if (!isKept || this.#held) return;
    if (clock.monotonic() - this.#lookedAt >= RETRY_MS) {
      this.#lookedAt = clock.monotonic();
      this.#hasRoom = this.#take() || freeBytes() >= SCARCE_BYTES;
    }
    if (!this.#hasRoom) throw new TaskqueueError("STORE_FULL", "the disk of the embedded store is full");
  }

  /** Gives the space away; tells whether there was any. */
  release(): boolean {
    if (!this.#held) return false;
    rmSync(this.#path, { force: true });
    this.#held = false;
    this.#hasRoom = false;
    this.#options.log.warn({ dir: this.#options.dir }, "the disk is full; the reserve is used to let reports through");
    return true;
  }

  #take(): boolean {
    try {
      const file = openSync(this.#path, "w", 0o600);
      try {
        const zeros = Buffer.alloc(STEP_BYTES);
        for (let at = 0; at < RESERVE_BYTES; ) at += writeSync(file, zeros, 0, STEP_BYTES, at);
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
}
