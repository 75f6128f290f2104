/** The helpers of this folder, tested on their own: a fault that does not happen proves nothing. */
import { existsSync, readFileSync } from "node:fs";
import { HealthDefinition } from "@taskqueue/sdk/gen/grpc/health/v1/health.js";
import { Redis } from "ioredis";
import { describe, expect, test } from "vitest";
import { runSource, Subprocess, taskqueue } from "./process.js";
import { TcpProxy } from "./proxy.js";
import { RedisServer, redisNamespace, sharedRedis } from "./redis.js";
import { until } from "./until.js";

function client(url: string): Redis {
  const redis = new Redis(url, {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    retryStrategy: null,
    commandTimeout: 3_000,
  });
  redis.on("error", () => {});
  return redis;
}

function alive(pid: number): boolean {
  // A killed process nobody has waited for yet is still listed, as a zombie.
  const stat = `/proc/${pid}/stat`;
  return existsSync(stat) && !readFileSync(stat, "utf8").includes(") Z ");
}

test("tests run from source, and reach generated code through the SDK package", () => {
  expect(import.meta.resolve("@taskqueue/sdk")).toMatch(/\/sdk\/index\.ts$/);
  expect(HealthDefinition.fullName).toBe("grpc.health.v1.Health");
});

describe("until", () => {
  test("gives the first truthy answer", async () => {
    let asked = 0;
    expect(await until("it was asked thrice", () => (++asked === 3 ? "yes" : undefined))).toBe("yes");
  });

  test("gives up with the reason and the last exception", async () => {
    const never = until("pigs fly", () => Promise.reject(new Error("no wings")), { timeoutMs: 20 });
    await expect(never).rejects.toMatchObject({
      message: "waited 20 ms in vain until pigs fly",
      cause: { message: "no wings" },
    });
  });
});

describe("Subprocess", () => {
  test("finds a line, and tells the exit code", async () => {
    await using child = await Subprocess.start("sh", ["-c", "echo a; echo port 42; exit 3"]);
    expect((await child.waitForLine(/^port (\d+)$/))[1]).toBe("42");
    expect(await child.exited).toEqual({ code: 3, signal: null });
    expect(child.output).toBe("a\nport 42");
  });

  test("quotes the output when the line does not come", async () => {
    await using child = await Subprocess.start("sh", ["-c", "echo went wrong >&2"]);
    await expect(child.waitForLine(/ready/)).rejects.toThrow(/exit code 0.*\n.*went wrong/);
  });

  test("kills what ignores SIGTERM, and says so", async () => {
    await using child = await Subprocess.start("sh", ["-c", "trap '' TERM; echo up; while :; do sleep 1; done"]);
    await child.waitForLine(/up/);
    await expect(child.stop({ timeoutMs: 50 })).rejects.toThrow("50 ms after SIGTERM");
    expect(child.running).toBe(false);
  });

  test("rejects a program that does not exist", async () => {
    await expect(Subprocess.start("no-such-program", [])).rejects.toThrow("ENOENT");
  });

  test("runs the command line from source", async () => {
    await using child = await taskqueue(["--version"]);
    expect(await child.exited, child.output).toEqual({ code: 0, signal: null });
  });

  test("leaves nothing behind when the test process is killed", async () => {
    await using parent = await runSource("test/support/fixtures/leaky.ts");
    const pid = Number((await parent.waitForLine(/^redis (\d+)$/))[1]);
    const folder = (await parent.waitForLine(/^folder (.+)$/))[1] ?? "";
    expect(alive(pid)).toBe(true);
    // Not the group: the orphan has to be found by the guardian.
    parent.signal("SIGKILL");
    await until("the orphan and its folder are gone", () => !alive(pid) && !existsSync(folder));
  });
});

describe("RedisServer", () => {
  test("is shared, with a namespace per test", async () => {
    const server = await sharedRedis();
    expect(await sharedRedis()).toBe(server);
    expect(redisNamespace()).not.toBe(redisNamespace());
    const redis = client(server.url);
    expect(await redis.config("GET", "appendfsync")).toEqual(["appendfsync", "everysec"]);
    redis.disconnect();
  });

  test("keeps its data over kill and restart, on the same port and with its password", async () => {
    await using server = await RedisServer.start({ appendonly: "always", password: "p/w" });
    const redis = client(server.url);
    await redis.set("key", "value");
    redis.disconnect();
    await server.kill();
    await server.restart();
    const again = client(server.url);
    expect(await again.get("key")).toBe("value");
    again.disconnect();
  });

  test("can be frozen and thawed", async () => {
    await using server = await RedisServer.start({ appendonly: "off" });
    const redis = client(server.url);
    await redis.ping();
    server.pause();
    await expect(redis.ping()).rejects.toThrow("timed out");
    server.resume();
    expect(await redis.ping()).toBe("PONG");
    redis.disconnect();
  });
});

describe("TcpProxy", () => {
  test("carries, cuts and refuses", async () => {
    await using proxy = await TcpProxy.start((await sharedRedis()).port);
    const redis = client(`redis://127.0.0.1:${proxy.port}`);
    expect(await redis.ping()).toBe("PONG");
    const ended = new Promise((resolve) => redis.once("end", resolve));
    proxy.cut();
    await ended;
    proxy.refuse();
    await expect(client(`redis://127.0.0.1:${proxy.port}`).connect()).rejects.toThrow();
    proxy.heal();
    const again = client(`redis://127.0.0.1:${proxy.port}`);
    expect(await again.ping()).toBe("PONG");
    again.disconnect();
  });

  test("loses a reply whose request was served", async () => {
    const server = await sharedRedis();
    await using proxy = await TcpProxy.start(server.port);
    const key = redisNamespace();
    const through = client(`redis://127.0.0.1:${proxy.port}`);
    await through.ping();
    proxy.blackhole("down");
    await expect(through.incr(key)).rejects.toThrow("timed out");
    const direct = client(server.url);
    expect(await direct.get(key)).toBe("1");
    proxy.heal();
    expect(await through.get(key)).toBe("1");
    through.disconnect();
    direct.disconnect();
  });

  test("delays, in order", async () => {
    await using proxy = await TcpProxy.start((await sharedRedis()).port);
    const redis = client(`redis://127.0.0.1:${proxy.port}`);
    await redis.ping();
    proxy.latency(60);
    const startedAtMs = performance.now();
    const key = redisNamespace();
    const slow = redis.rpush(key, "first");
    await until("the first command is on its way", () => performance.now() - startedAtMs > 20);
    proxy.latency(0);
    await Promise.all([slow, redis.rpush(key, "second")]);
    // Once delayed on the way up; the answer came back at full speed.
    expect(performance.now() - startedAtMs).toBeGreaterThan(50);
    expect(await redis.lrange(key, 0, -1)).toEqual(["first", "second"]);
    redis.disconnect();
  });
});
