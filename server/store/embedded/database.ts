/**
 * The lmdb file: its tables and its transaction.
 *
 * One write transaction is always open, and everything happens in it, reads too.
 * It is committed once in a while: see checkpoint.ts. What was done since is
 * kept safe by the journal. lmdb itself never syncs here.
 *
 * No value is larger than VALUE_BYTES_MAX: two fit in a page. lmdb looks for
 * adjacent free pages for a larger one, which takes milliseconds in a file with
 * a history; parts.ts cuts large values up instead.
 */
import { ABORT, type Database, open, type RootDatabase } from "lmdb";

export const VALUE_BYTES_MAX = 1900;

/** Of a page; the first two of the file are its meta pages. */
export const PAGE_BYTES = 4096;
/** Address space to begin with; lmdb doubles it when the file has grown to it. */
const MAP_BYTES = 1024 * 1024 * 1024;

export interface Row {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Ordered rows of bytes. Only to be used between `begin` and `commit`. */
export class Table {
  readonly #db: Database<Buffer, Buffer>;
  readonly #writes: { count: number };

  constructor(db: Database<Buffer, Buffer>, writes: { count: number }) {
    this.#db = db;
    this.#writes = writes;
  }

  /** How many pages the rows take. */
  pages(): number {
    const stats = this.#db.getStats();
    return figure(stats, "treeBranchPageCount") + figure(stats, "treeLeafPageCount") + figure(stats, "overflowPages");
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
    this.#writes.count += 1;
    this.#db.putSync(key, value);
  }

  /** Puts unless there is a value already; tells whether it did. */
  insert(key: Buffer, value: Buffer): boolean {
    this.#writes.count += 1;
    // Within a transaction lmdb tells it, although its types do not say so.
    const stored: unknown = this.#db.putSync(key, value, NO_OVERWRITE);
    return stored === true;
  }

  /** Tells whether there was something to remove. */
  remove(key: Buffer): boolean {
    this.#writes.count += 1;
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

/** A number in lmdb's statistics, whose type says nothing. */
function figure(stats: object, name: string): number {
  return Number(Reflect.get(stats, name));
}

const NO_OVERWRITE = { noOverwrite: true };
/** Commit before returning; lmdb's other flag values concern its own syncing. */
const SYNCHRONOUS_COMMIT = 2;

export class LmdbFile {
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #writes = { count: 0 };
  #transaction: { readonly end: (how: unknown) => void; readonly ended: Promise<unknown> } | undefined;
  readonly tables: ReturnType<LmdbFile["openTables"]>;

  constructor(path: string, mapBytes = MAP_BYTES) {
    this.#root = open({
      path,
      noSubdir: true,
      encoding: "binary",
      keyEncoding: "binary",
      cache: false,
      maxDbs: 32,
      mapSize: mapBytes,
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

  /** Changes of rows since `begin`: about how much a commit will have to write. */
  get writes(): number {
    return this.#writes.count;
  }

  begin(): void {
    this.#writes.count = 0;
    let end: (how: unknown) => void = () => {};
    // lmdb keeps a transaction open until the promise that its callback returns is settled.
    const ended = this.#root.transactionSync(
      () =>
        new Promise<unknown>((resolve) => {
          end = resolve;
        }),
      SYNCHRONOUS_COMMIT,
    );
    this.#transaction = { end, ended };
  }

  /** Bytes of pages within the file that hold nothing. Walks over all tables' heads: not for every verb. */
  freeBytes(): number {
    const used = Object.values(this.tables).reduce((pages, table) => pages + table.pages(), 0);
    return Math.max(0, figure(this.#root.getStats(), "lastPageNumber") - used) * PAGE_BYTES;
  }

  /** Hands the changes to the kernel. When it throws, they are undone. Nothing may be read or written meanwhile. */
  commit(): Promise<void> {
    return this.#end(undefined);
  }

  /** Undoes what was done since `begin`. */
  abort(): Promise<void> {
    return this.#end(ABORT);
  }

  async #end(how: unknown): Promise<void> {
    const transaction = this.#transaction;
    this.#transaction = undefined;
    transaction?.end(how);
    await transaction?.ended;
  }

  async close(): Promise<void> {
    await this.#root.close();
  }
}

export type Tables = LmdbFile["tables"];
