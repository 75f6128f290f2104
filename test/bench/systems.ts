/** Everything that can be measured, by name: ours on each store, and the peers. */
import { Asynq } from "./peers/asynq.js";
import { Beanstalkd } from "./peers/beanstalkd.js";
import { BullMq } from "./peers/bullmq.js";
import type { System, SystemOptions } from "./system.js";
import { Taskqueue } from "./taskqueue.js";

export const STORES = ["redis", "redis-cluster", "embedded"] as const;
export const PEERS = ["bullmq", "beanstalkd", "asynq"] as const;
export const SYSTEM_NAMES = [...STORES, ...PEERS] as const;

export type StoreName = (typeof STORES)[number];
export type PeerName = (typeof PEERS)[number];
export type SystemName = (typeof SYSTEM_NAMES)[number];

export function startSystem(name: SystemName, options: SystemOptions): Promise<System> {
  switch (name) {
    case "redis":
    case "redis-cluster":
    case "embedded":
      return Taskqueue.start({ ...options, store: name });
    case "bullmq":
      return BullMq.start(options);
    case "beanstalkd":
      return Beanstalkd.start(options);
    case "asynq":
      return Asynq.start(options);
  }
}

/** When a system syncs what it accepted to the disk, as it is called in its own configuration. */
export function durabilityOf(name: SystemName, { appendonly, sync }: SystemOptions): string {
  if (name === "embedded") return `sync ${sync}`;
  if (name !== "beanstalkd") return `AOF ${appendonly}`;
  return { always: "binlog -f0", everysec: "binlog -f1000", no: "binlog -F" }[appendonly];
}
