/**
 * The data folder: whether it may be used, and what is in it.
 *
 * A file named `store.json` says that the folder is ours, in which layout, and
 * for which namespace. It is there before anything else, marked unfinished until
 * the first checkpoint is on the disk: a folder whose making was cut off held no
 * tasks yet, and is made anew.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { TaskqueueError } from "../../domain/errors.js";
import { CHECKPOINT_FILE, DATA_FILE } from "./checkpoint.js";
import { LOCK_NAME } from "./folder-lock.js";
import { JOURNAL_NAME } from "./journal.js";
import { PROBE_FILE, RESERVE_FILE } from "./reserve.js";

const MARKER_FILE = "store.json";
/**
 * Rises with every change that an older version would misread. Since 2, tasks that went straight to a worker have no
 * status; since 3, the journal may name the verbs for tasks of any topics, and ended ids stand in chunks of many topics.
 */
const LAYOUT = 3;
/** The layouts that are taken over as they are. */
const LAYOUTS_BEFORE: readonly number[] = [1, 2];

const OURS: ReadonlySet<string> = new Set([
  MARKER_FILE,
  `${MARKER_FILE}.new`,
  DATA_FILE,
  `${DATA_FILE}-lock`,
  CHECKPOINT_FILE,
  RESERVE_FILE,
  PROBE_FILE,
]);

function isOurs(file: string): boolean {
  return OURS.has(file) || JOURNAL_NAME.test(file);
}

interface Marker {
  readonly taskqueue: "embedded store";
  readonly layout: number;
  readonly namespace: string;
  readonly finished: boolean;
}

/** Makes the folder when there is none. Throws a TaskqueueError when it cannot be written to. */
export function makeFolder(dir: string): void {
  refusals(dir, () => {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const probe = join(dir, `${MARKER_FILE}.new`);
    closeSync(openSync(probe, "w"));
    rmSync(probe);
  });
}

/**
 * Checks the folder, which must be locked. Tells whether it holds a store; when
 * it does not, it is empty, and marked as one that is being made.
 */
export function claimFolder(dir: string, namespace: string): "holds a store" | "is new" {
  const files = readdirSync(dir).filter((file) => !LOCK_NAME.test(file));
  const foreign = files.filter((file) => !isOurs(file));
  if (!files.includes(MARKER_FILE)) {
    if (files.length > 0) {
      throw refusal(dir, `holds something else (${foreign[0] ?? files[0] ?? ""}); name an empty folder, or a new one`);
    }
    writeMarker(dir, namespace, false);
    return "is new";
  }
  const marker = readMarker(dir);
  if (marker.layout !== LAYOUT && !LAYOUTS_BEFORE.includes(marker.layout)) {
    throw refusal(dir, `holds a store of layout ${marker.layout}; this version of taskqueue reads layout ${LAYOUT}`);
  }
  if (marker.namespace !== namespace) {
    throw refusal(dir, `holds namespace ${JSON.stringify(marker.namespace)}, not ${JSON.stringify(namespace)}`);
  }
  if (marker.finished) {
    if (marker.layout !== LAYOUT) writeMarker(dir, namespace, true);
    return "holds a store";
  }
  for (const file of files) if (isOurs(file) && file !== MARKER_FILE) rmSync(join(dir, file));
  return "is new";
}

/** The store in the folder is complete: from now on its files are never thrown away. */
export function finishFolder(dir: string, namespace: string): void {
  writeMarker(dir, namespace, true);
}

function refusal(dir: string, why: string): TaskqueueError {
  return new TaskqueueError("STORE_UNAVAILABLE", `${dir} ${why}`);
}

function readMarker(dir: string): Marker {
  try {
    const marker: Marker = JSON.parse(readFileSync(join(dir, MARKER_FILE), "utf8"));
    if (marker.taskqueue === "embedded store") return marker;
  } catch (error) {
    throw new TaskqueueError("STORE_UNAVAILABLE", `${dir} has an unreadable ${MARKER_FILE}`, { cause: error });
  }
  throw refusal(dir, `has a ${MARKER_FILE} that is not taskqueue's`);
}

function writeMarker(dir: string, namespace: string, finished: boolean): void {
  const marker: Marker = { taskqueue: "embedded store", layout: LAYOUT, namespace, finished };
  const path = join(dir, MARKER_FILE);
  refusals(dir, () => {
    const file = openSync(`${path}.new`, "w", 0o600);
    writeSync(file, `${JSON.stringify(marker, undefined, 2)}\n`);
    fsyncSync(file);
    closeSync(file);
    renameSync(`${path}.new`, path);
    const folder = openSync(dir, "r");
    fsyncSync(folder);
    closeSync(folder);
  });
}

/** Runs what may be refused by the system, and says why in words. */
function refusals(dir: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    switch (code) {
      case "EACCES":
      case "EPERM":
      case "EROFS":
        throw new TaskqueueError("STORE_READ_ONLY", `${dir} cannot be written to (${code})`, { cause: error });
      case "ENOSPC":
      case "EDQUOT":
        throw new TaskqueueError("STORE_FULL", `the disk of ${dir} is full`, { cause: error });
      case "EEXIST":
      case "ENOTDIR":
        throw new TaskqueueError("STORE_UNAVAILABLE", `${dir} is not a folder`, { cause: error });
      default:
        throw new TaskqueueError("STORE_UNAVAILABLE", `${dir} cannot be used: ${String(error)}`, { cause: error });
    }
  }
}
