/** The broker's version, as its package says. */
import { readFileSync } from "node:fs";

function readVersion(): string {
  // From source this file is beside package.json; built, it is one folder below.
  for (const path of ["package.json", "../package.json"]) {
    try {
      const parsed: unknown = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
      if (typeof parsed === "object" && parsed !== null && "version" in parsed) return String(parsed.version);
    } catch {
      // Not here; look in the next place.
    }
  }
  return "unknown";
}

export const VERSION = readVersion();
