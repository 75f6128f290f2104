/**
 * Ours beside other queues, behind `make bench-peers`: the same payload, the
 * same concurrency, the same Redis settings, in one alternating run.
 *
 * Each peer is used as its own documentation advises. BullMQ: addBulk for many
 * jobs, `concurrency`, removeOnComplete; four workers share a high concurrency. beanstalkd: pipelined puts, a
 * connection per job held, the binlog synced once a second like Redis'
 * append-only file. asynq: its Go client and server, many goroutines that
 * enqueue, `Concurrency`. ARGS="--in-flight 200" and the like go to every part.
 */
import { giveUp, run } from "../harness.js";
import { lifecycle } from "../lifecycle.js";
import { memory } from "../memory.js";
import { pickup } from "../pickup.js";
import { PEERS } from "../systems.js";
import { install } from "./install.js";

/** beanstalkd has no Redis whose memory could be read. */
const WITHOUT_REDIS = "beanstalkd";
const PARTS = { lifecycle, pickup, memory } as const;

async function main(): Promise<void> {
  const [first = "", ...rest] = process.argv.slice(2);
  const chosen = Object.keys(PARTS).filter((name) => name === first || !(first in PARTS));
  const args = first in PARTS ? rest : process.argv.slice(2);
  const present: string[] = [];
  for (const peer of PEERS) {
    const missing = install(peer);
    if (missing === undefined) present.push(peer);
    else process.stdout.write(`Without ${peer}: ${missing}\n`);
  }
  process.stdout.write("Without Faktory: neither apt-get nor the Go module proxy has it.\n");
  const systems = ["redis", ...present];
  for (const part of Object.values(PARTS)) {
    if (!chosen.includes(part.name)) continue;
    const own = part === lifecycle ? ["--in-flight", "200,1000"] : [];
    const able = part === memory ? systems.filter((name) => name !== WITHOUT_REDIS) : systems;
    await run(part, ["--system", able.join(","), ...own, ...args]);
  }
}

await main().catch(giveUp);
