/**
 * What `taskqueue serve` can be told: one table with the flag, the environment
 * variable, the default, the bounds and the help text of every option, and the
 * function that turns flags and variables into a frozen Config.
 *
 * A flag wins over its variable, a variable over the default; an empty variable
 * counts as unset. Nothing else in the broker reads the environment. The help
 * of `serve` and the table in docs/operations.md are made from, or compared
 * with, this table.
 */
import { hostname } from "node:os";
import { DEFAULTS, LIMITS } from "./domain/limits.js";
import { formatBytes, formatDuration, parseBytes, parseDuration } from "./lib/quantity.js";

export type Environment = Readonly<Record<string, string | undefined>>;

/** The variables this process was started with. Whoever needs one is handed them. */
export const environment: Environment = process.env;

/** Where a server listens. `text` is the form that was given, and the form gRPC takes. */
export type Endpoint =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly text: string }
  | { readonly kind: "unix"; readonly path: string; readonly text: string };

const REFUSED = Symbol("refused");

/** One option of `taskqueue serve`. */
export interface ConfigOption<Value> {
  readonly flag: `--${string}`;
  readonly env: `TASKQUEUE_${string}`;
  /** What stands for the value in the help, such as `<duration>`; empty for a switch. */
  readonly placeholder: string;
  /** As one would write it; empty when there is none. */
  readonly default: string;
  /** What values are accepted: completes the sentence "must be …". */
  readonly rule: string;
  readonly help: string;
  /** The value with its secrets taken out, for error messages. */
  readonly redact?: (text: string) => string;
  readonly parse: (text: string) => Value | typeof REFUSED;
}

type Form<Value> = Pick<ConfigOption<Value>, "placeholder" | "default" | "rule" | "redact" | "parse">;

function option<Value>(flag: `--${string}`, form: Form<Value>, help: string): ConfigOption<Value> {
  const env = `TASKQUEUE_${flag.slice(2).replaceAll("-", "_").toUpperCase()}` as const;
  return { flag, env, help, ...form };
}

function duration(defaultMs: number, minMs: number, maxMs: number): Form<number> {
  return {
    placeholder: "<duration>",
    default: formatDuration(defaultMs),
    rule: `a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}, such as 500ms, 2s or 1h`,
    parse: (text) => within(parseDuration(text), minMs, maxMs),
  };
}

function bytes(defaultBytes: number, min: number, max: number): Form<number> {
  return {
    placeholder: "<bytes>",
    default: formatBytes(defaultBytes),
    rule: `a size from ${formatBytes(min)} to ${formatBytes(max)}, such as 65536, 64KiB or 4MiB`,
    parse: (text) => within(parseBytes(text), min, max),
  };
}

function choice<const Choice extends string>(
  placeholder: string,
  choices: readonly Choice[],
  byDefault: NoInfer<Choice>,
): Form<Choice> {
  return {
    placeholder,
    default: byDefault,
    rule: `one of ${choices.join(", ")}`,
    parse: (text) => choices.find((each) => each === text) ?? REFUSED,
  };
}

const yesOrNo: Form<boolean> = {
  placeholder: "",
  default: "false",
  rule: "true or false",
  parse: (text) => (/^(true|1|yes|on)$/i.test(text) ? true : /^(false|0|no|off)$/i.test(text) ? false : REFUSED),
};

function matching(placeholder: string, byDefault: string, rule: string, pattern: RegExp): Form<string> {
  return { placeholder, default: byDefault, rule, parse: (text) => (pattern.test(text) ? text : REFUSED) };
}

/** How many there may be: 0 for any number. */
function bound(unit: string, parse: (text: string) => number | undefined, byDefault = 0): Form<number> {
  return {
    placeholder: `<${unit}>`,
    default: String(byDefault),
    rule: unit === "bytes" ? "a size such as 512MiB or 8GiB, or 0" : "a whole number, 0 or more",
    parse: (text) => within(parse(text), 0, Number.MAX_SAFE_INTEGER),
  };
}

const wholeNumber = (text: string) => (/^\d+$/.test(text) ? Number(text) : undefined);

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;

const listenForm: Form<Endpoint> = {
  placeholder: "<address>",
  default: "127.0.0.1:50051",
  rule: "host:port, [ipv6]:port or unix:/path; port 0 takes a free one",
  parse: (text) => parseEndpoint(text) ?? REFUSED,
};

const httpForm: Form<Endpoint | "off"> = {
  placeholder: "<address>",
  default: "127.0.0.1:12345",
  rule: "host:port, [ipv6]:port or off; port 0 takes a free one",
  parse: (text) => {
    if (text === "off") return "off";
    const endpoint = parseEndpoint(text);
    return endpoint?.kind === "tcp" ? endpoint : REFUSED;
  },
};

const redisForm: Form<readonly string[] | undefined> = {
  placeholder: "<url>",
  default: "",
  rule: "redis://[user:password@]host[:port][/db], the same with rediss:// for TLS, or host:port; several nodes of a Redis Cluster, without db, separated by commas",
  redact: (text) => text.replace(/\/\/[^/]*@/g, "//***@"),
  parse: (text) => (text === "" ? undefined : (parseRedisUrls(text) ?? REFUSED)),
};

const nameForm: Form<string> = {
  placeholder: "<name>",
  default: "<host name>-<process id>",
  rule: `1 to ${LIMITS.workerNameMax} characters without control characters`,
  parse: (text) => (text.length <= LIMITS.workerNameMax && /^\P{Cc}+$/u.test(text) ? text : REFUSED),
};

/** The table. The order is that of the help and of docs/operations.md. */
export const OPTIONS = {
  listen: option("--listen", listenForm, "where gRPC listens"),
  http: option("--http", httpForm, "where /healthz, /readyz and /metrics listen, or off"),
  insecure: option(
    "--insecure",
    yesOrNo,
    "listen on other addresses than the loopback, though nothing is encrypted and nobody asked for a password",
  ),
  redis: option("--redis", redisForm, "keep tasks in this Redis, or Redis Cluster; without it they are kept in --data"),
  namespace: option(
    "--namespace",
    matching("<name>", "taskqueue", "1 to 64 letters, digits and _ . -", /^[A-Za-z0-9_.-]{1,64}$/),
    "what this queue is called in the store; brokers with the same one share their tasks",
  ),
  data: option(
    "--data",
    matching("<folder>", "./taskqueue-data", "a folder, or :memory: for one that is removed at the end", /^[^\0]+$/),
    "keep tasks in this folder, for one broker alone",
  ),
  sync: option(
    "--sync",
    choice("<when>", ["always", "everysec", "no"], "everysec"),
    "when changes of --data reach the disk: always (before a call is answered), everysec, or no (at the end)",
  ),
  allowEviction: option("--allow-eviction", yesOrNo, "accept a Redis that may throw keys away when its memory is full"),
  taskBytesMax: option(
    "--task-bytes-max",
    bytes(LIMITS.taskBytesMax, 1024, LIMITS.requestBytesMax),
    "the largest task accepted, encoded",
  ),
  tasksMax: option(
    "--tasks-max",
    bound("tasks", wholeNumber),
    "how many tasks the namespace may hold, about, before more are refused; 0 for any number",
  ),
  bytesMax: option(
    "--bytes-max",
    bound("bytes", parseBytes),
    "how many bytes of tasks the namespace may hold, about, before more are refused; 0 for any number",
  ),
  graceMs: option(
    "--grace",
    duration(DEFAULTS.graceMs, 0, HOUR),
    "how long a worker whose connection was lost may come back before its tasks run elsewhere",
  ),
  sessionTimeoutMs: option(
    "--session-timeout",
    duration(DEFAULTS.sessionTimeoutMs, 100, HOUR),
    "how long a connected worker may owe a sign of life before its tasks run elsewhere",
  ),
  heartbeatMs: option(
    "--heartbeat",
    duration(DEFAULTS.heartbeatMs, 20, HOUR),
    "how long a worker with tasks may be quiet before it is asked for a sign of life; at most half of --session-timeout",
  ),
  sweepMs: option(
    "--sweep",
    duration(DEFAULTS.sweepMs, 10, HOUR),
    "how often brokers look for what a lost wake-up missed",
  ),
  scrubMs: option(
    "--scrub",
    duration(DEFAULTS.scrubMs, 0, HOUR),
    "how often a piece of what the store holds is proved to be consistent, and put right; 0 never",
  ),
  endedWindowMs: option(
    "--ended-window",
    duration(DEFAULTS.endedWindowMs, 0, 24 * HOUR),
    "how long the id of an ended task is remembered, so that a repeated enqueue of it changes nothing; 0 not at all",
  ),
  cancelGraceMs: option(
    "--cancel-grace",
    duration(DEFAULTS.cancelGraceMs, 0, HOUR),
    "how long a worker may take to stop an attempt that was cancelled or ran out of time",
  ),
  drainTimeoutMs: option(
    "--drain-timeout",
    duration(10 * SECOND, 0, HOUR),
    "how long a stopping broker waits for calls and workers to leave",
  ),
  events: option(
    "--events",
    choice("<when>", ["watched", "always"], "watched"),
    "when events are kept for watchers: watched (while somebody watches) or always",
  ),
  eventsPerSecond: option(
    "--events-per-second",
    bound("events", wholeNumber, DEFAULTS.eventsPerSecond),
    "how many events this broker keeps per second, at most; 0 for any number, as it is with --events always",
  ),
  name: option("--name", nameForm, "this broker's name in events and in lists of workers"),
  logLevel: option(
    "--log-level",
    choice("<level>", ["debug", "info", "warn", "error", "silent"], "info"),
    "the least important messages to log: debug, info, warn, error or silent",
  ),
  logFormat: option(
    "--log-format",
    choice("<format>", ["auto", "json", "pretty"], "auto"),
    "how to log: json (an object per line), pretty, or auto (pretty on a terminal)",
  ),
} as const;

type ValueOf<Option> = Option extends ConfigOption<infer Value> ? Value : never;

/** Everything `serve` was told: parsed, checked and frozen. */
export type Config = { readonly [Key in keyof typeof OPTIONS]: ValueOf<(typeof OPTIONS)[Key]> };

/** How the command line reaches a broker. */
export const ADDRESS = { flag: "--address", env: "TASKQUEUE_ADDRESS", default: "localhost:50051" } as const;

/** The configuration breaks a rule; the message names option, value and rule, one problem per line. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/** Flags as the command line gives them: by name without dashes, `session-timeout`. A switch that is set is "true". */
export type Flags = ReadonlyMap<string, string>;

/**
 * The configuration that flags and variables make.
 *
 * @throws ConfigError with every problem at once
 */
export function readConfig(flags: Flags, variables: Environment): Config {
  const problems: string[] = [];
  const read = <Value>(row: ConfigOption<Value>): Value => {
    const flag = flags.get(row.flag.slice(2));
    const variable = variables[row.env] || undefined;
    const text = flag ?? variable;
    const value = text === undefined || text === "" ? REFUSED : row.parse(text);
    if (value !== REFUSED) return value;
    if (text !== undefined) {
      const source = flag === undefined ? row.env : row.flag;
      problems.push(`${source} must be ${row.rule} (got ${JSON.stringify(row.redact?.(text) ?? text)})`);
    }
    const fallback = row.parse(row.default);
    if (fallback === REFUSED) throw new Error(`the default of ${row.flag} breaks its own rule`);
    return fallback;
  };
  const data = read(OPTIONS.data);
  const events = read(OPTIONS.events);
  const config: Config = Object.freeze({
    listen: read(OPTIONS.listen),
    http: read(OPTIONS.http),
    insecure: read(OPTIONS.insecure),
    redis: read(OPTIONS.redis),
    namespace: read(OPTIONS.namespace),
    data,
    // Nothing of a temporary folder outlives a power cut, so nothing has to wait for the disk.
    sync: read(data === ":memory:" ? { ...OPTIONS.sync, default: "no" } : OPTIONS.sync),
    allowEviction: read(OPTIONS.allowEviction),
    taskBytesMax: read(OPTIONS.taskBytesMax),
    tasksMax: read(OPTIONS.tasksMax),
    bytesMax: read(OPTIONS.bytesMax),
    graceMs: read(OPTIONS.graceMs),
    sessionTimeoutMs: read(OPTIONS.sessionTimeoutMs),
    heartbeatMs: read(OPTIONS.heartbeatMs),
    sweepMs: read(OPTIONS.sweepMs),
    scrubMs: read(OPTIONS.scrubMs),
    endedWindowMs: read(OPTIONS.endedWindowMs),
    cancelGraceMs: read(OPTIONS.cancelGraceMs),
    drainTimeoutMs: read(OPTIONS.drainTimeoutMs),
    events,
    eventsPerSecond: read(events === "always" ? { ...OPTIONS.eventsPerSecond, default: "0" } : OPTIONS.eventsPerSecond),
    name: read({ ...OPTIONS.name, default: defaultName() }),
    logLevel: read(OPTIONS.logLevel),
    logFormat: read(OPTIONS.logFormat),
  });
  problems.push(...contradictions(config, flags));
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** Variables that look like ours and are none: a typo that would otherwise pass in silence. */
export function unknownVariables(variables: Environment): string[] {
  const known = new Set<string>([ADDRESS.env, ...Object.values(OPTIONS).map((row) => row.env)]);
  // Kubernetes and Docker links give every process such names when a service is called "taskqueue".
  const injected = /^TASKQUEUE_(\w+_)?(PORT|SERVICE_HOST|SERVICE_PORT|ENV|NAME)(_|$)|^TASKQUEUE_TEST_/;
  return Object.keys(variables)
    .filter((name) => name.startsWith("TASKQUEUE_") && !known.has(name) && !injected.test(name))
    .sort();
}

/** Rules that concern more than one option. */
function contradictions(config: Config, flags: Flags): string[] {
  const problems: string[] = [];
  for (const [flag, endpoint] of [
    ["--listen", config.listen],
    ["--http", config.http],
  ] as const) {
    if (endpoint !== "off" && !isLoopback(endpoint) && !config.insecure) {
      problems.push(
        `${flag} must be a loopback address or unix:/path, unless --insecure says that everybody who reaches it may use it (got ${JSON.stringify(endpoint.text)})`,
      );
    }
  }
  if (config.heartbeatMs * 2 > config.sessionTimeoutMs) {
    problems.push(
      `--heartbeat must be at most half of --session-timeout, ${formatDuration(config.sessionTimeoutMs)} (got "${formatDuration(config.heartbeatMs)}")`,
    );
  }
  for (const flag of ["data", "sync"]) {
    if (flags.has("redis") && flags.has(flag)) {
      problems.push(`--${flag} must not be given together with --redis, which keeps the tasks elsewhere`);
    }
  }
  return problems;
}

/** Whether only this machine can reach it. */
export function isLoopback(endpoint: Endpoint): boolean {
  return endpoint.kind === "unix" || /^(localhost|127(\.\d{1,3}){3}|::1)$/.test(endpoint.host);
}

function parseEndpoint(text: string): Endpoint | undefined {
  const unix = /^unix:(?:\/\/)?(.+)$/.exec(text);
  // A socket's path has room for 107 bytes and an end mark.
  if (unix?.[1] !== undefined) {
    return Buffer.byteLength(unix[1]) <= 107 ? { kind: "unix", path: unix[1], text: `unix:${unix[1]}` } : undefined;
  }
  const tcp = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
  const host = tcp?.[1] ?? tcp?.[2];
  const port = Number(tcp?.[3]);
  return host === undefined || port > 65_535 ? undefined : { kind: "tcp", host, port, text };
}

function parseRedisUrl(text: string): string | undefined {
  const url = /^[\w.-]+(:\d+)?$/.test(text) ? `redis://${text}` : text;
  if (!/^rediss?:\/\/[^\s]+$/.test(url) || !URL.canParse(url)) return undefined;
  const { hostname: host, pathname, search, hash } = new URL(url);
  return host !== "" && /^(\/\d{0,4})?$/.test(pathname) && search === "" && hash === "" ? url : undefined;
}

/** One URL, or those of some nodes of a cluster, which has no databases. */
function parseRedisUrls(text: string): string[] | undefined {
  const urls: string[] = [];
  // A comma before an @ belongs to a password.
  const parts = text.split(/,(?![^/]*@)/);
  for (const part of parts) {
    const url = parseRedisUrl(part);
    if (url === undefined || (parts.length > 1 && new URL(url).pathname.length > 1)) return undefined;
    urls.push(url);
  }
  return urls;
}

function within(value: number | undefined, min: number, max: number): number | typeof REFUSED {
  return value === undefined || value < min || value > max ? REFUSED : value;
}

function defaultName(): string {
  return `${hostname()}-${process.pid}`.slice(-LIMITS.workerNameMax);
}
