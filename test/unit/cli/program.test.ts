import { TaskqueueError } from "@taskqueue/sdk";
import { describe, expect, test } from "vitest";
import { EXIT_CODES } from "../../../server/cli/exit-code.js";
import { runWith } from "./fake-context.js";

const failing = (error: Error) => ({ client: { stats: () => Promise.reject(error) } });

describe("usage", () => {
  test("the version goes to standard output", async () => {
    expect(await runWith(["--version"])).toMatchObject({ code: 0, stdout: "1.2.3\n", stderr: "" });
  });

  test("help that was asked for is no error, and lists the exit codes", async () => {
    const { code, stdout } = await runWith(["--help"]);
    expect(code).toBe(0);
    for (const { code: listed, meaning } of Object.values(EXIT_CODES))
      expect(stdout).toContain(`  ${listed}  ${meaning}`);
    expect(stdout).not.toContain("simulate-child");
  });

  test.each([
    "serve",
    "simulate",
    "enqueue",
    "stats",
    "watch",
    "get",
    "list",
    "workers",
    "health",
    "cancel",
    "delete",
    "purge",
  ])("%s has help with examples", async (command) => {
    const { code, stdout } = await runWith([command, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`Examples:\n {2}.*taskqueue ${command}`));
  });

  test.each([
    ["no command", []],
    ["an unknown command", ["stat"]],
    ["an unknown option", ["stats", "--verbose"]],
    ["an argument too many", ["stats", "a", "b"]],
    ["an argument too few", ["get", "a"]],
    ["a missing required option", ["purge", "a"]],
    ["a bad topic", ["stats", "a b"]],
    ["a bad task id", ["cancel", "a", "x y"]],
    ["a bad number", ["enqueue", "a", "--priority", "high"]],
    ["a number out of bounds", ["enqueue", "a", "--num-retries", "-1"]],
    ["a bad duration", ["enqueue", "a", "--delay", "soon"]],
    ["a bad moment", ["enqueue", "a", "--run-at", "2030-02-31T"]],
    ["a bad state", ["list", "a", "--state", "waiting"]],
    ["a state that cannot be purged", ["purge", "a", "--state", "leased"]],
    ["a bad event type", ["watch", "--types", "TASK_DONE"]],
    ["neither state nor external id", ["list", "a"]],
    ["neither ids nor --all", ["dead", "requeue", "a"]],
    ["both ids and --all", ["dead", "delete", "a", "x", "--all"]],
  ])("%s exits with 2, says why, and connects nowhere", async (_, argv) => {
    const { code, stdout, stderr, connections } = await runWith(argv);
    expect({ code, stdout, connections }).toEqual({ code: 2, stdout: "", connections: [] });
    expect(stderr).not.toBe("");
    expect(stderr).not.toMatch(/^ {4}at /m);
  });

  test("a refused value is named with its option and the rule", async () => {
    const { stderr } = await runWith(["enqueue", "a", "--priority", "1.5"]);
    expect(stderr).toContain("--priority");
    expect(stderr).toContain("1.5");
    expect(stderr).toContain("whole number from -2147483648 to 2147483647");
  });
});

describe("errors of a broker", () => {
  test.each([
    ["UNREACHABLE", 3],
    ["STORE_UNAVAILABLE", 3],
    ["DRAINING", 3],
    ["TASK_NOT_FOUND", 4],
    ["INVALID_ARGUMENT", 2],
    ["TOPIC_FULL", 1],
    ["INTERNAL", 1],
  ])("%s exits with %i, without a stack", async (code, exitCode) => {
    const outcome = await runWith(["stats"], failing(new TaskqueueError(code, "it did not work")));
    expect(outcome).toMatchObject({ code: exitCode, stdout: "", stderr: "error: it did not work\n" });
    expect(outcome.connections[0]?.closed).toBe(true);
  });

  test("are JSON on standard error with --json", async () => {
    const error = new TaskqueueError("INVALID_ARGUMENT", "topic: must be short", { field: "topic" });
    const { stderr } = await runWith(["stats", "--json"], failing(error));
    expect(JSON.parse(stderr)).toEqual({
      error: { code: "INVALID_ARGUMENT", message: "topic: must be short", field: "topic" },
    });
  });

  test("a bug shows its stack", async () => {
    const { code, stderr } = await runWith(["stats"], failing(new TypeError("x is not a function")));
    expect(code).toBe(1);
    expect(stderr).toMatch(/x is not a function\n {4}at /);
  });
});

describe("reaching a broker", () => {
  const client = { client: { admin: { getTask: async () => undefined } } };

  test("--address wins over TASKQUEUE_ADDRESS, and may name several", async () => {
    const environment = { TASKQUEUE_ADDRESS: "env:1" };
    const byFlag = await runWith(["get", "a", "x", "--address", "b:1, c:2", "--retry-for", "1m"], {
      ...client,
      environment,
    });
    expect(byFlag.connections[0]?.options).toMatchObject({ address: ["b:1", "c:2"], retryForMs: 60_000 });
    const byVariable = await runWith(["get", "a", "x"], { ...client, environment });
    expect(byVariable.connections[0]?.options).toMatchObject({ address: ["env:1"], retryForMs: 5_000 });
    const byDefault = await runWith(["get", "a", "x"], client);
    expect(byDefault.connections[0]?.options).toMatchObject({ address: ["localhost:50051"] });
  });
});
