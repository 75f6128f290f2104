/**
 * What callers can set, with units, bounds and defaults. Types only, apart from
 * the checks that refuse an option that is unknown or out of bounds: a typo in
 * an option must never pass in silence.
 */
import { TaskqueueError } from "./errors.js";

/**
 * Where the SDK tells what it does. Fits pino and console alike. Nothing is
 * logged by default; errors that concern a call reject that call in any case.
 */
export interface Logger {
  debug?(details: Readonly<Record<string, unknown>>, message: string): void;
  info?(details: Readonly<Record<string, unknown>>, message: string): void;
  warn(details: Readonly<Record<string, unknown>>, message: string): void;
  error(details: Readonly<Record<string, unknown>>, message: string): void;
}

/** Certificates as PEM text. `true` instead of an object: TLS with the system's authorities. */
export interface TlsOptions {
  /** Authorities to trust. Default: the system's. */
  readonly ca?: string | Buffer;
  /** The client's certificate, for brokers that ask for one. */
  readonly cert?: string | Buffer;
  /** The private key of `cert`. */
  readonly key?: string | Buffer;
  /** The name to expect in the broker's certificate, when it differs from the address. */
  readonly serverName?: string;
}

/** How to reach the brokers. */
export interface ConnectionOptions {
  /**
   * One broker or several, as `host:port`, `unix:///path`, `dns:///name:port`,
   * or `https://host:port` for TLS. With several, one is used at a time, chosen
   * at random, and the next one when it fails or drains. Default:
   * `localhost:50051`.
   */
  readonly address?: string | readonly string[];
  /** Default: no TLS, unless an address begins with `https://`. */
  readonly tls?: boolean | TlsOptions;
  /** Sent with every call as `authorization: Bearer …`. A function is asked for every call. Default: none. */
  readonly token?: string | (() => string | Promise<string>);
  /** How long one attempt to connect may take, in milliseconds. Default: 5,000. */
  readonly connectTimeoutMs?: number;
  /** Default: none, the SDK logs nothing. */
  readonly logger?: Logger;
}

/** How a `Client` behaves. */
export interface ClientOptions extends ConnectionOptions {
  /** How long a call is repeated while the brokers are away or full, in milliseconds. 0: never. Default: 30,000. */
  readonly retryForMs?: number;
  /** The largest task, in encoded bytes; the broker's `--task-bytes-max`. Default: 1 MiB. */
  readonly taskBytesMax?: number;
  /** Tasks that wait for the broker's answer before `enqueue` itself waits. Default: 20,000. */
  readonly bufferedTasksMax?: number;
  /** Their encoded bytes, likewise. Default: 32 MiB. */
  readonly bufferedBytesMax?: number;
}

/** How long a failed attempt waits before the next: `min(initial * factor^(n-1), max)`, give or take `jitter`. */
export interface BackoffOptions {
  /** Milliseconds before the first retry. 0 to 24 days. Default: 1,000. */
  readonly initialMs?: number;
  /** 1 to 100. Default: 2. */
  readonly factor?: number;
  /** Milliseconds at most, before jitter. 0 to 24 days. Default: one hour. */
  readonly maxMs?: number;
  /** The random part, 0 to 1. Default: 0.2. */
  readonly jitter?: number;
}

/** What a topic says about its tasks, unless an enqueue says otherwise. */
export interface TaskDefaults {
  /** How many times a failed task is tried again. 0 to 1,000,000. Default: the broker's setting for the topic, then 0. */
  readonly numRetries?: number;
  /** Lower runs earlier. Any 32-bit integer. Default: 0. */
  readonly priority?: number;
  /** Limit of one attempt in milliseconds. 1 ms to 24 days, 0 for none. Default: the topic's, then none. */
  readonly timeoutMs?: number;
  /** Default: the topic's, then 1 s doubling up to 1 h. */
  readonly backoff?: BackoffOptions;
  /** How long the task stays visible, with its result, after its end. 0 to 1 year. Default: 0. */
  readonly retentionMs?: number;
  /** Named values that travel with the task. At most 64. Default: none. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** What an enqueue says about its task. `runAt` and `delayMs` exclude each other. */
export interface EnqueueOptions extends TaskDefaults {
  /** The task's id: enqueueing it again changes nothing. Default: a random one. */
  readonly id?: string;
  /** The producer's own name for what the task is about; need not be unique. At most 255 bytes. */
  readonly externalId?: string;
  /** The moment before which the task does not run, on the broker's clock. */
  readonly runAt?: Date;
  /** How long the task waits before it may run, in milliseconds. 0 to 10 years. */
  readonly delayMs?: number;
}

/** How a `Worker` behaves. */
export interface WorkerOptions extends ConnectionOptions {
  /** Tasks that run at once. 1 to 10,000. Default: 25. */
  readonly concurrency?: number;
  /**
   * Tasks held ready beyond those that run. Hides the way to the broker from
   * very short tasks, at the price that they wait here while another worker
   * might be free. `concurrency + prefetch` is at most 10,000. Default: 0.
   */
  readonly prefetch?: number;
  /** For people. 1 to 128 characters. Default: host name and process id. */
  readonly name?: string;
  /** Encoded bytes of tasks held at once. Default: 64 MiB. */
  readonly bytesMax?: number;
  /** How long `start` tries to reach a broker, in milliseconds. -1: for ever. Default: 30,000. */
  readonly startTimeoutMs?: number;
  /**
   * Keeps the session alive from a thread of its own, for processors that
   * compute for longer than the broker's session timeout (15 s) without
   * awaiting anything. Default: false.
   */
  readonly renewFromThread?: boolean;
  /** Called with everything that happens, see WorkerEvent. What it throws is logged and ignored. */
  readonly onEvent?: (event: import("./worker-event.js").WorkerEvent) => void;
}

/** How a processor takes part in its worker. */
export interface RegisterOptions {
  /** Tasks of this topic that run at once. 0 to 10,000; 0: as many as the worker's. Default: 0. */
  readonly concurrency?: number;
  /** The topic's share when slots are few. 1 to 1,000. Default: 1. */
  readonly weight?: number;
  /**
   * Milliseconds to wait before retry number `retry` (from 1), instead of the
   * task's own backoff. `undefined` leaves it to the task's.
   */
  readonly backoff?: (retry: number, error: unknown) => number | undefined;
}

/** How `worker.close` leaves. */
export interface CloseOptions {
  /** Waits so long for running processors before it aborts them. 0: not at all; negative: for ever. Default: 0. */
  readonly timeoutMs?: number;
}

/** What became of the tasks that a worker held when it was closed. */
export interface CloseReport {
  /** Attempts that ended by themselves, well or badly, while the worker was closing. */
  readonly completed: number;
  /** Tasks handed back that had not begun. */
  readonly released: number;
  /** Attempts whose signal fired; their tasks were handed back uncharged. */
  readonly aborted: number;
}

/** A refusal of an option or argument that never left this process. */
export function invalid(field: string, value: unknown, rule: string): TaskqueueError {
  return new TaskqueueError("INVALID_ARGUMENT", `${field}: ${rule} (got ${preview(value)})`, { field });
}

function preview(value: unknown): string {
  const text =
    typeof value === "string"
      ? JSON.stringify(value)
      : typeof value === "object" && value
        ? typeof value
        : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Refuses keys that are not in `known`. */
export function refuseUnknown(what: string, options: object, known: ReadonlySet<string>): void {
  for (const key of Object.keys(options)) {
    if (!known.has(key)) {
      throw new TaskqueueError(
        "INVALID_ARGUMENT",
        `${what} has no option "${key}"; it knows ${[...known].join(", ")}`,
        {
          field: key,
        },
      );
    }
  }
}

/** The option as an integer within bounds, or the default when it is undefined. */
export function integer(field: string, value: number | undefined, fallback: number, min: number, max: number): number {
  if (value === undefined) return fallback;
  if (!Number.isInteger(value) || value < min || value > max) {
    throw invalid(field, value, `must be a whole number from ${min} to ${max}`);
  }
  return value;
}
