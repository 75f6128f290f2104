/** What errors of lmdb and of files mean to a caller. */
import { TaskqueueError } from "../../domain/errors.js";
import { isScarce } from "./reserve.js";

/** Codes of lmdb and of the system. */
const CODES: Readonly<Record<string, "full" | "read_only">> = {
  ENOSPC: "full",
  EDQUOT: "full",
  EFBIG: "full",
  "28": "full",
  "122": "full",
  "27": "full",
  // ENOMEM: the map cannot grow.
  "12": "full",
  // MDB_MAP_FULL, MDB_TXN_FULL.
  "-30792": "full",
  "-30788": "full",
  EROFS: "read_only",
  EACCES: "read_only",
  EPERM: "read_only",
  EIO: "read_only",
  "30": "read_only",
  "13": "read_only",
  "1": "read_only",
  "5": "read_only",
};

/** What an error of lmdb or of a file means to a caller. Other errors are returned as they are. */
export function storeError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof TaskqueueError || !("code" in error)) return error;
  switch (CODES[String(error.code)]) {
    case "full":
      return new TaskqueueError("STORE_FULL", "the disk of the embedded store is full", { cause: error });
    case "read_only":
      return new TaskqueueError("STORE_READ_ONLY", "the disk of the embedded store takes no writes", { cause: error });
    default:
      // Node's own errors and assertions are bugs, not weather.
      if (typeof error.code === "string" && error.code.startsWith("ERR_")) return error;
      return new TaskqueueError("STORE_UNAVAILABLE", `the embedded store failed: ${error.message}`, { cause: error });
  }
}

/** lmdb calls it an I/O error when there was room for half a write. */
export function isFull(error: unknown, dir: string): boolean {
  const known = storeError(error);
  if (!(known instanceof TaskqueueError)) return false;
  return known.code === "STORE_FULL" || (known.code === "STORE_READ_ONLY" && isScarce(dir));
}

/** What kept the store from opening, in words. */
export function openError(dir: string, error: unknown): unknown {
  if (error instanceof TaskqueueError) return error;
  if (isFull(error, dir)) return new TaskqueueError("STORE_FULL", `the disk of ${dir} is full`, { cause: error });
  const known = storeError(error);
  if (known instanceof TaskqueueError && known.code !== "STORE_UNAVAILABLE") return known;
  const reason = error instanceof Error ? error.message : String(error);
  return new TaskqueueError("STORE_UNAVAILABLE", `${dir} holds a store that cannot be opened: ${reason}`, {
    cause: error,
  });
}
