/** What a process takes up, as Linux tells it; undefined on other systems, and for a process that is gone. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface Resources {
  readonly files: number;
  readonly sockets: number;
  readonly residentBytes: number;
}

export function resourcesOf(pid: number): Resources | undefined {
  try {
    const links = readdirSync(`/proc/${pid}/fd`).flatMap((name) => linkOf(`/proc/${pid}/fd/${name}`) ?? []);
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return {
      files: links.length,
      sockets: links.filter((link) => link.startsWith("socket:")).length,
      residentBytes: Number(resident ?? 0) * 1024,
    };
  } catch {
    return undefined;
  }
}

/** A file may be closed between the listing and the look. */
function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
