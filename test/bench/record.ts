/**
 * Where figures are kept: a line of JSON per invocation in
 * results/<benchmark>.jsonl, which git ignores, and results/kept/<name>.json for
 * those that a document quotes.
 */
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Row } from "./harness.js";
import type { Machine } from "./machine.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FOLDER = "test/bench/results";

export interface BenchRecord {
  benchmark: string;
  question: string;
  at: string;
  command: string;
  machine: Machine;
  rows: readonly Row[];
  conclusions: readonly string[];
}

/** Returns the file's name, from the root of the repository. */
export function keepRecord(record: BenchRecord, keepAs: string): string {
  const log = `${FOLDER}/${record.benchmark}.jsonl`;
  appendFileSync(`${ROOT}${log}`, `${JSON.stringify(record)}\n`);
  if (keepAs === "") return log;
  const kept = `${FOLDER}/kept/${keepAs.replace(/[^\w.-]/g, "-")}.json`;
  mkdirSync(`${ROOT}${FOLDER}/kept`, { recursive: true });
  writeFileSync(`${ROOT}${kept}`, `${JSON.stringify(record, undefined, 2)}\n`);
  return kept;
}
