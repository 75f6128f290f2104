/**
 * An embedded store while it is open: how verbs come to be done and kept.
 *
 * A verb is written to the journal, together with the others of its turn, then
 * applied to lmdb's open transaction, then answered; with sync "always" the
 * answer waits until the journal is on the disk. Every now and then the
 * transaction is committed and a checkpoint made of it, and the journal begins
 * anew. While that commit happens, for some milliseconds, verbs wait at the gate.
 *
 * When something goes wrong within a verb or a commit, the transaction is given
 * up, and the journal replayed onto the last commit: memory and lmdb never stay
 * at half a verb.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { TaskqueueError } from "../../domain/errors.js";
import type { Clock } from "../../lib/clock.js";
import type { Log } from "../../lib/log.js";
import type { Wake } from "../store.js";
import { type Call, CallQueue, type Keeper } from "./call-queue.js";
import { Checkpoints, DATA_FILE, restore } from "./checkpoint.js";
import { LmdbFile } from "./database.js";
import { isFull, openError, storeError } from "./disk-errors.js";
import { claimFolder, finishFolder, makeFolder } from "./folder.js";
import { type FolderLock, lockFolder } from "./folder-lock.js";
import { Journal, journalsIn, removeJournal } from "./journal.js";
import { EntryWriter, type Journaled } from "./journal-codec.js";
import { openStores } from "./open-stores.js";
import { replayAll, replayOne } from "./replay.js";
import { Reserve, releaseIfScarce } from "./reserve.js";
import { State } from "./verbs.js";

export const MEMORY = ":memory:";
export type Sync = "everysec" | "always" | "no";

export interface OpenOptions {
  readonly dir: string;
  readonly namespace: string;
  readonly sync: Sync;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** Called after the change, in a turn of its own. */
  readonly wake: (message: Wake) => void;
}

/** These take new things in: they are refused while the reserve is out. */
const TAKING: ReadonlySet<Journaled> = new Set([
  "enqueue",
  "enqueueStraight",
  "configure",
  "openSession",
  "appendEvents",
  "announceWatch",
]);

const SYNC_MS = 1000;
/** How long a change may stay in the journal alone. */
const CHECKPOINT_MS = 5000;
/** And how many changes of rows, and bytes: what a replay must do at most, and what a commit must write. */
const CHECKPOINT_WRITES = 16_000;
const CHECKPOINT_BYTES = 8 * 1024 * 1024;
/** How many times as much may come while a checkpoint is being made: a disk that cannot keep up stops the verbs here. */
const LOAD_MAX = 10;
/** How often a full store tries again. */
const FULL_RETRY_MS = 1000;

export class OpenStore {
  readonly #options: OpenOptions;
  readonly #dir: string;
  readonly #lock: FolderLock;
  readonly #file: LmdbFile;
  readonly #state: State;
  readonly #checkpoints: Checkpoints;
  readonly #reserve: Reserve;
  readonly #calls: CallQueue;
  #journal: Journal;
  /** Verbs wait for this while lmdb's transaction is not open. Never rejects. */
  #gate: Promise<void> | undefined;
  /** The checkpoint under way, from its commit on. Never rejects. */
  #checkpoint: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  /** Since when there are changes that no commit has. */
  #dirtySince: number | undefined;
  /** The journal of a commit of which there is no checkpoint yet. */
  #unsafe: Journal | undefined;
  #checkpointNotBefore = Number.NEGATIVE_INFINITY;
  /** Why the store is of no use any more. */
  #failure: unknown;

  static async open(options: OpenOptions): Promise<OpenStore> {
    const dir = options.dir === MEMORY ? mkdtempSync(join(tmpdir(), "taskqueue-")) : resolve(options.dir);
    makeFolder(dir);
    const lock = await lockFolder(dir, options.clock, options.random);
    let file: LmdbFile | undefined;
    try {
      const isNew = claimFolder(dir, options.namespace) === "is new";
      releaseIfScarce(dir);
      const last = isNew ? undefined : restore(dir);
      file = new LmdbFile(join(dir, DATA_FILE));
      file.begin();
      const state = new State(file.tables);
      const journals = journalsIn(dir);
      if (last !== undefined) replayAll(state, dir, journals, last.journal, options.log);
      await saveFile(state, file);
      const store = new OpenStore(dir, lock, file, state, options, last?.number ?? 0, Math.max(0, ...journals) + 1);
      await store.#checkpoints.make(store.#journal.number);
      for (const number of journals) await removeJournal(dir, number);
      if (isNew) finishFolder(dir, options.namespace);
      openStores.add(store);
      return store;
    } catch (error) {
      await file?.abort();
      await file?.close();
      await lock.release();
      if (options.dir === MEMORY) rmSync(dir, { recursive: true, force: true });
      throw openError(dir, error);
    }
  }

  private constructor(
    dir: string,
    lock: FolderLock,
    file: LmdbFile,
    state: State,
    options: OpenOptions,
    lastCheckpoint: number,
    journal: number,
  ) {
    const { clock, log } = options;
    const isKept = options.dir !== MEMORY;
    this.#options = options;
    this.#dir = dir;
    this.#lock = lock;
    this.#file = file;
    this.#state = state;
    this.#reserve = new Reserve({ dir, isKept, clock, log, freeBytes: () => file.freeBytes() });
    this.#checkpoints = new Checkpoints(dir, lastCheckpoint, isKept);
    this.#journal = new Journal(dir, journal);
    this.#calls = new CallQueue(this.#keeper(), new EntryWriter());
  }

  async close(): Promise<void> {
    if (!openStores.delete(this)) return;
    while ((this.#calls.carryOut() ?? this.#checkpoint) !== undefined) await (this.#gate ?? this.#checkpoint);
    this.#cancelTimer?.();
    try {
      if (this.#failure === undefined && this.#dirtySince !== undefined) {
        // With this it is safe; the checkpoint makes the next opening quick.
        await this.#journal.sync();
        await this.#makeCheckpoint().catch((error: unknown) => {
          this.#options.log.warn({ dir: this.#dir, err: error }, "the store was closed without a checkpoint");
        });
      }
    } finally {
      this.#cancelTimer?.();
      await this.#release();
      await this.#lock.release();
      if (this.#options.dir === MEMORY) rmSync(this.#dir, { recursive: true, force: true });
    }
  }

  /** Lets go of everything but the lock. */
  async #release(): Promise<void> {
    this.#unsafe?.close();
    this.#journal.close();
    this.#checkpoints.close();
    this.#reserve.close();
    await this.#file.abort();
    await this.#file.close();
  }

  run<Answer>(call: Call<Answer>): Promise<Answer> {
    return this.#calls.add(call);
  }

  /** Answers from the state after the calls before it. */
  async read<Answer>(question: (state: State) => Answer): Promise<Answer> {
    for (let gate = this.#calls.carryOut(); gate !== undefined; gate = this.#calls.carryOut()) await gate;
    if (this.#failure !== undefined) throw this.#failure;
    return this.#ask(question);
  }

  #keeper(): Keeper {
    return {
      state: this.#state,
      gate: () => this.#gate,
      failure: () => this.#failure,
      admit: (verb) => {
        if (TAKING.has(verb)) this.#reserve.requireRoom();
      },
      ask: (question) => this.#ask(question),
      append: (entries, verbs) => this.#append(entries, verbs),
      wake: (message) => this.#options.wake(message),
      applied: () => {
        const journal = this.#journal;
        this.#schedule();
        return this.#options.sync === "always" ? this.#synced(journal) : undefined;
      },
      giveUp: (from) => this.#giveUp(from),
    };
  }

  #ask<Answer>(question: (state: State) => Answer): Answer {
    try {
      return question(this.#state);
    } catch (error) {
      const known = storeError(error);
      // A write that failed within lmdb shows at the next read.
      if (known !== error) this.#giveUp();
      throw known;
    }
  }

  /** Proves that the disk takes writes. A full one does: reports still get through. */
  async probe(): Promise<void> {
    while (this.#gate !== undefined) await this.#gate;
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.#reserve.probe();
    } catch (error) {
      if (!isFull(error, this.#dir)) throw storeError(error);
    }
  }

  #append(entries: EntryWriter, verbs: readonly Journaled[]): number | "no room" {
    const at = this.#journal.length;
    try {
      this.#journal.append(entries.written, entries.starts);
      return at;
    } catch (error) {
      if (!isFull(error, this.#dir)) throw storeError(error);
      if (verbs.length > 1) return "no room";
      if (verbs.some((verb) => TAKING.has(verb)) || !this.#reserve.release()) {
        // Winding the journal up frees its room.
        if (this.#checkpoint === undefined && this.#dirtySince !== undefined) this.#startCheckpoint();
        throw storeError(error);
      }
      return this.#append(entries, verbs);
    }
  }

  async #synced(journal: Journal): Promise<void> {
    try {
      // A journal is worth nothing without the one before it.
      await this.#unsafe?.sync();
      await journal.sync();
    } catch (error) {
      this.#fail(error);
      throw this.#failure;
    }
  }

  /** Something changed: sees to it that it gets to the disk in time. */
  #schedule(): void {
    const { clock } = this.#options;
    this.#dirtySince ??= clock.monotonic();
    const load = Math.max(this.#file.writes / CHECKPOINT_WRITES, this.#journal.length / CHECKPOINT_BYTES);
    if (load >= 1) {
      if (this.#checkpoint === undefined) this.#startCheckpoint();
      else if (load >= LOAD_MAX) this.#gate ??= this.#waitFor(this.#checkpoint);
    }
    this.#cancelTimer ??= clock.after(SYNC_MS, () => {
      this.#cancelTimer = undefined;
      void this.#tick();
    });
  }

  async #waitFor(checkpoint: Promise<void>): Promise<void> {
    await checkpoint;
    this.#gate = undefined;
  }

  async #tick(): Promise<void> {
    const journal = this.#journal;
    if (this.#options.sync !== "no") await this.#synced(journal).catch(() => {});
    if (this.#failure !== undefined || this.#dirtySince === undefined) return;
    const isOld = this.#options.clock.monotonic() - this.#dirtySince >= CHECKPOINT_MS;
    if (isOld && this.#checkpoint === undefined) this.#startCheckpoint();
    this.#schedule();
  }

  /** Only to be called when the verb in progress has done its work, or will do none. Not while the state is rebuilt. */
  #startCheckpoint(): void {
    const { clock } = this.#options;
    if (this.#gate !== undefined || clock.monotonic() < this.#checkpointNotBefore) return;
    this.#checkpoint = this.#makeCheckpoint()
      .catch((error: unknown) => {
        if (!isFull(error, this.#dir)) return this.#fail(error);
        this.#checkpointNotBefore = clock.monotonic() + FULL_RETRY_MS;
        this.#options.log.warn({ dir: this.#dir, err: error }, "the disk is full; the journal cannot be wound up");
        this.#reserve.release();
      })
      .finally(() => {
        this.#checkpoint = undefined;
        if (this.#dirtySince !== undefined) this.#schedule();
      });
  }

  async #makeCheckpoint(): Promise<void> {
    if (this.#unsafe === undefined) {
      let letIn = () => {};
      this.#gate = new Promise((resolve) => {
        letIn = resolve;
      });
      try {
        this.#unsafe = await this.#rotate();
      } finally {
        this.#gate = undefined;
        letIn();
      }
    }
    await this.#unsafe.sync();
    await this.#checkpoints.make(this.#journal.number);
    const { number } = this.#unsafe;
    this.#unsafe.close();
    this.#unsafe = undefined;
    await removeJournal(this.#dir, number);
  }

  /** Commits, and begins a new journal. Returns the old one, which is needed until there is a checkpoint. */
  async #rotate(): Promise<Journal> {
    const next = new Journal(this.#dir, this.#journal.number + 1);
    try {
      await this.#commit();
    } catch (error) {
      next.close();
      await removeJournal(this.#dir, next.number);
      throw error;
    }
    const old = this.#journal;
    this.#journal = next;
    return old;
  }

  async #commit(): Promise<void> {
    try {
      await saveFile(this.#state, this.#file);
    } catch (error) {
      try {
        this.#reload();
      } catch (second) {
        // At once: verbs that wait at the gate must not find a store without a transaction.
        this.#fail(second);
      }
      throw error;
    }
    this.#dirtySince = undefined;
  }

  /** The transaction is gone: does again what happened since the last commit. */
  #reload(): void {
    this.#state.topics.forget();
    this.#file.begin();
    replayOne(this.#state, this.#dir, this.#journal.number);
  }

  /** Drops the entries from `from` on, if that is given, and rebuilds the state by the others. */
  #giveUp(from?: number): void {
    this.#state.wakes = [];
    const rebuild = async () => {
      try {
        if (from !== undefined) this.#journal.cut(from);
        await this.#file.abort();
        this.#reload();
      } catch (error) {
        this.#fail(error);
      }
      this.#gate = undefined;
    };
    this.#gate ??= rebuild();
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    // After a failed sync the kernel may have dropped what it could not write: nothing said from here on could be kept.
    this.#failure = new TaskqueueError("STORE_READ_ONLY", "the embedded store failed, and must be opened anew", {
      cause: error,
    });
    this.#options.log.error({ dir: this.#dir, err: error }, "the embedded store failed; it takes no more changes");
  }
}

/** Commits, and begins anew. When it throws, no transaction is open. */
async function saveFile(state: State, file: LmdbFile): Promise<void> {
  try {
    state.topics.save();
  } catch (error) {
    await file.abort();
    throw error;
  }
  await file.commit();
  file.begin();
}
