/**
 * How commands print: aligned tables for people, JSON for programs.
 *
 * Text that came from outside (errors, names, metadata) is printed with its
 * control characters escaped, so that no task can write to a terminal. The
 * keys of JSON are stable: what is unset is null, never missing.
 */
import { formatAge } from "../lib/quantity.js";
import type { Context } from "./context.js";

export interface Column<Row> {
  readonly title: string;
  readonly align?: "right";
  readonly cell: (row: Row) => string | number;
}

/** Lines of aligned columns under their titles; titles only when there are no rows. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ cell }) => safe(cell(row))))];
  return alignColumns(
    lines,
    columns.map(({ align }) => align),
  );
}

/** `name  value` lines; entries whose value is undefined or empty are left out. */
export function fields(entries: readonly (readonly [name: string, value: string | number | undefined])[]): string {
  const lines = entries.flatMap(([name, value]) => (value === undefined || value === "" ? [] : [[name, safe(value)]]));
  return alignColumns(lines, []);
}

function alignColumns(lines: readonly (readonly string[])[], align: readonly ("right" | undefined)[]): string {
  const widths: number[] = [];
  for (const line of lines) {
    for (const [i, cell] of line.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  return lines
    .map((line) =>
      line
        .map((cell, i) => (align[i] === "right" ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** On one line, and harmless to a terminal. */
export function safe(value: string | number): string {
  return String(value)
    .replaceAll("\n", "\\n")
    .replaceAll("\t", "\\t")
    .replace(/[\p{Cc}\u2028\u2029]/gu, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Cut to `max` characters, for tables. */
export function short(text: string, max = 60): string {
  return text.length > max ? `${text.slice(0, max - 1)}…` : text;
}

/** `2026-01-31 12:00:00.123`, in local time; empty when undefined. */
export function moment(at: Date | undefined): string {
  if (at === undefined) return "";
  const local = new Date(at.getTime() - at.getTimezoneOffset() * 60_000);
  return local.toISOString().replace("T", " ").slice(0, 23);
}

/** Empty when undefined. */
export function age(ms: number | undefined): string {
  return ms === undefined ? "" : formatAge(ms);
}

/** The value as one line of JSON: unset is null, moments are ISO 8601, bytes are base64. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(plain(value))}\n`;
}

/** The value with just these keys, in this order, each one present. */
export function pick<Item extends object, Key extends keyof Item>(item: Item, keys: readonly Key[]): object {
  return Object.fromEntries(keys.map((key) => [key, item[key]]));
}

function plain(value: unknown): unknown {
  if (value === undefined || value === null) return null;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, plain(entry)]));
  }
  return value;
}

/** Prints rows as they come: a JSON document per line, or a table in pages that share no widths. */
export async function printRows<Row>(
  context: Context,
  rows: AsyncIterable<Row> | Iterable<Row>,
  form: {
    readonly json?: boolean | undefined;
    readonly columns: readonly Column<Row>[];
    readonly toJson: (row: Row) => unknown;
  },
): Promise<number> {
  let count = 0;
  let page: Row[] = [];
  const flush = async () => {
    const first = count === page.length;
    const text = table(form.columns, page);
    await context.stdout.write(first ? text : text.slice(text.indexOf("\n") + 1));
    page = [];
  };
  for await (const row of rows) {
    count += 1;
    if (form.json) {
      await context.stdout.write(jsonLine(form.toJson(row)));
    } else if (page.push(row) === 1_000) await flush();
  }
  if (!form.json && (page.length > 0 || count === 0)) await flush();
  return count;
}
