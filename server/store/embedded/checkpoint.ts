/**
 * What is certain to be on the disk: a state of the lmdb file, and from which
 * journal on the verbs follow that it does not have yet.
 *
 * lmdb commits without syncing, so a power cut may leave any mixture of old and
 * new pages. But a commit never writes over pages of the one before it. So the
 * state of a commit can be brought back after the next one has begun or even
 * ended, by its meta page, which names the root of everything. A checkpoint is
 * made of a commit: the file is synced, then the meta page is copied to a file
 * of its own, which is synced too; only then may there be another commit.
 * Whatever happened, a store opens at its newest checkpoint and replays the
 * journal from there.
 */
import { createHash } from "node:crypto";
import { closeSync, fdatasync, fstatSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { TaskqueueError } from "../../domain/errors.js";
import { PAGE_BYTES } from "./database.js";

export const DATA_FILE = "data.mdb";
export const CHECKPOINT_FILE = "checkpoint";

const syncData = promisify(fdatasync);

/** Of lmdb's file: two meta pages, of which each commit overwrites the older one. */
const META = { magic: 24, txnId: 152 } as const;
const MAGIC = 0xbeefc0de;

/** A checkpoint in its file, which has room for two: one is overwritten while the other is good. */
const SLOT = { hash: 0, number: 20, journal: 28, dataBytes: 36, page: 44 } as const;
const SLOT_BYTES = SLOT.page + PAGE_BYTES;

export interface Checkpoint {
  readonly number: number;
  /** The first journal that is not in the file. */
  readonly journal: number;
  /** Length of the file, which never gets shorter. */
  readonly dataBytes: number;
  readonly page: Buffer;
}

/** Makes checkpoints. */
export class Checkpoints {
  readonly #data: number;
  readonly #slots: number;
  readonly #isKept: boolean;
  #number: number;

  /**
   * @param last the number of the newest checkpoint there is, 0 for none
   * @param isKept false for a store that is not to be opened again: nothing is synced or written
   */
  constructor(dir: string, last: number, isKept: boolean) {
    this.#isKept = isKept;
    this.#data = openSync(join(dir, DATA_FILE), "r");
    const path = join(dir, CHECKPOINT_FILE);
    closeSync(openSync(path, "a", 0o600));
    this.#slots = openSync(path, "r+");
    this.#number = last;
  }

  /** To be called right after a commit, and awaited before the next one. `journal`: the first that is not in it. */
  async make(journal: number): Promise<void> {
    if (!this.#isKept) return;
    const page = newestMeta(readMetas(this.#data));
    if (page === undefined) throw new Error("lmdb's file has no meta page");
    await syncData(this.#data);
    this.#number += 1;
    const checkpoint = { number: this.#number, journal, dataBytes: fstatSync(this.#data).size, page };
    writeSync(this.#slots, encode(checkpoint), 0, SLOT_BYTES, (this.#number % 2) * SLOT_BYTES);
    await syncData(this.#slots);
  }

  close(): void {
    closeSync(this.#data);
    closeSync(this.#slots);
  }
}

/** Puts the lmdb file, which must not be open, to its newest checkpoint, and returns that. */
export function restore(dir: string): Checkpoint {
  const checkpoint = newestCheckpoint(dir);
  if (checkpoint === undefined) throw damaged(dir, `its file ${CHECKPOINT_FILE} is missing or damaged`);
  const data = openData(dir);
  try {
    if (fstatSync(data).size < checkpoint.dataBytes) throw damaged(dir, `its file ${DATA_FILE} has been cut short`);
    if (newestMeta(readMetas(data)) === undefined) throw damaged(dir, `its file ${DATA_FILE} is damaged`);
    for (const number of [0, 1]) {
      const page = Buffer.from(checkpoint.page);
      page.writeBigUInt64LE(BigInt(number));
      writeSync(data, page, 0, PAGE_BYTES, number * PAGE_BYTES);
    }
    return checkpoint;
  } finally {
    closeSync(data);
  }
}

function openData(dir: string): number {
  try {
    return openSync(join(dir, DATA_FILE), "r+");
  } catch (error) {
    if (isMissing(error)) throw damaged(dir, `its file ${DATA_FILE} is missing`);
    throw error;
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

function newestMeta(pages: readonly Buffer[]): Buffer | undefined {
  const [first, second] = pages.filter((page) => page.readUInt32LE(META.magic) === MAGIC);
  if (first === undefined || second === undefined) return first;
  return second.readBigUInt64LE(META.txnId) > first.readBigUInt64LE(META.txnId) ? second : first;
}

function encode({ number, journal, dataBytes, page }: Checkpoint): Buffer {
  const slot = Buffer.alloc(SLOT_BYTES);
  slot.writeDoubleBE(number, SLOT.number);
  slot.writeDoubleBE(journal, SLOT.journal);
  slot.writeDoubleBE(dataBytes, SLOT.dataBytes);
  page.copy(slot, SLOT.page);
  hashOf(slot).copy(slot, SLOT.hash);
  return slot;
}

function newestCheckpoint(dir: string): Checkpoint | undefined {
  const bytes = readIfThere(join(dir, CHECKPOINT_FILE));
  let newest: Checkpoint | undefined;
  for (let at = 0; at + SLOT_BYTES <= bytes.length; at += SLOT_BYTES) {
    const slot = bytes.subarray(at, at + SLOT_BYTES);
    if (!hashOf(slot).equals(slot.subarray(SLOT.hash, SLOT.number))) continue;
    const number = slot.readDoubleBE(SLOT.number);
    if (newest !== undefined && newest.number > number) continue;
    const journal = slot.readDoubleBE(SLOT.journal);
    newest = { number, journal, dataBytes: slot.readDoubleBE(SLOT.dataBytes), page: slot.subarray(SLOT.page) };
  }
  return newest;
}

function readIfThere(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isMissing(error)) return Buffer.alloc(0);
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function hashOf(slot: Buffer): Buffer {
  return createHash("sha1").update(slot.subarray(SLOT.number)).digest();
}
