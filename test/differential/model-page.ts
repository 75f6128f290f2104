/** The model's pages: sorted rows, and cursors that remember the key of the last row given. */
import assert from "node:assert";
import { invalid } from "../../server/domain/errors.js";

export type SortKey = readonly (string | number)[];

export function compare(a: SortKey, b: SortKey): number {
  for (const [index, left] of a.entries()) {
    const right = b[index];
    if (right !== undefined && left !== right) return left < right ? -1 : 1;
  }
  return 0;
}

/** The rows after a cursor, which holds the query it was made for and the key of the last row given. */
export function pageOf<Row extends { readonly key: SortKey }>(
  rows: readonly Row[],
  query: string,
  after: string | undefined,
  limit: number,
) {
  let rest = rows;
  if (after !== undefined) {
    const [query2, key] = parseCursor(after);
    if (query2 !== query) throw invalid("after", after, "must come from the page before");
    rest = rows.filter((row) => compare(row.key, key) > 0);
  }
  const page = rest.slice(0, limit);
  const last = page.at(-1);
  const next = last !== undefined && rest.length > limit ? { next: JSON.stringify([query, last.key]) } : {};
  return { page, next };
}

function parseCursor(cursor: string): [query: string, key: SortKey] {
  try {
    const [query, key]: [string, SortKey] = JSON.parse(cursor);
    assert(typeof query === "string" && Array.isArray(key));
    return [query, key];
  } catch {
    throw invalid("after", cursor, "must be a cursor");
  }
}
