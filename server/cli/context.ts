/**
 * What the commands need of the world: standard streams, time, signals, a way
 * to a broker, and a way to be one. Everything is handed in, so that a test can
 * run a command inside its own process; main.ts hands in the real things.
 */
import { once } from "node:events";
import type { Client, ClientOptions } from "@taskqueue/sdk";
import type { Config, Environment } from "../config.js";
import { type Clock, systemClock } from "../lib/clock.js";

/** What commands use of the SDK's client. */
export type BrokerClient = Pick<Client, "admin" | "enqueue" | "enqueueMany" | "stats" | "watch" | "close">;

/** A broker that runs in this process. */
export interface RunningBroker {
  /** Where gRPC listens, as a client would be told it: `127.0.0.1:50051`, `unix:/path`. With the port that was taken. */
  readonly address: string;
  /** Where the HTTP port listens: `127.0.0.1:12345`; undefined when it is off. */
  readonly httpAddress: string | undefined;
  /** Never settles while the broker works; rejects when it ends by itself, with the reason. */
  readonly failed: Promise<never>;
  /**
   * Drains: calls and workers have `config.drainTimeoutMs` to leave. Resolves
   * when everything is closed. Stopping twice gives the same promise.
   */
  stop(): Promise<void>;
}

/** Starts a broker. Resolves when it serves; rejects, with everything closed again, when it cannot. */
export type StartBroker = (config: Config) => Promise<RunningBroker>;

export interface Output {
  /** Whether a person looks at it. */
  readonly isTerminal: boolean;
  /** Resolves when the text has left, or the reader is ready for more. */
  write(text: string): Promise<void>;
}

export interface Context {
  /** Of the program. */
  readonly version: string;
  readonly environment: Environment;
  readonly stdin: AsyncIterable<Uint8Array | string>;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly clock: Clock;
  /** Calls `listener` for each SIGINT and SIGTERM, instead of dying of it. Returns an undo. */
  onSignal(listener: (signal: "SIGINT" | "SIGTERM") => void): () => void;
  /** Ends the process now. */
  exit(code: number): never;
  connect(options: ClientOptions): Promise<BrokerClient>;
  readonly startBroker: StartBroker;
}

/** The context of the real program. `startBroker` should import what it needs when called, to keep `--help` quick. */
export function processContext(
  given: Pick<Context, "version" | "environment" | "startBroker">,
  { stdin, stdout, stderr }: Pick<NodeJS.Process, "stdin" | "stdout" | "stderr"> = process,
): Context {
  return {
    ...given,
    stdin,
    stdout: output(stdout),
    stderr: output(stderr),
    clock: systemClock,
    onSignal(listener) {
      const signals = ["SIGINT", "SIGTERM"] as const;
      for (const signal of signals) process.on(signal, listener);
      return () => {
        for (const signal of signals) process.off(signal, listener);
      };
    },
    exit: (code) => process.exit(code),
    async connect(options) {
      const { Client } = await import("@taskqueue/sdk");
      return new Client(options);
    },
  };
}

function output(stream: NodeJS.WriteStream): Output {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    // The reader has seen enough, as in `taskqueue list a --state dead | head`.
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  return {
    isTerminal: stream.isTTY === true,
    async write(text) {
      if (!stream.write(text)) await once(stream, "drain");
    },
  };
}
