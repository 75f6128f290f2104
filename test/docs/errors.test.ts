/** docs/errors.md against the tables of codes. */
import { expect, test } from "vitest";
import { CODES } from "../../server/domain/errors.js";
import { read } from "../support/source.js";
import { rowsUnder, unquoted } from "./markdown.js";

const text = read("docs/errors.md");

test("every code of the broker has its row: status, retry, meaning, and what to do", () => {
  const rows = rowsUnder(text, "Errors of a broker");
  expect(rows.map((row) => row.slice(0, 4).map(unquoted))).toEqual(
    Object.entries(CODES).map(([code, { grpc, retry, meaning }]) => [code, grpc, retry, meaning]),
  );
  for (const [code, , , , advice] of rows) expect(advice, code).toMatch(/^[A-Z].*\.$/);
});

test("every code of the SDK's own has its row", () => {
  const union = /export type ErrorCode =([^;]*);/.exec(read("sdk/errors.ts"))?.[1] ?? "";
  const all = [...union.matchAll(/^ {2}\| "([A-Z_]+)"/gm)].map(([, code = ""]) => code);
  const own = all.filter((code) => !(code in CODES));
  expect(rowsUnder(text, "Errors of the SDK").map(([code = ""]) => unquoted(code))).toEqual(own);
  expect(all, "the SDK knows every code of the broker").toEqual(expect.arrayContaining(Object.keys(CODES)));
});
