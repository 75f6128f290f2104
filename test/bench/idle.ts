/** What an idle system costs. */
import { setTimeout as sleep } from "node:timers/promises";
import { nowUs } from "./clock.js";
import { cpuSeconds, residentBytes } from "./cpu.js";
import { type Benchmark, runIfMain } from "./harness.js";
import { redisFigures } from "./redis-info.js";
import type { CrowdConfig } from "./roles/crowd.js";
import type { Figures } from "./stage.js";
import { durabilityOf, STORES } from "./systems.js";
import { Taskqueue } from "./taskqueue.js";

export const idle: Benchmark = {
  name: "idle",
  question: "what do workers cost that have nothing to do?",
  method: [
    "So many workers, a connection and a session each, in one process, each serving one of so many",
    "topics. Nobody enqueues. CPU in percent of one core. Commands per second as Redis counts them,",
    "those inside scripts included; scripts are the calls of scripts among them. What so many workers",
    "leave behind as they connect is collected in the first minute, which is not measured.",
  ],
  options: {
    workers: { default: "0,1000", help: "workers" },
    topics: { default: "100", help: "topics they serve" },
    settle: { default: "60", help: "seconds that pass before" },
    window: { default: "60", help: "seconds measured; garbage is collected a few times in them" },
    system: { default: "redis,embedded", help: "redis, embedded" },
  },
  columns: [
    { figure: "brokerCpu", title: "broker % of a core", digits: 2, range: true },
    { figure: "redisCpu", title: "redis %", digits: 2 },
    { figure: "crowdCpu", title: "workers %", digits: 2 },
    { figure: "commands", title: "Redis commands/s", digits: 1 },
    { figure: "scripts", title: "scripts/s", digits: 1 },
    { figure: "brokerMiB", title: "broker MiB" },
  ],
  cases: (options) =>
    options.someOf("system", STORES).flatMap((name) =>
      options.numbers("workers").map((workers) => ({
        of: { system: name, durability: durabilityOf(name, options.system), workers, topics: options.number("topics") },
        async measure() {
          await using system = await Taskqueue.start({ ...options.system, store: name });
          const config: CrowdConfig = { target: system.addresses, workers, topics: options.number("topics") };
          await using crowd = await system.startRole("crowd", "roles/crowd.ts", config);
          const { stats } = await system.client.stats();
          if (stats.workers !== workers) throw new Error(`WRONG COUNT: ${stats.workers} workers instead of ${workers}`);
          await sleep(options.number("settle") * 1000);
          return await watchIdle(system, [...system.servers, crowd], options.number("window"));
        },
      })),
    ),
};

async function watchIdle(system: Taskqueue, processes: Taskqueue["servers"], seconds: number): Promise<Figures> {
  const look = async () => ({
    cpu: processes.map(({ pid }) => cpuSeconds(pid)),
    redis: system.redis && (await redisFigures(system.redis)),
    atUs: nowUs(),
  });
  const before = await look();
  await sleep(seconds * 1000);
  const after = await look();
  const elapsed = (after.atUs - before.atUs) / 1e6;
  const figures: Figures = {};
  processes.forEach(({ name, pid }, index) => {
    figures[`${name}Cpu`] = (((after.cpu[index] ?? 0) - (before.cpu[index] ?? 0)) / elapsed) * 100;
    if (name === "broker") figures.brokerMiB = residentBytes(pid) / 2 ** 20;
  });
  if (before.redis && after.redis) {
    // Looking costs one command itself.
    figures.commands = (after.redis.commands - before.redis.commands - 1) / elapsed;
    figures.scripts = (after.redis.scripts - before.redis.scripts) / elapsed;
  }
  return figures;
}

await runIfMain(import.meta, idle);
