/** What a Redis server says about itself. */
import { Redis } from "ioredis";
import type { RedisServer } from "../support/redis.js";

export interface RedisFigures {
  /** Commands run since the start, those inside scripts included. */
  commands: number;
  /** Scripts run since the start. */
  scripts: number;
  /** Memory of the data: what is used, without buffers of clients and of the append-only file. */
  dataBytes: number;
  /** Of the append-only file. */
  aofBytes: number;
}

/** Costs two commands by itself. */
export async function redisFigures(server: RedisServer): Promise<RedisFigures> {
  const client = new Redis(server.url, { lazyConnect: true, enableReadyCheck: false });
  await client.connect();
  const info = await client.info("everything");
  client.disconnect();
  const field = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? 0);
  const calls = (command: string) => Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, "m").exec(info)?.[1] ?? 0);
  return {
    commands: field("total_commands_processed"),
    scripts: calls("evalsha") + calls("eval") + calls("fcall"),
    dataBytes: field("used_memory") - field("mem_clients_normal") - field("mem_aof_buffer"),
    aofBytes: field("aof_current_size"),
  };
}
