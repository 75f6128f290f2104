/**
 * The store in trouble, under a small load, with real processes: brokers keep
 * running, say clearly what is the matter, and go on by themselves; nothing that
 * was accepted is lost, and nothing runs again whose worker kept running.
 */
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { HealthCheckResponse_ServingStatus, HealthDefinition } from "@taskqueue/sdk/gen/grpc/health/v1/health.js";
import { Redis } from "ioredis";
import { createChannel, createClient } from "nice-grpc";
import { describe, expect, test } from "vitest";
import { pause, systemClock } from "../../server/lib/clock.js";
import { removeFolder, temporaryFolder } from "../support/guardian.js";
import { Load } from "../support/load.js";
import { freePort } from "../support/ports.js";
import { type Subprocess, taskqueue } from "../support/process.js";
import { RedisServer } from "../support/redis.js";
import { until } from "../support/until.js";

const TIMES = [
  "--grace",
  "2s",
  "--session-timeout",
  "4s",
  "--heartbeat",
  "1s",
  "--sweep",
  "1s",
  "--scrub",
  "1s",
  "--drain-timeout",
  "1s",
];

class BrokerProcess {
  readonly process: Subprocess;
  readonly address: string;
  readonly http: string;

  private constructor(process: Subprocess, address: string, http: string) {
    this.process = process;
    this.address = address;
    this.http = http;
  }

  static async start(args: readonly string[], listen = "127.0.0.1:0"): Promise<BrokerProcess> {
    const where = ["--listen", listen, "--http", "127.0.0.1:0", "--log-format", "json"];
    const process = await taskqueue(["serve", ...args, ...where, ...TIMES]);
    const [, address = "", http = ""] = await process.waitForLine(/"address":"([^"]+)","http":"([^"]+)"/);
    return new BrokerProcess(process, address, http);
  }

  /** What `/readyz` and the health service say; they must agree. */
  async ready(): Promise<boolean> {
    const { status } = await fetch(`http://${this.http}/readyz`);
    const channel = createChannel(this.address);
    try {
      const answer = await createClient(HealthDefinition, channel).check({});
      const serves = answer.status === HealthCheckResponse_ServingStatus.SERVING;
      if (serves !== (status === 200)) throw new Error(`/readyz says ${status}, and the health service ${serves}`);
      return serves;
    } finally {
      channel.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.process[Symbol.asyncDispose]();
  }
}

interface Trouble {
  readonly redis: RedisServer;
  readonly brokers: readonly BrokerProcess[];
  readonly load: Load;
  /** Both brokers say that they serve, or both that they do not. */
  readonly say: (ready: boolean) => Promise<void>;
}

async function withRedis(body: (trouble: Trouble) => Promise<void>): Promise<void> {
  // Whatever Redis acknowledged is on the disk: with everysec a crash of Redis may take the last second.
  await using redis = await RedisServer.start({ appendonly: "always" });
  const args = ["--redis", redis.url, "--namespace", "trouble"];
  await using first = await BrokerProcess.start(args);
  await using second = await BrokerProcess.start(args);
  const brokers = [first, second];
  await using load = await Load.start(brokers.map(({ address }) => address));
  const say = async (ready: boolean) => {
    const agree = async () => (await Promise.all(brokers.map((broker) => broker.ready()))).every((is) => is === ready);
    await until(`the brokers say that they ${ready ? "serve" : "do not serve"}`, agree, { timeoutMs: 8_000 });
  };
  await load.progresses();
  await say(true);
  await body({ redis, brokers, load, say });
  await say(true);
  await load.progresses();
  await load.finish();

  expect(load.repeated, "tasks that ran again").toEqual([]);
  expect(load.aborted, "attempts that were called off").toEqual([]);
  const { stats } = await until("the counters are at rest", async () => {
    const report = await load.client.stats();
    return report.stats.completed === report.stats.enqueued ? report : undefined;
  });
  expect(stats).toMatchObject({ enqueued: load.accepted.size, expired: 0, failed: 0, deadQueueSize: 0 });
  for (const { process } of brokers) {
    expect(process.output).not.toMatch(/this is a bug|not consistent|INTERNAL/);
    expect(await process.stop()).toEqual({ code: 0, signal: null });
  }
}

/** The codes of refusals, and nothing else. */
function expectRefusals(load: Load, ...codes: readonly string[]): void {
  expect([...load.refusals.keys()].filter((code) => !codes.includes(code))).toEqual([]);
  expect(load.slowestRefusalMs).toBeLessThan(6_000);
}

describe("Redis", () => {
  test("killed and restarted", () =>
    withRedis(async ({ redis, load, say }) => {
      await redis.kill();
      await say(false);
      await pause(systemClock, 3_000);
      expect(load.refusals.get("STORE_UNAVAILABLE")).toBeGreaterThan(0);
      await redis.restart();
      expectRefusals(load, "STORE_UNAVAILABLE");
    }));

  test("frozen for longer than a session's timeout", () =>
    withRedis(async ({ redis, load, say }) => {
      redis.pause();
      await say(false);
      await pause(systemClock, 5_000);
      redis.resume();
      expectRefusals(load, "STORE_UNAVAILABLE");
    }));

  test("its scripts flushed, again and again", () =>
    withRedis(async ({ redis, load }) => {
      const client = new Redis(redis.url);
      for (let turn = 0; turn < 10; turn += 1) {
        await client.script("FLUSH");
        await load.progresses(20);
      }
      client.disconnect();
      expect(load.refusals.size).toBe(0);
    }));

  test("out of memory: producers are refused, workers finish, and it goes on when there is room", () =>
    withRedis(async ({ redis, load, say }) => {
      const client = new Redis(redis.url);
      await client.config("SET", "maxmemory", "1");
      await until("enqueues are refused", () => load.refusals.has("STORE_FULL"));
      await until("what was accepted is done", async () => {
        const short = [...load.accepted].filter((id) => id.startsWith("short-"));
        return short.every((id) => load.finished.has(id));
      });
      // A full store serves workers.
      await say(true);
      await pause(systemClock, 3_000);
      await client.config("SET", "maxmemory", "0");
      client.disconnect();
      expectRefusals(load, "STORE_FULL");
    }));

  test("made a replica, and promoted again", () =>
    withRedis(async ({ redis, brokers, load, say }) => {
      const client = new Redis(redis.url);
      await client.replicaof("127.0.0.1", await freePort());
      await say(false);
      await pause(systemClock, 3_000);
      expect([...load.refusals.keys()].some((code) => code.startsWith("STORE_"))).toBe(true);
      await client.replicaof("NO", "ONE");
      client.disconnect();
      expectRefusals(load, "STORE_READ_ONLY", "STORE_UNAVAILABLE");
      // It looks for another primary, but not with every command, and does not fill the log with it.
      for (const { process } of brokers) {
        expect(process.output.match(/The connection to Redis is/g)?.length ?? 0).toBeLessThan(6);
      }
    }));
});

describe("the embedded store", () => {
  test("survives kill -9 of its broker: nothing is lost, and nothing runs again", async () => {
    const folder = temporaryFolder();
    const address = `127.0.0.1:${await freePort()}`;
    try {
      const args = ["--data", join(folder, "data")];
      await using first = await BrokerProcess.start(args, address);
      await using load = await Load.start([address]);
      await load.progresses();
      await first.process.kill();
      await using second = await BrokerProcess.start(args, address);
      await load.progresses();
      await load.finish();
      expect(load.repeated, "tasks that ran again").toEqual([]);
      expect(load.aborted, "attempts that were called off").toEqual([]);
      const { stats } = await load.client.stats();
      expect(stats).toMatchObject({ expired: 0, failed: 0, deadQueueSize: 0 });
      expect(second.process.output).not.toMatch(/this is a bug|not consistent|INTERNAL/);
      expect(await second.process.stop()).toEqual({ code: 0, signal: null });
    } finally {
      removeFolder(folder);
    }
  });

  test("a folder that it cannot have is a clear error, with exit code 1 or 3", async () => {
    const folder = temporaryFolder();
    try {
      const refused = async (data: string, what: RegExp) => {
        await using broker = await taskqueue(["serve", "--data", data, "--listen", "127.0.0.1:0", "--http", "off"]);
        const { code } = await broker.exited;
        expect(broker.output).toMatch(what);
        expect(broker.output).not.toMatch(/^ {4}at /m);
        return code;
      };
      const used = join(folder, "used");
      await using owner = await BrokerProcess.start(["--data", used]);
      expect(owner.process.running).toBe(true);
      expect(await refused(used, /in use/)).toBe(3);

      const foreign = join(folder, "foreign");
      await mkdir(foreign);
      await writeFile(join(foreign, "letters.txt"), "dear diary");
      expect(await refused(foreign, /foreign|not|other/i)).toBe(3);

      const locked = join(folder, "locked");
      await mkdir(locked);
      await chmod(locked, 0o500);
      // Root may write everywhere.
      if (process.getuid?.() !== 0) expect(await refused(locked, /EACCES|permission|write/)).toBe(1);
      const file = join(folder, "file");
      await writeFile(file, "");
      expect(await refused(join(file, "data"), /ENOTDIR|not a (folder|directory)/)).toBeGreaterThan(0);
    } finally {
      removeFolder(folder);
    }
  });
});
