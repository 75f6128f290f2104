/**
 * A system under test, ours or a peer's: its servers run, and it knows how to
 * start a producer and workers for itself, and how to tell what it has stored.
 */
import type { RedisServer } from "../support/redis.js";
import type { Role } from "./role.js";
import type { ProducerConfig } from "./roles/producing.js";
import type { WorkerConfig } from "./roles/working.js";

/** A process whose CPU time is counted. */
export interface Counted {
  readonly name: string;
  readonly pid: number;
}

export interface System extends AsyncDisposable {
  readonly servers: readonly Counted[];
  /** The Redis it keeps its tasks in, if it does. */
  readonly redis?: RedisServer | undefined;
  startProducer(config: Omit<ProducerConfig, "target">): Promise<Role>;
  startWorker(config: Omit<WorkerConfig, "target">): Promise<Role>;
  /**
   * Complaints, when what the system has counted does not agree with `sent`
   * tasks put in and, unless `waiting`, all of them done. Empty when all is well.
   */
  audit(sent: number, waiting?: boolean): Promise<string[]>;
}

export interface SystemOptions {
  /** Write CPU profiles of our own processes into this folder. */
  profile?: string | undefined;
  /** fsync of Redis' append-only file, and of the peers' logs. */
  appendonly: "always" | "everysec" | "no";
  /** fsync of the embedded store. */
  sync: "always" | "everysec" | "no";
}
