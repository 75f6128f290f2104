/**
 * An embedded store while it is open, and what surrounds each transaction:
 * memory is undone when it fails, wake-ups go out when it is committed, and the
 * answer waits for the disk when it has to.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { TaskqueueError } from "../../domain/errors.js";
import type { TopicName } from "../../domain/ids.js";
import type { Clock } from "../../lib/clock.js";
import type { Log } from "../../lib/log.js";
import type { Wake } from "../store.js";
import { Change } from "./change.js";
import { Checkpoints, DATA_FILE, restore } from "./checkpoint.js";
import { LmdbFile, storeError, type Tables } from "./database.js";
import { claimFolder, finishFolder, makeFolder } from "./folder.js";
import { type FolderLock, lockFolder } from "./folder-lock.js";
import { textKey } from "./keys.js";
import { Reserve } from "./reserve.js";
import { Topics } from "./topic-state.js";

export const MEMORY = ":memory:";
export type Sync = "everysec" | "always" | "no";

export interface OpenOptions {
  readonly dir: string;
  readonly namespace: string;
  readonly sync: Sync;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** Called after the commit, in a turn of its own. */
  readonly wake: (message: Wake) => void;
}

const PROBE = Buffer.of(0);
const CHECKPOINT_MS = { everysec: 20, always: 1000, no: undefined } as const satisfies Record<Sync, unknown>;
/** How often a full store tries to take its reserve back. */
const RESERVE_RETRY_MS = 1000;

/** What a transaction means when the disk is full. */
export type Room =
  /** It takes new things in, and is refused while the reserve is out. */
  | "takes"
  /** It frees room, or is needed for what frees room: it may use the reserve. */
  | "frees";

export class OpenStore {
  readonly topics: Topics;
  readonly #options: OpenOptions;
  readonly #dir: string;
  readonly #lock: FolderLock;
  readonly #file: LmdbFile;
  readonly #checkpoints: Checkpoints;
  readonly #reserve: Reserve | undefined;
  #wrote = false;
  #reserveTriedAt = Number.NEGATIVE_INFINITY;

  static async open(options: OpenOptions): Promise<OpenStore> {
    const dir = options.dir === MEMORY ? mkdtempSync(join(tmpdir(), "taskqueue-")) : resolve(options.dir);
    makeFolder(dir);
    const lock = await lockFolder(dir, options.clock, options.random);
    let store: OpenStore | undefined;
    try {
      const isNew = claimFolder(dir, options.namespace) === "is new";
      if (!isNew && restore(dir, options.clock)) {
        options.log.warn({ dir }, "the machine stopped without warning; the store is as of its last checkpoint");
      }
      store = new OpenStore(dir, lock, options);
      await store.#checkpoints.begin();
      if (isNew) finishFolder(dir, options.namespace);
      return store;
    } catch (error) {
      await (store === undefined ? lock.release() : store.close());
      throw openError(dir, error);
    }
  }

  private constructor(dir: string, lock: FolderLock, options: OpenOptions) {
    const { clock, log, sync } = options;
    this.#options = options;
    this.#dir = dir;
    this.#lock = lock;
    this.#file = new LmdbFile(join(dir, DATA_FILE), () => {
      this.#wrote = true;
    });
    this.topics = new Topics(this.#file.tables);
    this.#checkpoints = new Checkpoints(this.#file, { dir, clock, log, intervalMs: CHECKPOINT_MS[sync] });
    if (options.dir !== MEMORY) {
      this.#reserve = new Reserve(dir);
      this.#reserve.take();
    }
  }

  get tables(): Tables {
    return this.#file.tables;
  }

  async close(): Promise<void> {
    try {
      await this.#checkpoints.close();
    } finally {
      await this.#file.close();
      await this.#lock.release();
      if (this.#options.dir === MEMORY) rmSync(this.#dir, { recursive: true, force: true });
    }
  }

  /** Runs a verb on a topic. `create`: makes the topic when there is none. */
  change<Answer>(
    name: TopicName,
    verb: (change: Change) => Answer,
    { room = "frees", create = false }: { readonly room?: Room; readonly create?: boolean } = {},
  ): Promise<Answer> {
    let change: Change | undefined;
    let wakes: readonly Wake[] = [];
    const isKnown = this.topics.isLoaded(name);
    const undo = () => {
      change?.undo();
      if (!isKnown) this.topics.forget(name);
    };
    return this.#commit(
      () => {
        const topic = create ? this.topics.create(name) : this.topics.find(name);
        change = new Change(this.tables, this.topics, topic);
        const answer = verb(change);
        wakes = change.finish();
        return answer;
      },
      room,
      undo,
      () => wakes,
    );
  }

  /** Runs a change of other things than one topic's tasks. */
  write<Answer>(verb: () => Answer, room: Room, wakes: () => readonly Wake[] = () => []): Promise<Answer> {
    return this.#commit(verb, room, () => this.topics.forgetAll(), wakes);
  }

  /** Commits something of no value, which is not worth a checkpoint. */
  probe(): void {
    this.#transact(() => this.tables.book.put(textKey("probe"), PROBE));
    this.#wrote = false;
    if (this.#checkpoints.failure !== undefined) throw this.#checkpoints.failure;
    this.#requireRoom();
  }

  read<Answer>(verb: () => Answer): Answer {
    return this.#transact(verb);
  }

  async #commit<Answer>(
    verb: () => Answer,
    room: Room,
    undo: () => void,
    wakes: () => readonly Wake[],
  ): Promise<Answer> {
    if (this.#checkpoints.failure !== undefined) throw this.#checkpoints.failure;
    if (room === "takes") this.#requireRoom();
    const answer = this.#attempt(verb, room, undo);
    const wrote = this.#wrote;
    this.#wrote = false;
    if (wrote) this.#checkpoints.committed();
    for (const message of wakes()) queueMicrotask(() => this.#options.wake(message));
    if (wrote && this.#options.sync === "always") await this.#checkpoints.reached();
    return answer;
  }

  #attempt<Answer>(verb: () => Answer, room: Room, undo: () => void): Answer {
    try {
      return this.#transact(verb);
    } catch (error) {
      undo();
      const isFull = error instanceof TaskqueueError && error.code === "STORE_FULL";
      if (!isFull || room === "takes" || !this.#reserve?.release()) throw error;
      this.#options.log.warn({ dir: this.#dir }, "the disk is full; its reserve is used to let reports through");
      return this.#attempt(verb, room, undo);
    }
  }

  #transact<Answer>(verb: () => Answer): Answer {
    try {
      return this.#file.transact(verb);
    } catch (error) {
      throw storeError(error);
    }
  }

  /** Throws when the store is full; notices when it no longer is. */
  #requireRoom(): void {
    if (this.#reserve === undefined || this.#reserve.held) return;
    const { clock } = this.#options;
    if (clock.monotonic() - this.#reserveTriedAt >= RESERVE_RETRY_MS) {
      this.#reserveTriedAt = clock.monotonic();
      if (this.#reserve.take()) return;
    }
    throw new TaskqueueError("STORE_FULL", "the disk of the embedded store is full");
  }
}

/** What kept the store from opening, in words. */
function openError(dir: string, error: unknown): unknown {
  if (error instanceof TaskqueueError) return error;
  const known = storeError(error);
  if (known instanceof TaskqueueError && known.code !== "STORE_UNAVAILABLE") return known;
  const reason = error instanceof Error ? error.message : String(error);
  return new TaskqueueError("STORE_UNAVAILABLE", `${dir} holds a store that cannot be opened: ${reason}`, {
    cause: error,
  });
}
