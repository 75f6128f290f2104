import { describe, expect, test } from "vitest";
import {
  ConfigError,
  type ConfigOption,
  isLoopback,
  OPTIONS,
  readConfig,
  unknownVariables,
} from "../../server/config.js";

const flags = (entries: Record<string, string> = {}) => new Map(Object.entries(entries));

function problems(entries: Record<string, string>, variables: Record<string, string> = {}): readonly string[] {
  try {
    readConfig(flags(entries), variables);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe("the table", () => {
  const rows: ConfigOption<unknown>[] = Object.values(OPTIONS);

  test("every flag has its variable, and each is there once", () => {
    for (const { flag, env } of rows) expect(env).toBe(`TASKQUEUE_${flag.slice(2).toUpperCase().replaceAll("-", "_")}`);
    expect(new Set(rows.map(({ flag }) => flag)).size).toBe(rows.length);
  });

  test("no variable is one that Kubernetes makes for a service called taskqueue", () => {
    for (const { env } of rows) expect(env).not.toMatch(/^TASKQUEUE_(PORT|SERVICE)/);
  });

  test("the configuration without flags and variables is the defaults, frozen", () => {
    const config = readConfig(flags(), {});
    expect(config).toMatchObject({
      listen: { kind: "tcp", host: "127.0.0.1", port: 50051 },
      http: { kind: "tcp", host: "127.0.0.1", port: 12345 },
      insecure: false,
      redis: undefined,
      namespace: "taskqueue",
      data: "./taskqueue-data",
      sync: "everysec",
      taskBytesMax: 1_048_576,
      graceMs: 2_000,
      sessionTimeoutMs: 15_000,
      heartbeatMs: 7_000,
      endedWindowMs: 30_000,
      events: "watched",
      eventsPerSecond: 5_000,
      logLevel: "info",
    });
    expect(config.name).toMatch(/-\d+$/);
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.keys(config)).toEqual(Object.keys(OPTIONS));
  });
});

describe("where values come from", () => {
  test("a flag wins over its variable, a variable over the default, and an empty variable is none", () => {
    const variables = { TASKQUEUE_GRACE: "3s", TASKQUEUE_SWEEP: "7s", TASKQUEUE_REDIS: "" };
    expect(readConfig(flags({ grace: "1s" }), variables)).toMatchObject({
      graceMs: 1_000,
      sweepMs: 7_000,
      redis: undefined,
    });
  });

  test("a log that is kept always is kept whole, unless a bound is set", () => {
    expect(readConfig(flags({ events: "always" }), {}).eventsPerSecond).toBe(0);
    expect(readConfig(flags({ events: "always", "events-per-second": "700" }), {}).eventsPerSecond).toBe(700);
    expect(readConfig(flags({ "events-per-second": "0" }), {}).eventsPerSecond).toBe(0);
  });

  test("an empty flag is refused: a variable of the shell that is not set must not change the store", () => {
    expect(problems({ redis: "" })).toEqual([expect.stringMatching(/^--redis must be redis:.*\(got ""\)$/)]);
  });

  test("a problem names the source, the rule and the value", () => {
    expect(problems({ grace: "soon" }, { TASKQUEUE_SWEEP: "9h" })).toEqual([
      '--grace must be a duration from 0s to 1h, such as 500ms, 2s or 1h (got "soon")',
      'TASKQUEUE_SWEEP must be a duration from 10ms to 1h, such as 500ms, 2s or 1h (got "9h")',
    ]);
  });

  test("a variable that looks like ours and is none is found, unless Kubernetes made it", () => {
    const variables = {
      TASKQUEUE_GRACE: "1s",
      TASKQUEUE_ADDRESS: "x:1",
      TASKQUEUE_GRACES: "1s",
      TASKQUEUE_PORT: "tcp://10.0.0.1:50051",
      TASKQUEUE_PORT_50051_TCP_ADDR: "10.0.0.1",
      TASKQUEUE_SERVICE_HOST: "10.0.0.1",
      TASKQUEUE_REDIS_SERVICE_PORT: "6379",
      PATH: "/bin",
    };
    expect(unknownVariables(variables)).toEqual(["TASKQUEUE_GRACES"]);
  });
});

describe("addresses", () => {
  test.each([
    ["127.0.0.1:0", { kind: "tcp", host: "127.0.0.1", port: 0, text: "127.0.0.1:0" }],
    ["[::1]:50051", { kind: "tcp", host: "::1", port: 50051, text: "[::1]:50051" }],
    ["localhost:1", { kind: "tcp", host: "localhost", port: 1, text: "localhost:1" }],
    ["unix:/tmp/x.sock", { kind: "unix", path: "/tmp/x.sock", text: "unix:/tmp/x.sock" }],
    ["unix:///tmp/x.sock", { kind: "unix", path: "/tmp/x.sock", text: "unix:/tmp/x.sock" }],
  ])("%s", (text, endpoint) => {
    expect(readConfig(flags({ listen: text }), {}).listen).toEqual(endpoint);
  });

  test.each([
    "50051",
    ":50051",
    "localhost",
    "localhost:65536",
    "http://localhost:1",
    "::1:5",
    `unix:/${"x".repeat(110)}`,
  ])("%s is refused", (text) => {
    expect(problems({ listen: text, insecure: "true" })).toHaveLength(1);
  });

  test.each(["0.0.0.0:50051", "[::]:50051", "10.1.2.3:50051", "broker.example:50051"])(
    "%s needs --insecure",
    (text) => {
      expect(problems({ listen: text })).toEqual([
        expect.stringMatching(/--listen must be a loopback address.*--insecure/),
      ]);
      expect(problems({ http: text })).toEqual([expect.stringMatching(/^--http must be/)]);
      expect(problems({ listen: text, insecure: "true" })).toEqual([]);
      expect(problems({ listen: text }, { TASKQUEUE_INSECURE: "1" })).toEqual([]);
    },
  );

  test("127.0.0.2 is the loopback too, 127.evil.example is not", () => {
    expect(isLoopback({ kind: "tcp", host: "127.0.0.2", port: 1, text: "" })).toBe(true);
    expect(isLoopback({ kind: "tcp", host: "127.evil.example", port: 1, text: "" })).toBe(false);
  });

  test("the HTTP port can be switched off, and takes no socket file", () => {
    expect(readConfig(flags({ http: "off" }), {}).http).toBe("off");
    expect(problems({ http: "unix:/tmp/x" })).toHaveLength(1);
  });
});

describe("stores", () => {
  test.each([
    ["redis://localhost:6379", "redis://localhost:6379"],
    ["localhost:6379", "redis://localhost:6379"],
    ["rediss://user:p%40ss@redis.example/2", "rediss://user:p%40ss@redis.example/2"],
    ["redis://:secret@a:7000,b:7001", "redis://:secret@a:7000,redis://b:7001"],
    ["redis://:se,cret@a:7000", "redis://:se,cret@a:7000"],
    ["redis://:se,cret@a:7000,redis://:se,cret@b:7001", "redis://:se,cret@a:7000,redis://:se,cret@b:7001"],
  ])("%s", (text, url) => {
    expect(readConfig(flags({ redis: text }), {}).redis?.join()).toBe(url);
  });

  test.each([
    "http://localhost",
    "redis://",
    "redis://localhost/x",
    "redis://localhost?db=1",
    "redis://local host",
    "a:1,",
    "a:1,redis://b:2/1",
  ])("%s is refused", (text) => {
    expect(problems({ redis: text })).toHaveLength(1);
  });

  test("a password does not get into the message", () => {
    expect(problems({ redis: "redis://user:secret@localhost/x" })).toEqual([
      expect.stringContaining('"redis://***@localhost/x"'),
    ]);
    expect(problems({ redis: "redis://user:se,cret@a:1,redis://user:se,cret@b/x" })).toEqual([
      expect.stringContaining('"redis://***@a:1,redis://***@b/x"'),
    ]);
  });

  test("--redis and --data exclude each other as flags; as variables, --redis wins", () => {
    expect(problems({ redis: "localhost:1", data: "x" })).toEqual([expect.stringMatching(/^--data must not be given/)]);
    expect(problems({ redis: "localhost:1" }, { TASKQUEUE_DATA: "/data" })).toEqual([]);
  });
});

test("a folder that is removed at the end is not synced, unless that is asked for", () => {
  expect(readConfig(flags({ data: ":memory:" }), {}).sync).toBe("no");
  expect(readConfig(flags({ data: ":memory:", sync: "always" }), {}).sync).toBe("always");
});

test.each([
  ["task-bytes-max", "1KiB", "taskBytesMax", 1_024],
  ["task-bytes-max", "2000", "taskBytesMax", 2_000],
  ["grace", "0", "graceMs", 0],
  ["drain-timeout", "1m30s", "drainTimeoutMs", 90_000],
  ["log-format", "pretty", "logFormat", "pretty"],
  ["allow-eviction", "true", "allowEviction", true],
])("--%s %s", (flag, text, key, value) => {
  expect(readConfig(flags({ [flag]: text }), {})).toHaveProperty(key, value);
});

test.each([
  ["task-bytes-max", "1"],
  ["task-bytes-max", "1TiB"],
  ["task-bytes-max", "65MiB"],
  ["grace", "-1s"],
  ["grace", "2"],
  ["session-timeout", "0"],
  ["events", "never"],
  ["namespace", "a b"],
  ["namespace", "{x}"],
  ["name", "a\nb"],
  ["log-level", "loud"],
  ["sync", "sometimes"],
])("--%s %j is refused", (flag, text) => {
  expect(problems({ [flag]: text })).toHaveLength(1);
});

test("heartbeats come at least twice in a session's timeout", () => {
  expect(problems({ "session-timeout": "1s", heartbeat: "501ms" })).toEqual([
    '--heartbeat must be at most half of --session-timeout, 1s (got "501ms")',
  ]);
  expect(problems({ "session-timeout": "1s", heartbeat: "500ms" })).toEqual([]);
});
