/**
 * The verbs since the last checkpoint, in the order in which they were applied.
 * A verb is written down before it is applied, and its entry has been handed to
 * the kernel when it is answered: that is what survives the death of the process.
 *
 * An entry is its length, a checksum, and what journal-codec.ts makes of it. The
 * last one may be cut off, by a power cut or a full disk: it ends the journal.
 */
import { closeSync, fdatasync, ftruncateSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { crc32 } from "node:zlib";

/** Names of journal files within the folder. */
export const JOURNAL_NAME = /^journal-(\d+)$/;

/** Length and checksum. */
export const ENTRY_HEAD_BYTES = 8;

const syncData = promisify(fdatasync);

export class Journal {
  readonly number: number;
  readonly #file: number;
  #length = 0;
  #synced = 0;
  #syncing: Promise<void> | undefined;

  constructor(dir: string, number: number) {
    this.number = number;
    this.#file = openSync(pathOf(dir, number), "wx", 0o600);
  }

  /** Bytes of the entries. */
  get length(): number {
    return this.#length;
  }

  /**
   * Adds entries with one write. They begin at `starts`, each with room for its
   * head. When it throws, nothing was added.
   */
  append(bytes: Buffer, starts: readonly number[]): void {
    starts.forEach((start, index) => {
      const entry = bytes.subarray(start + ENTRY_HEAD_BYTES, starts[index + 1]);
      bytes.writeUInt32BE(entry.length, start);
      bytes.writeUInt32BE(crc32(entry), start + 4);
    });
    const before = this.#length;
    try {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.#file, bytes, done, bytes.length - done, before + done);
      }
    } catch (error) {
      ftruncateSync(this.#file, before);
      throw error;
    }
    this.#length = before + bytes.length;
  }

  /** Takes back the entries from there on: their verbs were not applied, and no sync has begun since they were added. */
  cut(length: number): void {
    ftruncateSync(this.#file, length);
    this.#length = length;
  }

  /** Resolves when all entries added before the call are on the disk. */
  async sync(): Promise<void> {
    const wanted = this.#length;
    // One that is under way may have begun before the last entry.
    while (this.#synced < wanted) await (this.#syncing ?? this.#startSync());
  }

  #startSync(): Promise<void> {
    const length = this.#length;
    this.#syncing = syncData(this.#file)
      .then(() => {
        this.#synced = length;
      })
      .finally(() => {
        this.#syncing = undefined;
      });
    return this.#syncing;
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Numbers of the journals in a folder, in order. */
export function journalsIn(dir: string): number[] {
  const names = readdirSync(dir).flatMap((name) => JOURNAL_NAME.exec(name)?.[1] ?? []);
  return names.map(Number).sort((a, b) => a - b);
}

/** Not at once: to unlink a large file takes milliseconds. */
export async function removeJournal(dir: string, number: number): Promise<void> {
  await rm(pathOf(dir, number), { force: true });
}

/** The entries of a journal. `isWhole`: nothing follows the last one. */
export function readJournal(dir: string, number: number): { readonly entries: Buffer[]; readonly isWhole: boolean } {
  const bytes = readFileSync(pathOf(dir, number));
  const entries: Buffer[] = [];
  let at = 0;
  while (at + ENTRY_HEAD_BYTES < bytes.length) {
    const entry = bytes.subarray(at + ENTRY_HEAD_BYTES, at + ENTRY_HEAD_BYTES + bytes.readUInt32BE(at));
    if (entry.length !== bytes.readUInt32BE(at) || entry.length === 0) break;
    if (crc32(entry) !== bytes.readUInt32BE(at + 4)) break;
    entries.push(entry);
    at += ENTRY_HEAD_BYTES + entry.length;
  }
  return { entries, isWhole: at === bytes.length };
}

function pathOf(dir: string, number: number): string {
  return join(dir, `journal-${number}`);
}
