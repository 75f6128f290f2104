/**
 * What the commands need of the world: standard streams, time, signals, a way
 * to a broker, and a way to be one. Everything is handed in, so that a test can
 * run a command inside its own process; main.ts hands in the real things.
 */
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
  /**
   * Calls `listener` when nobody reads standard output any more, as in `… | head`,
   * instead of ending the process with 0. From then on what is written to it is
   * dropped. Returns an undo.
   */
  onOutputClosed(listener: () => void): () => void;
  /** Ends the process now. */
  exit(code: number): never;
  connect(options: ClientOptions): Promise<BrokerClient>;
  readonly startBroker: StartBroker;
}

/** The context of the real program. `startBroker` should import what it needs when called, to keep `--help` quick. */
export function processContext(given: Pick<Context, "version" | "environment" | "startBroker">): Context {
  const exit = (code: number) => process.exit(code);
  const listeners = new Set<() => void>();
  const onClosed = () => {
    if (listeners.size === 0) exit(0);
    for (const listener of listeners) listener();
  };
  return {
    ...given,
    stdin: process.stdin,
    stdout: new StreamOutput(process.stdout, onClosed),
    stderr: new StreamOutput(process.stderr, () => {}),
    clock: systemClock,
    onSignal(listener) {
      const signals = ["SIGINT", "SIGTERM"] as const;
      for (const signal of signals) process.on(signal, listener);
      return () => {
        for (const signal of signals) process.off(signal, listener);
      };
    },
    onOutputClosed(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    exit,
    async connect(options) {
      const { Client } = await import("@taskqueue/sdk");
      return new Client(options);
    },
  };
}

class StreamOutput implements Output {
  readonly isTerminal: boolean;
  readonly #stream: NodeJS.WriteStream;
  readonly #closed: Promise<void>;
  #isClosed = false;

  constructor(stream: NodeJS.WriteStream, onClosed: () => void) {
    this.#stream = stream;
    this.isTerminal = stream.isTTY === true;
    this.#closed = new Promise((resolve) => {
      stream.on("error", (error: NodeJS.ErrnoException) => {
        if (error.code !== "EPIPE") throw error;
        if (this.#isClosed) return;
        this.#isClosed = true;
        resolve();
        onClosed();
      });
    });
  }

  async write(text: string): Promise<void> {
    if (this.#isClosed || this.#stream.write(text)) return;
    const drained = new Promise<void>((resolve) => {
      this.#stream.once("drain", resolve);
    });
    await Promise.race([drained, this.#closed]);
  }
}

/**
 * Makes Ctrl-C the regular end of a command: the first signal aborts, a second
 * one ends the process at once.
 */
export function untilSignal(
  context: Pick<Context, "onSignal" | "exit">,
): Disposable & { readonly signal: AbortSignal } {
  const stop = new AbortController();
  const undo = context.onSignal((signal) => {
    if (stop.signal.aborted) context.exit(signal === "SIGINT" ? 130 : 143);
    stop.abort();
  });
  return { signal: stop.signal, [Symbol.dispose]: undo };
}
