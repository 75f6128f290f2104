import { type Stats, type TaskInfo, TaskqueueError, type WatchEvent, type WorkerInfo } from "@taskqueue/sdk";
import { describe, expect, test } from "vitest";
import { listing, runWith } from "./fake-context.js";

const STATS: Stats = {
  enqueued: 10,
  started: 9,
  retried: 1,
  failed: 1,
  completed: 6,
  released: 0,
  expired: 0,
  cancelled: 0,
  aborted: 0,
  requeued: 0,
  deleted: 0,
  inputQueueSize: 2,
  workQueueSize: 1,
  deadQueueSize: 1,
  scheduledSize: 3,
  completedSize: 0,
  cancelledSize: 0,
  bytes: 1536,
  oldestReadyAgeMs: undefined,
  workers: 1,
  slots: 25,
};

function task(overrides: Partial<TaskInfo> = {}): TaskInfo {
  return {
    topic: "clicks",
    id: "x1",
    args: [640, "a\u001b[31mb"],
    payload: undefined,
    contentType: "",
    externalId: "order-1",
    numRetries: undefined,
    priority: 0,
    timeoutMs: undefined,
    metadata: { traceparent: "00" },
    backoff: undefined,
    retentionMs: 0,
    state: "dead",
    attempt: 3,
    failures: 3,
    lostLeases: 0,
    enqueuedAt: new Date("2026-01-31T12:00:00Z"),
    dueAt: undefined,
    startedAt: undefined,
    finishedAt: new Date("2026-01-31T12:00:05.250Z"),
    sessionId: undefined,
    lastError: "boom\n    at \u001b]0;title\u0007x",
    deadReason: "retries_exhausted",
    progress: undefined,
    result: undefined,
    cancelRequested: false,
    ...overrides,
  };
}

/** Every control character but the line feed. */
const CONTROL = /(?!\n)\p{Cc}/u;

describe("stats", () => {
  const at = new Date("2026-01-31T12:00:00Z");
  const report = { at, stats: STATS, topics: [{ topic: "clicks", stats: STATS, paused: true }] };

  test("prints every figure", async () => {
    const asked: unknown[] = [];
    const stats = async (options: unknown) => {
      asked.push(options);
      return report;
    };
    const { code, stdout } = await runWith(["stats", "clicks"], { client: { stats } });
    expect(code).toBe(0);
    expect(asked).toEqual([{ topic: "clicks", perTopic: false }]);
    expect(stdout).toContain("enqueued             10");
    expect(stdout).toContain("1.5KiB");
  });

  test("--json has the same keys always; what is unset is null", async () => {
    const { json } = await runWith(["stats", "--json", "--per-topic"], { client: { stats: async () => report } });
    const stats = { ...STATS, oldestReadyAgeMs: null };
    expect(json()).toEqual([
      { at: "2026-01-31T12:00:00.000Z", topic: null, stats, topics: [{ topic: "clicks", paused: true, stats }] },
    ]);
  });

  test("--per-topic aligns its columns", async () => {
    const { stdout } = await runWith(["stats", "--per-topic"], { client: { stats: async () => report } });
    const [title = "", row = ""] = stdout.split("\n");
    expect(row).toMatch(/^clicks \(paused\) /);
    expect(row.indexOf(" 2 ") + 2).toBe(title.indexOf("READY") + "READY".length);
  });
});

describe("get and list", () => {
  test("a task is shown in full, harmless to the terminal", async () => {
    const { code, stdout } = await runWith(["get", "clicks", "x1"], {
      client: { admin: { getTask: async () => task() } },
    });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^input +\[640,"a\\u001b\[31mb"\]$/m);
    expect(stdout).toMatch(/^last error +boom\\n {4}at \\u001b/m);
    expect(stdout).not.toMatch(CONTROL);
  });

  test("--json names every field", async () => {
    const { json } = await runWith(["get", "clicks", "x1", "--json"], {
      client: { admin: { getTask: async () => task({ args: undefined, payload: Buffer.from("abc") }) } },
    });
    expect(json()).toHaveLength(1);
    expect(json()[0]).toMatchObject({
      id: "x1",
      args: null,
      payload: "YWJj",
      dueAt: null,
      result: null,
      state: "dead",
    });
    expect(Object.keys(json()[0] as object)).toEqual(Object.keys(task()).sort(byShownOrder(json()[0] as object)));
  });

  test("a task that is not there exits with 4", async () => {
    const { code, stdout, stderr } = await runWith(["get", "clicks", "x1"], {
      client: { admin: { getTask: async () => undefined } },
    });
    expect({ code, stdout }).toEqual({ code: 4, stdout: "" });
    expect(stderr).toBe("there is no task x1 in topic clicks, or its retention is over\n");
  });

  test("a list stops at its limit and says that there is more", async () => {
    const queries: unknown[] = [];
    const listTasks = (query: unknown) => {
      queries.push(query);
      return listing([task(), task({ id: "x2" }), task({ id: "x3" })]);
    };
    const { stdout, stderr } = await runWith(["list", "clicks", "--state", "dead", "--limit", "2"], {
      client: { admin: { listTasks } },
    });
    expect(queries).toEqual([{ topic: "clicks", state: "dead", pageSize: 3 }]);
    expect(stdout.split("\n").map((line) => line.slice(0, 2))).toEqual(["ID", "x1", "x2", ""]);
    expect(stderr).toBe("there are more; --limit 0 shows all\n");
    expect(stdout).not.toMatch(CONTROL);
  });

  test("a list as JSON is a line per task", async () => {
    const { json, stderr } = await runWith(["list", "clicks", "--external-id", "order-1", "--limit", "0", "--json"], {
      client: { admin: { listTasks: () => listing([task(), task({ id: "x2" })]) } },
    });
    expect(json()).toMatchObject([{ id: "x1" }, { id: "x2" }]);
    expect(stderr).toBe("");
  });
});

test("workers are listed with their topics", async () => {
  const worker: WorkerInfo = {
    sessionId: "s1",
    worker: "host-1",
    broker: "b1",
    sdk: "taskqueue-node/0.1.0",
    address: "127.0.0.1:5000",
    topics: [
      { topic: "clicks", concurrency: 5, weight: 3 },
      { topic: "mails", concurrency: 0, weight: 1 },
    ],
    slots: 25,
    startedAt: undefined,
    expiresInMs: 14_000,
    attached: false,
  };
  const client = { admin: { listWorkers: () => listing([worker]) } };
  expect((await runWith(["workers"], { client })).stdout).toMatch(/host-1 +s1 .* lost .* 14s .*clicks\(5\)x3 mails$/m);
  expect((await runWith(["workers", "--json"], { client })).json()).toEqual([{ ...worker, startedAt: null }]);
});

describe("health", () => {
  test("says that a broker serves", async () => {
    const client = { admin: { listWorkers: () => listing([]) } };
    expect(await runWith(["health"], { client })).toMatchObject({ code: 0, stdout: "serving (answered in 0 ms)\n" });
    expect((await runWith(["health", "--json"], { client })).json()).toEqual([{ status: "serving", ms: 0 }]);
  });

  test("exits with 3 when none answers", async () => {
    const page = () => Promise.reject(new TaskqueueError("UNREACHABLE", "nobody there"));
    const client = { admin: { listWorkers: () => ({ page }) } };
    expect(await runWith(["health"], { client })).toMatchObject({
      code: 3,
      stdout: "not serving\n",
      stderr: "nobody there\n",
    });
    expect((await runWith(["health", "--json"], { client })).json()).toEqual([
      { status: "not_serving", code: "UNREACHABLE", message: "nobody there" },
    ]);
  });
});

describe("watch", () => {
  const event: WatchEvent = {
    type: "TASK_RETRY",
    at: new Date("2026-01-31T12:00:00.123Z"),
    broker: "b1",
    worker: "w1",
    topic: "clicks",
    taskId: "x1",
    externalId: "",
    attempt: 2,
    durationMs: 1_500,
    error: "boom\nat x",
    stats: undefined,
    progress: undefined,
    cursor: "c2",
    dropped: false,
  };

  function watching(events: readonly WatchEvent[]) {
    const asked: object[] = [];
    const watch = (options: object) => {
      asked.push(options);
      return { ...listing(events), ready: Promise.resolve("c1"), [Symbol.asyncDispose]: async () => {} };
    };
    return { asked, client: { watch } };
  }

  test("prints a line per event, and the cursor at the end", async () => {
    const { client } = watching([event, { ...event, dropped: true }]);
    const { code, stdout, stderr } = await runWith(["watch"], { client });
    expect(code).toBe(0);
    expect(stdout.split("\n")[0]).toMatch(
      /^\d\d:00:00\.123 {2}TASK_RETRY {7}clicks x1 {2}attempt 2 {2}by w1 {2}after 1\.5s {2}boom\\nat x$/,
    );
    expect(stderr).toBe("events before this one were lost\nto go on from here: --after c2\n");
  });

  test("filters reach the broker; types are short or long, in any case", async () => {
    const { client, asked } = watching([]);
    await runWith(
      [
        "watch",
        "--topic",
        "a,b",
        "--topic",
        "c",
        "--id",
        "x",
        "--external-id",
        "o",
        "--types",
        "retry,task_FAILURE",
        "--after",
        "c0",
      ],
      {
        client,
      },
    );
    expect(asked[0]).toMatchObject({
      topics: ["a", "b", "c"],
      taskIds: ["x"],
      externalIds: ["o"],
      types: ["TASK_RETRY", "TASK_FAILURE"],
      after: "c0",
    });
  });

  test("leaves out the stats of each second unless asked", async () => {
    const { client, asked } = watching([]);
    await runWith(["watch"], { client });
    expect(asked[0]).toMatchObject({ types: expect.not.arrayContaining(["MANAGER_STATS"]) });
  });

  test("--count ends it; --json names every field", async () => {
    const { client } = watching([event, event, event]);
    const { json } = await runWith(["watch", "--count", "2", "--json"], { client });
    expect(json()).toEqual(
      [1, 2].map(() => ({ ...event, at: "2026-01-31T12:00:00.123Z", stats: null, progress: null })),
    );
  });
});

function byShownOrder(shown: object): (a: string, b: string) => number {
  const keys = Object.keys(shown);
  return (a, b) => keys.indexOf(a) - keys.indexOf(b);
}
