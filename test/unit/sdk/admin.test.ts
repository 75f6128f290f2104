import { Client, type WatchEvent } from "@taskqueue/sdk";
import { AdminServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/admin.js";
import { BrokerServiceDefinition, type WatchResponse } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { createServer, type Server, ServerError, Status } from "nice-grpc";
import { ErrorInfo, errorDetailsServerMiddleware, RichServerError } from "nice-grpc-error-details";
import { describe, expect, test } from "vitest";

type Answers = Record<string, (request: Record<string, unknown>) => unknown>;

/** A broker whose answers are given by method; what was asked is kept. */
async function serve(answers: Answers): Promise<{ client: Client; asked: unknown[] } & AsyncDisposable> {
  const asked: unknown[] = [];
  const server: Server = createServer().use(errorDetailsServerMiddleware);
  const methods = [...Object.keys(AdminServiceDefinition.methods)];
  const implementation = Object.fromEntries(
    methods.map((method) => [
      method,
      async (request: Record<string, unknown>) => {
        asked.push({ method, ...request });
        return answers[method]?.(request) ?? {};
      },
    ]),
  );
  server.add(AdminServiceDefinition, implementation as never);
  server.add(BrokerServiceDefinition, {
    enqueue: async () => ({}),
    async *enqueueStream() {},
    stats: async (request) => {
      asked.push({ method: "stats", ...request });
      return (answers.stats?.({ ...request }) ?? {}) as object;
    },
    async *watch(request) {
      asked.push({ method: "watch", ...request });
      yield* (answers.watch?.({ ...request }) ?? []) as Iterable<Partial<WatchResponse>>;
    },
  });
  const port = await server.listen("127.0.0.1:0");
  const client = new Client({ address: `127.0.0.1:${port}` });
  return {
    client,
    asked,
    async [Symbol.asyncDispose]() {
      await client.close();
      server.forceShutdown();
    },
  };
}

const refused = (code: Status, reason: string) => () => {
  throw new RichServerError(code, reason, [ErrorInfo.fromPartial({ reason, domain: "taskqueue" })]);
};

describe("a task", () => {
  test("is told in the SDK's words, however deep its args nest", async () => {
    const deep = (levels: number): unknown => (levels === 0 ? 1 : { a: [deep(levels - 2)] });
    await using broker = await serve({
      getTask: () => ({
        task: {
          task: { topic: "t", id: "a", args: [deep(28)], timeout: { seconds: 1, nanos: 0 } },
          state: 4,
          deadReason: 3,
        },
      }),
    });
    expect(await broker.client.admin.getTask("t", "a")).toMatchObject({
      args: [deep(28)],
      payload: undefined,
      timeoutMs: 1_000,
      state: "dead",
      deadReason: "lost_leases",
      sessionId: undefined,
      lastError: undefined,
    });
  });

  test("that does not exist is undefined; other errors are thrown", async () => {
    let answer = refused(Status.NOT_FOUND, "TASK_NOT_FOUND");
    await using broker = await serve({ getTask: () => answer() });
    expect(await broker.client.admin.getTask("t", "a")).toBeUndefined();
    answer = refused(Status.INVALID_ARGUMENT, "INVALID_ARGUMENT");
    await expect(broker.client.admin.getTask("t", "a")).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});

describe("a call that fails for now", () => {
  test("is repeated when that is safe, and only then", async () => {
    let failures = 2;
    const flaky = () => {
      failures -= 1;
      if (failures >= 0) throw new ServerError(Status.UNAVAILABLE, "away");
      return {};
    };
    await using broker = await serve({ stats: flaky, cancelTasks: flaky });
    await broker.client.stats();
    failures = 1;
    await expect(broker.client.admin.cancel("t", ["a"])).rejects.toMatchObject({
      code: "UNREACHABLE",
      retryable: true,
    });
  });
});

test("lists are read page by page, or one page at a time", async () => {
  await using broker = await serve({
    listTopics: ({ pageToken }) =>
      pageToken === ""
        ? { topics: [{ topic: "a" }, { topic: "b" }], nextPageToken: "2" }
        : { topics: [{ topic: "c" }] },
  });
  const names: string[] = [];
  for await (const { topic } of broker.client.admin.listTopics({ pageSize: 2 })) names.push(topic);
  expect(names).toEqual(["a", "b", "c"]);
  expect(await broker.client.admin.listTopics({ pageToken: "2" }).page()).toMatchObject({
    items: [{ topic: "c" }],
    nextPageToken: undefined,
  });
  expect(() => broker.client.admin.listTopics({ pageSize: 1_001 })).toThrow(/pageSize/);
});

test("ids beyond 1,000 go in parts, and their results come in order", async () => {
  await using broker = await serve({
    requeueTasks: ({ ids }) => ({ results: (ids as string[]).map((id) => ({ id, outcome: 3, state: 3 })) }),
  });
  const ids = Array.from({ length: 1_500 }, (_, n) => `id-${n}`);
  const results = await broker.client.admin.requeue("t", ids);
  expect(results.map(({ id }) => id)).toEqual(ids);
  expect(results[0]).toEqual({ id: "id-0", outcome: "wrong_state", state: "leased" });
  expect(broker.asked).toHaveLength(2);
});

test("purging goes on until nothing is left, or the limit is reached", async () => {
  let left = 2_300;
  await using broker = await serve({
    purgeTopic: ({ limit }) => {
      const deleted = Math.min(left, Number(limit));
      left -= deleted;
      return { deleted, more: left > 0 };
    },
  });
  expect(await broker.client.admin.purge("t", "dead", { limit: 1_200 })).toEqual({ deleted: 1_200, more: true });
  expect(await broker.client.admin.purge("t", "dead")).toEqual({ deleted: 1_100, more: false });
});

test("settings: a value changes, null resets, what is absent stays", async () => {
  await using broker = await serve({
    configureTopic: () => ({ settings: { numRetries: 2, timeout: { seconds: 3, nanos: 0 } } }),
  });
  const settings = await broker.client.admin.configure("t", { numRetries: 2, backoff: null, timeoutMs: 3_000 });
  expect(settings).toEqual({ numRetries: 2, timeoutMs: 3_000 });
  expect(broker.asked[0]).toMatchObject({
    reset: ["backoff"],
    settings: { numRetries: 2, timeout: { seconds: 3, nanos: 0 }, backoff: undefined, tasksMax: undefined },
  });
  await expect(broker.client.admin.configure("t", { retries: 1 } as object)).rejects.toThrow(/no option "retries"/);
});

describe("a watch", () => {
  test("is ready before anything happens, resumes where it stood, and tells what was dropped", async () => {
    let connections = 0;
    await using broker = await serve({
      *watch() {
        connections += 1;
        if (connections === 1) {
          yield { cursor: "c0" };
          yield { cursor: "c2", events: [{ type: 4, taskId: "a" }, { type: 99 }, { type: 5, taskId: "a" }] };
          throw new ServerError(Status.UNAVAILABLE, "lost");
        }
        if (connections === 2) {
          yield { cursor: "c5", dropped: true };
          throw new ServerError(Status.UNAVAILABLE, "lost");
        }
        yield { cursor: "c6", events: [{ type: 7, taskId: "a", duration: { seconds: 0, nanos: 1_000_000 } }] };
      },
    } as Answers);
    const watch = broker.client.watch({ topics: ["t"], types: ["TASK_ENQUEUE", "TASK_COMPLETION"] });
    expect(await watch.ready).toBe("c0");
    const events: WatchEvent[] = [];
    for await (const event of watch) {
      events.push(event);
      if (event.type === "TASK_COMPLETION") break;
    }
    expect(events).toMatchObject([
      { type: "TASK_ENQUEUE", cursor: "c0", dropped: false, taskId: "a" },
      { type: "TASK_START", cursor: "c2", dropped: false },
      { type: "TASK_COMPLETION", cursor: "c6", dropped: true, durationMs: 1 },
    ]);
    expect(broker.asked.map((request) => (request as { after: string }).after)).toEqual(["", "c2", "c5"]);
  });

  test("ends by its signal or by close, without an error", async () => {
    await using broker = await serve({ watch: () => [{ cursor: "c0" }] });
    const controller = new AbortController();
    const watch = broker.client.watch({ signal: controller.signal });
    await watch.ready;
    controller.abort();
    for await (const event of watch) throw new Error(`unexpected ${event.type}`);
    await watch.close();
  });

  test("that is refused throws where it is read", async () => {
    await using broker = await serve({
      *watch() {
        yield* [];
        refused(Status.INVALID_ARGUMENT, "INVALID_ARGUMENT")();
      },
    } as Answers);
    const watch = broker.client.watch();
    await expect(watch.ready).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(watch[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(() => broker.client.watch({ types: ["TASK_DONE" as never] })).toThrow(/TASK_START/);
  });
});
