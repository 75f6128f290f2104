import type { TaskResult, TaskState } from "@taskqueue/sdk";
import { describe, expect, test } from "vitest";
import { listing, runWith } from "./fake-context.js";

const done = (id: string): TaskResult => ({ id, outcome: "done", state: undefined });
const missing = (id: string): TaskResult => ({ id, outcome: "not_found", state: undefined });
const wrong = (id: string, state: TaskState): TaskResult => ({ id, outcome: "wrong_state", state });

describe("cancel", () => {
  test.each([
    ["all done", [done("x")], 0],
    ["a worker was asked", [{ id: "x", outcome: "cancel_requested", state: undefined } as const], 0],
    ["one not found", [done("x"), missing("y")], 4],
    ["one refused", [missing("x"), wrong("y", "dead")], 1],
  ])("%s", async (_, results, code) => {
    const outcome = await runWith(["cancel", "clicks", "x", "y"], {
      client: { admin: { cancel: async () => results } },
    });
    expect(outcome.code).toBe(code);
    expect(outcome.stdout.split("\n")[0]).toBe("ID  OUTCOME");
  });

  test("tells the state that forbade it", async () => {
    const client = { admin: { cancel: async () => [wrong("x", "dead")] } };
    expect((await runWith(["cancel", "clicks", "x"], { client })).stdout).toContain("x   wrong state: dead\n");
    expect((await runWith(["cancel", "clicks", "x", "--json"], { client })).json()).toEqual([
      { id: "x", outcome: "wrong_state", state: "dead" },
    ]);
  });
});

describe("dead", () => {
  test("delete removes dead tasks only", async () => {
    const states: Record<string, TaskState> = { a: "dead", b: "ready", d: "dead" };
    const deleted: string[][] = [];
    const admin = {
      getTask: async (_: string, id: string) => (states[id] === undefined ? undefined : { id, state: states[id] }),
      delete: async (_: string, ids: string[]) => {
        deleted.push(ids);
        return ids.map(done);
      },
    };
    const { code, json } = await runWith(["dead", "delete", "clicks", "a", "b", "c", "d", "--json"], {
      client: { admin },
    });
    expect(deleted).toEqual([["a", "d"]]);
    expect(code).toBe(1);
    expect(json()).toEqual([
      { id: "a", outcome: "done", state: null },
      { id: "b", outcome: "wrong_state", state: "ready" },
      { id: "c", outcome: "not_found", state: null },
      { id: "d", outcome: "done", state: null },
    ]);
  });

  test("--all takes them all", async () => {
    const admin = { requeueAllDead: async () => 3, purge: async () => ({ deleted: 1, more: false }) };
    expect(await runWith(["dead", "requeue", "clicks", "--all"], { client: { admin } })).toMatchObject({
      code: 0,
      stdout: "requeued 3 tasks\n",
    });
    expect((await runWith(["dead", "delete", "clicks", "--all", "--json"], { client: { admin } })).json()).toEqual([
      { deleted: 1 },
    ]);
  });

  test("show refuses a task that is not dead", async () => {
    const admin = { getTask: async () => ({ id: "x", state: "ready" }) };
    const { code, stderr } = await runWith(["dead", "show", "clicks", "x"], { client: { admin } });
    expect({ code, stderr }).toEqual({ code: 1, stderr: "task x of topic clicks is not dead: it is ready\n" });
  });

  test("list asks for dead tasks", async () => {
    const queries: unknown[] = [];
    const listTasks = (query: unknown) => {
      queries.push(query);
      return listing([]);
    };
    expect((await runWith(["dead", "list", "clicks"], { client: { admin: { listTasks } } })).code).toBe(0);
    expect(queries).toEqual([{ topic: "clicks", state: "dead", pageSize: 101 }]);
  });
});

test("purge tells how many, and whether there are more", async () => {
  const calls: unknown[] = [];
  const purge = async (...args: unknown[]) => {
    calls.push(args);
    return { deleted: 1, more: true };
  };
  const outcome = await runWith(["purge", "clicks", "--state", "ready", "--limit", "1"], {
    client: { admin: { purge } },
  });
  expect(outcome).toMatchObject({ code: 0, stdout: "deleted 1 task; there are more\n" });
  expect(calls).toEqual([["clicks", "ready", { limit: 1 }]]);
});

describe("topics", () => {
  test("are listed by default", async () => {
    const client = { admin: { listTopics: () => listing([]) } };
    expect((await runWith(["topics"], { client })).stdout).toMatch(/^TOPIC +READY/);
  });

  test.each(["pause", "resume"])("%s", async (verb) => {
    const client = { admin: { [verb]: async () => {} } };
    const { json } = await runWith(["topics", verb, "clicks", "--json"], { client });
    expect(json()).toEqual([{ topic: "clicks", paused: verb === "pause" }]);
  });

  test("configure changes what is named, resets what is asked, and keeps the rest of a backoff", async () => {
    const changes: unknown[] = [];
    const configure = async (_: string, change: object) => {
      changes.push(change);
      return { backoff: { initialMs: 500, factor: 3, maxMs: 60_000, jitter: 0 } };
    };
    const { code, json } = await runWith(
      [
        "topics",
        "configure",
        "clicks",
        "--timeout",
        "30s",
        "--backoff-max",
        "2m",
        "--reset",
        "num-retries,tasks-max",
        "--json",
      ],
      { client: { admin: { configure } } },
    );
    expect(code).toBe(0);
    expect(changes).toEqual([
      {},
      {
        numRetries: null,
        tasksMax: null,
        timeoutMs: 30_000,
        backoff: { initialMs: 500, factor: 3, maxMs: 120_000, jitter: 0 },
      },
    ]);
    expect(json()).toEqual([
      {
        topic: "clicks",
        settings: {
          numRetries: null,
          backoff: { initialMs: 500, factor: 3, maxMs: 60_000, jitter: 0 },
          timeoutMs: null,
          lostLeasesMax: null,
          tasksMax: null,
          bytesMax: null,
        },
      },
    ]);
  });

  test.each([
    ["--reset", "colour"],
    ["--backoff-factor", "0.5"],
    ["--backoff-jitter", "2"],
    ["--timeout", "25d"],
    ["--lost-leases-max", "0"],
  ])("configure refuses %s %s", async (...argv) => {
    expect(await runWith(["topics", "configure", "clicks", ...argv])).toMatchObject({ code: 2, connections: [] });
  });
});
