/** docs/operations.md against the table of options and the exit codes. */
import { expect, test } from "vitest";
import { EXIT_CODES } from "../../server/cli/exit-code.js";
import { type ConfigOption, OPTIONS } from "../../server/config.js";
import { read } from "../support/source.js";
import { rowsUnder, unquoted } from "./markdown.js";

const text = read("docs/operations.md");

test("every option of serve has its row", () => {
  const options: ConfigOption<unknown>[] = Object.values(OPTIONS);
  const byDefault = (text: string) => (text === "" ? "none" : text.startsWith("<") ? text.replace(/[<>]/g, "") : text);
  expect(rowsUnder(text, "Starting a broker").map((row) => row.map(unquoted))).toEqual(
    options.map((row) => [row.flag, row.env, byDefault(row.default), row.rule, row.help]),
  );
});

test("every exit code has its row", () => {
  expect(rowsUnder(text, "Exit codes")).toEqual(
    Object.values(EXIT_CODES).map(({ code, meaning }) => [String(code), meaning]),
  );
});
