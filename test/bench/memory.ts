/** What a waiting task costs in memory, or on the disk. */
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Benchmark, runIfMain } from "./harness.js";
import { ratios } from "./ratios.js";
import { redisFigures } from "./redis-info.js";
import { Stage } from "./stage.js";
import type { System } from "./system.js";
import { durabilityOf, SYSTEM_NAMES, startSystem } from "./systems.js";
import { Taskqueue } from "./taskqueue.js";

/** Redis' own buffers empty within about a second. */
const SETTLE_MS = 2_000;
const WARMUP_TASKS = 1_000;

export const memory: Benchmark = {
  name: "memory",
  question: "how many bytes does a waiting task take, beyond its payload?",
  method: [
    "Redis: growth of used_memory, without the buffers of clients and of the append-only file. Embedded:",
    "growth of the data file. The payload is the JSON text of the task's arguments; all else is overhead,",
    "the task's id included.",
  ],
  options: {
    tasks: { default: "100000", help: "tasks waiting" },
    payload: { default: "100", help: "bytes of a task's JSON arguments" },
    system: { default: "redis,embedded", help: "redis, embedded, or a peer on Redis" },
  },
  columns: [
    { figure: "bytes", title: "bytes/task", range: true },
    { figure: "overhead", title: "beyond payload" },
    { figure: "aofBytes", title: "AOF bytes/task" },
  ],
  cases: (options) =>
    options.someOf("system", SYSTEM_NAMES).flatMap((name) =>
      options.numbers("tasks").flatMap((tasks) =>
        options.numbers("payload").map((payloadBytes) => ({
          of: { system: name, durability: durabilityOf(name, options.system), tasks, "payload B": payloadBytes },
          async measure() {
            await using system = await startSystem(name, options.system);
            await using stage = await Stage.open(system, { payloadBytes, workerProcesses: 0 });
            await stage.send(WARMUP_TASKS);
            await sleep(SETTLE_MS);
            const before = await size(system);
            await stage.send(tasks);
            await sleep(SETTLE_MS);
            const after = await size(system);
            await stage.verify({ waiting: true });
            const bytes = (after.dataBytes - before.dataBytes) / tasks;
            const aofBytes = (after.aofBytes - before.aofBytes) / tasks;
            return { bytes, overhead: bytes - payloadBytes, ...(aofBytes > 0 && { aofBytes }) };
          },
        })),
      ),
    ),
  conclude: (rows) => ratios(rows, "overhead", "bytes beyond the payload (less is better)"),
};

async function size(system: System): Promise<{ dataBytes: number; aofBytes: number }> {
  if (system.redis) return redisFigures(system.redis);
  if (!(system instanceof Taskqueue) || system.folder === undefined)
    throw new Error("nobody can tell what its tasks take");
  // What the file holds: it may be longer than that.
  const { blocks } = statSync(`${system.folder}/data/data.mdb`);
  return { dataBytes: blocks * 512, aofBytes: 0 };
}

await runIfMain(import.meta, memory);
