/** Reads tasks from text: the arguments of `enqueue`, and lines of JSON on its standard input. */
import type { EnqueueEntry } from "@taskqueue/sdk";
import { UsageError } from "./exit-code.js";

export type Entry = EnqueueEntry<unknown[]>;

/** One JSON value. Integers that a double cannot hold are refused rather than rounded. */
export function parseJson(text: string, where: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const hint = /^[^"'[{]*$/.test(text) ? `; a text needs quotes: '${JSON.stringify(text)}'` : "";
    throw new UsageError(`${where} must be JSON${hint} (got ${preview(text)})`);
  }
  for (const [literal] of text.replace(/"(?:[^"\\]|\\.)*"/g, '""').matchAll(/-?\d{16,}(?![\d.eE])/g)) {
    if (BigInt(literal) !== BigInt(Number(literal))) {
      throw new UsageError(`${where} must not hold ${literal}, which is no exact JSON number: send it as a text`);
    }
  }
  return value;
}

/**
 * One line of input: a list is the task's arguments; an object names them as
 * `args`, beside options in the words of the SDK (`id`, `externalId`, `runAt`,
 * `delayMs` …), whose names and values the SDK checks.
 */
export function parseEntry(line: string, where: string): Entry {
  const value = parseJson(line, where);
  if (Array.isArray(value)) return { args: value };
  if (typeof value !== "object" || value === null) {
    throw new UsageError(`${where} must be a list of arguments or an object (got ${preview(line)})`);
  }
  const { args = [], runAt, ...options } = value as { args?: unknown; runAt?: unknown };
  if (!Array.isArray(args))
    throw new UsageError(`${where}: args must be a list (got ${preview(JSON.stringify(args))})`);
  if (runAt === undefined) return { ...options, args };
  const at = new Date(typeof runAt === "string" ? runAt : Number.NaN);
  if (Number.isNaN(at.getTime())) {
    throw new UsageError(
      `${where}: runAt must be a moment such as 2030-01-31T12:00:00Z (got ${preview(JSON.stringify(runAt))})`,
    );
  }
  return { ...options, args, runAt: at };
}

function preview(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 59)}…` : text);
}
