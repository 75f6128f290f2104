/**
 * Makes the store survive a power cut without a sync per commit.
 *
 * lmdb commits without syncing, so after a power cut its file may hold any
 * mixture of old and new pages. A checkpoint is a state that is wholly on the
 * disk: its pages are pinned, so that later commits write elsewhere, then
 * synced, and then its meta page, which names the root of everything, is copied
 * to a file of its own. After a power cut `restore` puts that meta page back,
 * and the store is as it was at the checkpoint. The pin of a checkpoint is let
 * go when the next one is complete.
 *
 * Whether there was a power cut is told by the kernel's boot: within one boot
 * all commits are in the page cache, whatever became of the process.
 */
import { createHash } from "node:crypto";
import { closeSync, fdatasync, fstatSync, fsyncSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { uptime } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { TaskqueueError } from "../../domain/errors.js";
import type { Clock } from "../../lib/clock.js";
import type { Log } from "../../lib/log.js";
import type { LmdbFile } from "./database.js";

export const DATA_FILE = "data.mdb";
export const CHECKPOINT_FILE = "checkpoint";

const syncData = promisify(fdatasync);

/** Of lmdb's file, as database.ts makes it: two meta pages, of which each commit overwrites the older one. */
const PAGE_BYTES = 4096;
const META = { magic: 24, txnId: 152 } as const;
const MAGIC = 0xbeefc0de;

/** A checkpoint in its file, which has room for two: a slot is overwritten while the other one is good. */
const SLOT = { hash: 0, number: 20, dataBytes: 28, boot: 36, page: 100 } as const;
const SLOT_BYTES = SLOT.page + PAGE_BYTES;
const BOOT_BYTES = SLOT.page - SLOT.boot;

interface Slot {
  readonly number: number;
  /** Length of the data file, which never gets shorter. */
  readonly dataBytes: number;
  readonly boot: string;
  readonly page: Buffer;
}

export interface CheckpointOptions {
  readonly dir: string;
  readonly clock: Clock;
  readonly log: Log;
  /**
   * How long a change may wait for the disk. Undefined: until `close`, and a
   * store that a power cut keeps from being closed is lost.
   */
  readonly intervalMs: number | undefined;
}

export class Checkpoints {
  readonly #file: LmdbFile;
  readonly #options: CheckpointOptions;
  readonly #data: number;
  readonly #slots: number;
  readonly #boot: string;
  #number: number;
  #dirty = true;
  #cancelTimer: (() => void) | undefined;
  /** Under way. */
  #running: Promise<void> | undefined;
  #unpin: (() => void) | undefined;
  #failure: unknown;

  constructor(file: LmdbFile, options: CheckpointOptions) {
    this.#file = file;
    this.#options = options;
    this.#data = openSync(join(options.dir, DATA_FILE), "r");
    this.#slots = openSync(join(options.dir, CHECKPOINT_FILE), "a+");
    closeSync(this.#slots);
    this.#slots = openSync(join(options.dir, CHECKPOINT_FILE), "r+");
    this.#boot = currentBoot(options.clock);
    this.#number = newest(readSlots(options.dir))?.number ?? 0;
  }

  /** Why the disk cannot be trusted any more; undefined while it can. */
  get failure(): unknown {
    return this.#failure;
  }

  /** The first checkpoint of an open store. */
  async begin(): Promise<void> {
    if (this.#options.intervalMs !== undefined) return this.reached();
    this.#writeSlot(NO_PAGE);
    await syncData(this.#slots);
  }

  /** Something was committed. */
  committed(): void {
    this.#dirty = true;
    const { intervalMs, clock } = this.#options;
    if (intervalMs === undefined || this.#cancelTimer !== undefined || this.#running !== undefined) return;
    this.#cancelTimer = clock.after(intervalMs, () => {
      this.#cancelTimer = undefined;
      void this.#start();
    });
  }

  /** Resolves when everything committed before the call is safe from a power cut. */
  async reached(): Promise<void> {
    // One that is under way may have begun before the commit.
    await this.#running;
    if (this.#dirty) await (this.#running ?? this.#start());
    if (this.#failure !== undefined) throw this.#failure;
  }

  async close(): Promise<void> {
    this.#cancelTimer?.();
    try {
      await this.reached();
    } finally {
      this.#cancelTimer?.();
      this.#unpin?.();
      closeSync(this.#data);
      closeSync(this.#slots);
    }
  }

  #start(): Promise<void> {
    this.#running = this.#write().finally(() => {
      this.#running = undefined;
      if (this.#dirty) this.committed();
    });
    return this.#running;
  }

  async #write(): Promise<void> {
    this.#dirty = false;
    const unpin = this.#file.pin();
    try {
      const page = newestMeta(readMetas(this.#data));
      await syncData(this.#data);
      this.#writeSlot(page);
      await syncData(this.#slots);
    } catch (error) {
      // After a failed sync the kernel may have dropped what it could not write.
      this.#failure = new TaskqueueError("STORE_READ_ONLY", "the disk of the embedded store failed", { cause: error });
      this.#options.log.error({ err: error }, "the embedded store could not be synced; it takes no more changes");
      unpin();
      return;
    }
    this.#unpin?.();
    this.#unpin = unpin;
  }

  #writeSlot(page: Buffer): void {
    this.#number += 1;
    const slot = { number: this.#number, dataBytes: fstatSync(this.#data).size, boot: this.#boot, page };
    writeSync(this.#slots, encodeSlot(slot), 0, SLOT_BYTES, (this.#number % 2) * SLOT_BYTES);
  }
}

/** Stands for the meta page of a store that is open and is not synced. */
const NO_PAGE = Buffer.alloc(PAGE_BYTES);

/**
 * Puts the store back to its last checkpoint when the machine stopped since.
 * Must run before lmdb opens the file. Tells whether it did.
 */
export function restore(dir: string, clock: Clock): boolean {
  const slot = newest(readSlots(dir));
  if (slot === undefined) throw damaged(dir, `its file ${CHECKPOINT_FILE} is missing or damaged`);
  const data = openSync(join(dir, DATA_FILE), "r+");
  try {
    if (fstatSync(data).size < slot.dataBytes) throw damaged(dir, `its file ${DATA_FILE} has been cut short`);
    if (isSameBoot(slot.boot, currentBoot(clock))) {
      if (readMetas(data).every((page) => !isMeta(page))) throw damaged(dir, `its file ${DATA_FILE} is damaged`);
      return false;
    }
    if (!isMeta(slot.page)) throw damaged(dir, "the machine stopped while it ran without syncing");
    for (const number of [0, 1]) {
      const page = Buffer.from(slot.page);
      page.writeBigUInt64LE(BigInt(number));
      writeSync(data, page, 0, PAGE_BYTES, number * PAGE_BYTES);
    }
    fsyncSync(data);
    return true;
  } finally {
    closeSync(data);
  }
}

function damaged(dir: string, what: string): TaskqueueError {
  return new TaskqueueError("STORE_UNAVAILABLE", `${dir} holds a store that cannot be opened: ${what}`);
}

function readMetas(data: number): Buffer[] {
  return [0, 1].map((number) => {
    const page = Buffer.alloc(PAGE_BYTES);
    readSync(data, page, 0, PAGE_BYTES, number * PAGE_BYTES);
    return page;
  });
}

function isMeta(page: Buffer): boolean {
  return page.readUInt32LE(META.magic) === MAGIC;
}

function newestMeta(pages: readonly Buffer[]): Buffer {
  const metas = pages.filter(isMeta);
  const [first, second] = metas;
  if (first === undefined) throw new Error("lmdb's file has no meta page");
  if (second === undefined) return first;
  return second.readBigUInt64LE(META.txnId) > first.readBigUInt64LE(META.txnId) ? second : first;
}

function encodeSlot({ number, dataBytes, boot, page }: Slot): Buffer {
  const slot = Buffer.alloc(SLOT_BYTES);
  slot.writeDoubleBE(number, SLOT.number);
  slot.writeDoubleBE(dataBytes, SLOT.dataBytes);
  slot.write(boot, SLOT.boot, BOOT_BYTES, "latin1");
  page.copy(slot, SLOT.page);
  hashOf(slot).copy(slot, SLOT.hash);
  return slot;
}

function readSlots(dir: string): Slot[] {
  const bytes = readIfThere(join(dir, CHECKPOINT_FILE));
  const slots: Slot[] = [];
  for (let at = 0; at + SLOT_BYTES <= bytes.length; at += SLOT_BYTES) {
    const slot = bytes.subarray(at, at + SLOT_BYTES);
    if (!hashOf(slot).equals(slot.subarray(SLOT.hash, SLOT.number))) continue;
    slots.push({
      number: slot.readDoubleBE(SLOT.number),
      dataBytes: slot.readDoubleBE(SLOT.dataBytes),
      boot: slot.toString("latin1", SLOT.boot, SLOT.page).replace(/\0+$/, ""),
      page: slot.subarray(SLOT.page),
    });
  }
  return slots;
}

function readIfThere(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
}

function hashOf(slot: Buffer): Buffer {
  return createHash("sha1").update(slot.subarray(SLOT.number)).digest();
}

function newest(slots: readonly Slot[]): Slot | undefined {
  return [...slots].sort((a, b) => b.number - a.number)[0];
}

/** Names the boot: Linux has an id for it; elsewhere it is the moment, in seconds. */
function currentBoot(clock: Clock): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return String(Math.round(clock.now() / 1000 - uptime()));
  }
}

/** The clock may have been set a little since the moment was noted; no machine boots twice within that. */
const BOOT_TOLERANCE_SECONDS = 10;

function isSameBoot(a: string, b: string): boolean {
  return a === b || Math.abs(Number(a) - Number(b)) <= BOOT_TOLERANCE_SECONDS;
}
