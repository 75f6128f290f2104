/**
 * The lmdb environment: its tables, its transactions, and what its errors mean.
 *
 * Everything happens in synchronous transactions on the main thread, reads too:
 * a transaction that wrote nothing costs 2 µs, and every verb sees one moment.
 * lmdb itself never syncs here; when changes reach the disk is the business of
 * checkpoint.ts. A commit survives the death of the process all the same,
 * because it has been handed to the kernel.
 *
 * No value is larger than VALUE_BYTES_MAX: two fit in a page. lmdb looks for
 * adjacent free pages for a larger one, which takes milliseconds in a file with
 * a history; blobs.ts cuts large values up instead.
 */
import { type Database, open, type RootDatabase } from "lmdb";
import { TaskqueueError } from "../../domain/errors.js";

export const VALUE_BYTES_MAX = 1900;

const PAGE_BYTES = 4096;
/** Address space to begin with; lmdb doubles it when the file has grown to it. */
const MAP_BYTES = 1024 * 1024 * 1024;

export interface Row {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Ordered rows of bytes. Only to be used within `Database.transact`. */
export class Table {
  readonly #db: Database<Buffer, Buffer>;
  readonly #writes: { made: boolean };

  constructor(db: Database<Buffer, Buffer>, writes: { made: boolean }) {
    this.#db = db;
    this.#writes = writes;
  }

  /** The value, in memory that the next read overwrites, and whose length is larger than the value's. */
  peek(key: Buffer): Buffer | undefined {
    return this.#db.getBinaryFast(key);
  }

  /** A copy of the value. */
  get(key: Buffer): Buffer | undefined {
    return this.#db.getBinary(key);
  }

  put(key: Buffer, value: Buffer): void {
    this.#writes.made = true;
    this.#db.putSync(key, value);
  }

  /** Puts unless there is a value already; tells whether it did. */
  insert(key: Buffer, value: Buffer): boolean {
    this.#writes.made = true;
    // Within a transaction lmdb tells it, although its types do not say so.
    const stored: unknown = this.#db.putSync(key, value, NO_OVERWRITE);
    return stored === true;
  }

  /** Tells whether there was something to remove. */
  remove(key: Buffer): boolean {
    this.#writes.made = true;
    return this.#db.removeSync(key);
  }

  /** Copies of up to `limit` rows from `start`, which must stay as it is, to before `end`. */
  rows(start: Buffer, end: Buffer, limit: number): Row[] {
    const rows: Row[] = [];
    if (limit <= 0) return rows;
    for (const row of this.#db.getRange({ start, end, limit })) rows.push(row);
    return rows;
  }

  keys(start: Buffer, end: Buffer, limit: number): Buffer[] {
    const keys: Buffer[] = [];
    if (limit <= 0) return keys;
    for (const key of this.#db.getKeys({ start, end, limit })) keys.push(key);
    return keys;
  }

  firstKey(start: Buffer, end: Buffer): Buffer | undefined {
    return this.keys(start, end, 1)[0];
  }

  /** The last row whose key is not after `key`, and not before `lowest`. */
  floor(key: Buffer, lowest: Buffer): Row | undefined {
    for (const row of this.#db.getRange({ start: key, end: lowest, reverse: true, limit: 1 })) return row;
    return undefined;
  }

  lastKey(start: Buffer, end: Buffer): Buffer | undefined {
    for (const key of this.#db.getKeys({ start: end, end: start, reverse: true, limit: 1 })) return key;
    return undefined;
  }
}

const NO_OVERWRITE = { noOverwrite: true };
/** Commit before returning; lmdb's other flag values concern its own syncing. */
const SYNCHRONOUS_COMMIT = 2;

export class LmdbFile {
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #writes = { made: false };
  readonly #committed: () => void;
  readonly tables: ReturnType<LmdbFile["openTables"]>;

  /** @param committed called after each transaction that changed something. */
  constructor(path: string, committed: () => void) {
    this.#committed = committed;
    this.#root = open({
      path,
      noSubdir: true,
      encoding: "binary",
      keyEncoding: "binary",
      cache: false,
      maxDbs: 32,
      mapSize: MAP_BYTES,
      pageSize: PAGE_BYTES,
      noSync: true,
    });
    this.tables = this.openTables();
  }

  private openTables() {
    const table = (name: string): Table => {
      const db = this.#root.openDB<Buffer, Buffer>({ name, encoding: "binary", keyEncoding: "binary", cache: false });
      return new Table(db, this.#writes);
    };
    return {
      /** Single values of the whole store, by name. */
      book: table("book"),
      /** topic name -> number, figures. */
      topic: table("topic"),
      /** topic name -> settings, JSON. */
      settings: table("settings"),
      /** topic, id -> status: where the task is, or when and how it ended. */
      status: table("status"),
      /** topic, place -> bodies: see ready-queue.ts. */
      ready: table("ready"),
      /** topic, number -> session, bodies: see leases.ts. */
      leased: table("leased"),
      /** topic, state, due or ended moment, place -> body, for the other states. */
      parked: table("parked"),
      /** topic, moment, place -> where the body is parked. */
      retention: table("retention"),
      /** topic, number -> moment, ids that ended then. */
      ended: table("ended"),
      /** topic, external id, id -> nothing. */
      external: table("external"),
      /** topic, number, part -> bytes of something large. */
      blob: table("blob"),
      /** topic, session -> the epoch at which it is open there. */
      hold: table("hold"),
      /** session -> its state, JSON. */
      session: table("session"),
      /** session, kind, part -> bytes of what it was opened with, JSON, and of its undelivered leases. */
      sessionPart: table("session part"),
      /** moment, session -> nothing. */
      expiry: table("expiry"),
      /** number, part -> bytes of a batch of events. */
      event: table("event"),
    };
  }

  /** Runs `verb` in a transaction: what it throws undoes everything. */
  transact<Answer>(verb: () => Answer): Answer {
    this.#writes.made = false;
    const answer = this.#root.transactionSync(verb, SYNCHRONOUS_COMMIT);
    if (this.#writes.made) this.#committed();
    return answer;
  }

  /** Keeps the pages of the present state from being overwritten until the returned function is called. */
  pin(): () => void {
    const transaction = this.#root.useReadTransaction();
    return () => transaction.done();
  }

  async close(): Promise<void> {
    await this.#root.close();
  }
}

export type Tables = LmdbFile["tables"];

const LMDB_CODES: Readonly<Record<number, "full" | "read_only">> = {
  28: "full", // ENOSPC
  122: "full", // EDQUOT
  27: "full", // EFBIG
  12: "full", // ENOMEM: the map cannot grow
  [-30792]: "full", // MDB_MAP_FULL
  [-30788]: "full", // MDB_TXN_FULL
  // A write failed within the transaction, which was noticed at the commit. Only lack of room does that.
  [-30782]: "full", // MDB_BAD_TXN
  1: "read_only", // EPERM
  5: "read_only", // EIO
  13: "read_only", // EACCES
  30: "read_only", // EROFS
};

/** What an error of lmdb means to a caller. Errors that are not lmdb's are returned as they are. */
export function storeError(error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "number") return error;
  switch (LMDB_CODES[error.code]) {
    case "full":
      return new TaskqueueError("STORE_FULL", "the disk of the embedded store is full", { cause: error });
    case "read_only":
      return new TaskqueueError("STORE_READ_ONLY", "the disk of the embedded store takes no writes", { cause: error });
    default:
      return new TaskqueueError("STORE_UNAVAILABLE", `the embedded store failed: ${error.message}`, { cause: error });
  }
}
