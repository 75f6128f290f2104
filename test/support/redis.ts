/**
 * Private redis-server processes for tests: each on a port and in a folder of
 * its own, and gone when the test process is.
 *
 * Tests that only need *a* Redis share one per test process through
 * `sharedRedis()`, and keep apart by `redisNamespace()`, never by a flush.
 * Tests that hurt the server (kill, freeze, restart) start one for themselves.
 * REDIS_SERVER names another binary, so that the same tests run on every
 * version supported, and on Valkey.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { removeFolder, temporaryFolder } from "./guardian.js";
import { freePort } from "./ports.js";
import { Subprocess } from "./process.js";
import { until } from "./until.js";

const START_ATTEMPTS_MAX = 5;

export interface RedisOptions {
  /** When the append-only file is synced; `no` leaves it to the kernel, `off` keeps no file. Default `everysec`. */
  appendonly?: "always" | "everysec" | "no" | "off" | undefined;
  password?: string;
  /** Further directives, e.g. `{ "maxmemory-policy": "allkeys-lru" }`. */
  config?: Record<string, string>;
}

export class RedisServer {
  readonly port: number;
  readonly password: string | undefined;
  readonly #folder: string;
  readonly #args: readonly string[];
  #process: Subprocess;

  private constructor(port: number, folder: string, args: readonly string[], process: Subprocess, password?: string) {
    this.port = port;
    this.password = password;
    this.#folder = folder;
    this.#args = args;
    this.#process = process;
  }

  /** Resolves when the server answers. */
  static async start(options: RedisOptions = {}): Promise<RedisServer> {
    for (let attempt = 1; ; attempt += 1) {
      const port = await freePort();
      const folder = temporaryFolder();
      const args = directives(port, folder, options);
      try {
        return new RedisServer(port, folder, args, await launch(port, args), options.password);
      } catch (error) {
        removeFolder(folder);
        // Somebody else was faster with the port.
        const taken = error instanceof Error && error.message.includes("in use");
        if (!taken || attempt === START_ATTEMPTS_MAX) throw error;
      }
    }
  }

  get url(): string {
    const login = this.password === undefined ? "" : `:${encodeURIComponent(this.password)}@`;
    return `redis://${login}127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Ends it politely: what is in the append-only file is complete. The data stay for `restart`. */
  async stop(): Promise<void> {
    this.#process.resume();
    await this.#process.stop();
  }

  /** kill -9. The data folder stays for `restart`. */
  async kill(): Promise<void> {
    await this.#process.kill();
  }

  /** Starts it again on the same port and data; stops it first when it is still running. */
  async restart(): Promise<void> {
    if (this.#process.running) await this.stop();
    this.#process = await launch(this.port, this.#args);
  }

  /** Freezes it: connections stay open and nothing answers. */
  pause(): void {
    this.#process.pause();
  }

  resume(): void {
    this.#process.resume();
  }

  /** Ends it and removes its data. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.kill();
    removeFolder(this.#folder);
  }
}

let shared: Promise<RedisServer> | undefined;

/** The server all tests of this test process share. Nobody stops it: it ends with the process. */
export function sharedRedis(): Promise<RedisServer> {
  shared ??= RedisServer.start();
  return shared;
}

/** A key prefix that no other test has, in this run or in another one. */
export function redisNamespace(label = "test"): string {
  return `${label}-${randomBytes(6).toString("hex")}`;
}

function directives(port: number, folder: string, { appendonly = "everysec", password, config }: RedisOptions) {
  const all: Record<string, string> = {
    bind: "127.0.0.1",
    port: String(port),
    dir: folder,
    save: "",
    appendonly: appendonly === "off" ? "no" : "yes",
    appendfsync: appendonly === "off" ? "no" : appendonly,
    "maxmemory-policy": "noeviction",
    ...(password === undefined ? {} : { requirepass: password }),
    ...config,
  };
  return Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]);
}

async function launch(port: number, args: readonly string[]): Promise<Subprocess> {
  const binary = process.env.REDIS_SERVER ?? "redis-server";
  const server = await Subprocess.start(binary, args).catch((cause: unknown) => {
    throw new Error(`cannot run ${binary}: \`make setup-redis\` installs it`, { cause });
  });
  try {
    // Loading a large append-only file takes a while, hence the long deadline.
    await until("redis answers", () => !server.running || answers(port), { timeoutMs: 30_000 });
    if (!server.running) throw new Error(`redis-server did not start:\n${server.output}`);
    return server;
  } catch (error) {
    await server.kill();
    throw error;
  }
}

/** PING by hand: a server that asks for a password is up as well, one that is still loading is not. */
async function answers(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    socket.write("PING\r\n");
    const [reply] = await once(socket, "data");
    return /^(\+PONG|-NOAUTH)/.test(String(reply));
  } finally {
    socket.destroy();
  }
}
