/**
 * Sees to it that nothing a test starts outlives the test process, however that
 * process ends: normally, by a signal, or by kill -9.
 *
 * A small shell process reads from a pipe that only this process holds. When
 * the pipe closes it kills the process groups and removes the folders it was
 * told of and that were not handed back. Every child process of a test is
 * started through process.ts or redis.ts, which register it here.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Writable } from "node:stream";

const FOLDER_PREFIX = join(tmpdir(), "taskqueue-test-");

const SCRIPT = `
groups=" "; folders=" "
while read -r what name; do
  case $what in
    +group) groups="$groups$name " ;;
    -group) groups=$(echo "$groups" | sed "s: $name : :") ;;
    +folder) folders="$folders$name " ;;
    -folder) folders=$(echo "$folders" | sed "s: $name : :") ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
for folder in $folders; do case $folder in "$1"*) rm -rf "$folder" ;; esac; done
`;

let guardian: ChildProcessByStdio<Writable, null, null> | undefined;

function tell(line: string): void {
  if (guardian === undefined) {
    // Detached, so that a Ctrl-C meant for the tests does not end it first.
    guardian = spawn("sh", ["-c", SCRIPT, "guardian", FOLDER_PREFIX], {
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
    });
    guardian.unref();
    // A pipe to a child is a socket; without unref it would keep the tests running.
    if ("unref" in guardian.stdin && typeof guardian.stdin.unref === "function") guardian.stdin.unref();
  }
  guardian.stdin.write(`${line}\n`);
}

/** The process must lead its own group (`detached: true`). */
export function guardGroup(pid: number): void {
  tell(`+group ${pid}`);
}

/** Call it when the process has ended, since its id may be given to another one. */
export function releaseGroup(pid: number): void {
  tell(`-group ${pid}`);
}

/** A new temporary folder, removed at the end of the test process, or earlier by `removeFolder`. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(FOLDER_PREFIX);
  tell(`+folder ${folder}`);
  return folder;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  tell(`-folder ${folder}`);
}
