/** What the figures were measured on: goes with every table and every record. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  kernel: string;
  node: string;
  redis: string;
  taskqueue: string;
  commit: string;
  /** Of one minute, before the first run: above 0.3 somebody else is using the machine. */
  load: number;
}

export function describeMachine(): Machine {
  const { version } = JSON.parse(readFileSync(`${ROOT}server/package.json`, "utf8")) as { version: string };
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    redis: firstWords(process.env.REDIS_SERVER ?? "redis-server", ["--version"], /v=(\S+)/),
    taskqueue: version,
    commit: commit(),
    load: loadavg()[0] ?? Number.NaN,
  };
}

function commit(): string {
  const hash = firstWords("git", ["rev-parse", "--short", "HEAD"], /^(\S+)/);
  const changes = firstWords("git", ["status", "--porcelain", "--", "server", "sdk", "proto"], /(\S)/);
  return changes === "unknown" ? hash : `${hash} with changes`;
}

function firstWords(command: string, args: readonly string[], pattern: RegExp): string {
  try {
    const output = execFileSync(command, args, { cwd: ROOT, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return pattern.exec(output)?.[1] ?? "unknown";
  } catch {
    return "unknown";
  }
}
