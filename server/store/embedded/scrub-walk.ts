/** Where a walk of scrub.ts is, and how that is told in a cursor. */
import { createHash } from "node:crypto";
import { invalid } from "../../domain/errors.js";
import type { Change } from "./change.js";

export const SECTIONS = ["leased", "status", "ready", "parked", "retention", "external", "figures", "end"] as const;
export type Section = (typeof SECTIONS)[number];

export const COUNTED = ["ready", "leased", "scheduled", "dead", "completedKept", "cancelledKept", "bytes"] as const;
export type Counted = Record<(typeof COUNTED)[number], number>;

/** Where a walk is; between calls it is the cursor. */
export interface Walk {
  section: Section;
  /** The last key that was looked at in the section, in hex; "" before the first. */
  key: string;
  /** Tells how the figures were when the walk began. */
  readonly before: string;
  readonly counted: Counted;
}

export function begin(change: Change): Walk {
  return { section: SECTIONS[0], key: "", before: fingerprint(change), counted: counts([]) };
}

/** In the order of COUNTED. */
function counts(numbers: readonly number[]): Counted {
  const [ready = 0, leased = 0, scheduled = 0, dead = 0, completedKept = 0, cancelledKept = 0, bytes = 0] = numbers;
  return { ready, leased, scheduled, dead, completedKept, cancelledKept, bytes };
}

/** Every verb that moves a task changes a figure. */
export function fingerprint({ topic }: Change): string {
  return createHash("sha1").update(JSON.stringify(topic.figures)).digest("base64url");
}

export function encodeWalk({ topic }: Change, { section, key, before, counted }: Walk): string {
  const fields = [topic.name, section, key, before, ...COUNTED.map((name) => counted[name])];
  return Buffer.from(JSON.stringify(fields)).toString("base64url");
}

export function decodeWalk({ topic }: Change, cursor: string): Walk {
  const fields = parse(cursor);
  const [name, word, key, before, ...numbers] = fields;
  const section = SECTIONS.find((one) => one === word);
  const isOurs = name === topic.name && typeof key === "string" && typeof before === "string";
  if (!isOurs || section === undefined || !/^([0-9a-f]{2})*$/.test(key) || !numbers.every(Number.isSafeInteger)) {
    throw invalid("after", cursor, "must be the cursor of the piece before");
  }
  return { section, key, before, counted: counts(numbers.map(Number)) };
}

function parse(cursor: string): unknown[] {
  try {
    const fields: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    return Array.isArray(fields) ? fields : [];
  } catch {
    // Not a cursor of this store; the caller says so.
    return [];
  }
}
