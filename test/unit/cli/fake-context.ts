/**
 * The world as commands see it, made up: what they print is kept, the broker is
 * whatever the test says, and time stands still.
 */
import type { ClientOptions, Listing } from "@taskqueue/sdk";
import type { BrokerClient, Context, RunningBroker } from "../../../server/cli/context.js";
import { run } from "../../../server/cli/program.js";
import type { Config } from "../../../server/config.js";

export interface FakeOptions {
  /** What the command uses of the client; anything else fails the test. */
  client?: { [Key in keyof BrokerClient]?: unknown };
  stdin?: string | readonly string[];
  environment?: Record<string, string>;
  startBroker?: (config: Config) => Promise<RunningBroker>;
  /** Makes real clients instead, for a real broker. */
  connect?: (options: ClientOptions) => BrokerClient;
}

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
  /** Lines of standard output, as JSON. */
  json: () => unknown[];
  /** Options of each connection, and whether it was closed. */
  connections: { options: object; closed: boolean }[];
}

/** Runs the command line in this process. */
export async function runWith(argv: readonly string[], options: FakeOptions = {}): Promise<Outcome> {
  const context = new FakeContext(options);
  const code = await run(argv, context);
  const { out, err, connections } = context;
  const json = () =>
    out
      .split("\n")
      .filter((line) => line !== "")
      .map((line): unknown => JSON.parse(line));
  return { code, stdout: out, stderr: err, json, connections };
}

export class FakeContext implements Context {
  out = "";
  err = "";
  readonly connections: Outcome["connections"] = [];
  readonly version = "1.2.3";
  readonly environment: Record<string, string>;
  readonly stdin: AsyncIterable<string>;
  readonly stdout = {
    isTerminal: false,
    write: async (text: string) => {
      this.out += text;
    },
  };
  readonly stderr = {
    isTerminal: false,
    write: async (text: string) => {
      this.err += text;
    },
  };
  readonly clock = { now: () => 0, monotonic: () => 0, after: () => () => {} };
  /** Whoever waits for a signal. */
  readonly signalListeners = new Set<(signal: "SIGINT" | "SIGTERM") => void>();
  readonly startBroker: (config: Config) => Promise<RunningBroker>;
  readonly #client: FakeOptions["client"];
  readonly #connect: FakeOptions["connect"];

  constructor({ client, stdin = [], environment = {}, startBroker, connect }: FakeOptions) {
    this.#client = client;
    this.#connect = connect;
    this.environment = environment;
    this.stdin = chunks(typeof stdin === "string" ? [stdin] : stdin);
    this.startBroker = startBroker ?? (() => Promise.reject(new Error("this test starts no broker")));
  }

  onSignal(listener: (signal: "SIGINT" | "SIGTERM") => void): () => void {
    this.signalListeners.add(listener);
    return () => this.signalListeners.delete(listener);
  }

  onOutputClosed(): () => void {
    return () => {};
  }

  exit(code: number): never {
    throw new Error(`exit ${code}`);
  }

  async connect(options: ClientOptions): Promise<BrokerClient> {
    if (this.#connect !== undefined) return this.#connect(options);
    const connection = { options, closed: false };
    this.connections.push(connection);
    const close = async () => {
      connection.closed = true;
    };
    return { close, ...this.#client } as unknown as BrokerClient;
  }
}

async function* chunks(parts: readonly string[]): AsyncGenerator<string> {
  yield* parts;
}

/** What `client.admin.list…` gives. */
export function listing<Item>(items: readonly Item[]): Listing<Item> {
  return {
    page: async () => ({ items, nextPageToken: undefined }),
    async *[Symbol.asyncIterator]() {
      yield* items;
    },
  };
}
