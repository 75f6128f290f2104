/** Reads CPU profiles, as Node writes them with --cpu-prof: which functions took the time. */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { formatNumber, formatTable } from "./table.js";

interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  samples: number[];
  timeDeltas: number[];
}

const TOP = 25;

/**
 * The arguments that make Node write the profiles of a process into a folder of
 * its own, one for each thread. Those of an earlier run are removed.
 */
export function profiling(folder: string | undefined, name: string): string[] {
  if (folder === undefined) return [];
  const own = join(folder, name);
  rmSync(own, { recursive: true, force: true });
  return ["--cpu-prof", "--cpu-prof-dir", own];
}

/** For each process with profiles in `folder`, a table of the functions with the most time of their own, in its busiest thread. */
export function profileTables(folder: string): string[] {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names.sort().map((name) => {
    const threads = readdirSync(join(folder, name)).map((file) => busyTimes(join(folder, name, file)));
    const { busy, total } = threads.reduce((a, b) => (a.total > b.total ? a : b), { busy: [], total: 0 });
    const rows = busy
      .sort(([, a], [, b]) => b - a)
      .slice(0, TOP)
      .map(([where, us]) => [formatNumber((us / total) * 100, 1), formatNumber(us / 1000), where]);
    return `${name}: ${formatNumber(total / 1e6, 1)} s busy\n${formatTable(["%", "ms", "function"], rows)}\n`;
  });
}

interface BusyTimes {
  busy: (readonly [where: string, us: number])[];
  total: number;
}

function busyTimes(file: string): BusyTimes {
  const own = ownTime(JSON.parse(readFileSync(file, "utf8")) as Profile);
  const busy = [...own].filter(([where]) => !/^\((idle|program)\)/.test(where));
  return { busy, total: busy.reduce((sum, [, us]) => sum + us, 0) };
}

/** Microseconds by function. */
function ownTime({ nodes, samples, timeDeltas }: Profile): Map<string, number> {
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => {
      const file = url.replace(/^.*\/(node_modules\/|main\/|(?=dist\/))/, "").replace(/^file:\/\//, "");
      return [id, `${functionName || "(anonymous)"} ${file === "" ? "" : `${file}:${lineNumber + 1}`}`.trim()] as const;
    }),
  );
  const own = new Map<string, number>();
  samples.forEach((id, index) => {
    const name = names.get(id) ?? "?";
    own.set(name, (own.get(name) ?? 0) + (timeDeltas[index] ?? 0));
  });
  return own;
}
