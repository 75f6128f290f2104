import { DoNotRetry, defineTopic, RetryLater } from "@taskqueue/sdk";
import { nextEvent, runProcessor } from "@taskqueue/sdk/testing";
import { describe, expect, test } from "vitest";
import { attach } from "./worker-fixture.js";

const resize = defineTopic<[width: number, height: number], { area: number }>("resize");

describe("runProcessor", () => {
  test("gives the processor what a worker would give it, and returns what the broker would get", async () => {
    const outcome = await runProcessor(
      resize,
      ([width, height], task) => {
        task.progress(0.5, `${task.topic} ${task.id} ${task.attempt} ${task.metadata.who}`);
        return { area: width * height };
      },
      [2, 3],
      { id: "a", attempt: 2, failures: 1, metadata: { who: "me" } },
    );
    expect(outcome).toEqual({
      kind: "completed",
      result: { area: 6 },
      progress: [{ fraction: 0.5, message: "resize a 2 me" }],
    });
  });

  test("says how a failure would be treated", async () => {
    const run = (error: unknown, failures = 0) =>
      runProcessor(resize, () => Promise.reject(error), [1, 1], {
        failures,
        register: { backoff: (retry) => retry * 10 },
      });
    expect(await run(new Error("x"), 2)).toMatchObject({ kind: "failed", retryDelayMs: 30, doNotRetry: false });
    expect(await run(new RetryLater(5))).toMatchObject({ retryDelayMs: 5 });
    expect(await run(new DoNotRetry("never"))).toMatchObject({
      doNotRetry: true,
      message: expect.stringMatching(/never/),
    });
  });

  test("refuses input that could not be enqueued, and results that could not be kept", async () => {
    await expect(runProcessor(resize, () => ({ area: 0 }), [Number.NaN, 1])).rejects.toMatchObject({
      field: "args[0]",
    });
    const outcome = await runProcessor(resize, () => ({ area: Number.NaN }), [1, 1]);
    expect(outcome).toMatchObject({ kind: "failed", doNotRetry: true, message: expect.stringMatching(/result\.area/) });
  });

  test("fires the signal", async () => {
    const controller = new AbortController();
    const outcome = runProcessor(
      resize,
      (_, task) =>
        new Promise((_resolve, reject) => task.signal.addEventListener("abort", () => reject(task.signal.reason))),
      [1, 1],
      { signal: controller.signal },
    );
    setImmediate(() => controller.abort());
    expect(await outcome).toMatchObject({ kind: "failed", error: { code: "TASK_CANCELLED" } });
  });
});

describe("nextEvent", () => {
  test("awaits a worker's event, the first that fits, until its signal aborts", async () => {
    await using attached = await attach(() => {});
    const started = nextEvent(attached.worker, "task:started", { where: ({ task }) => task.id === "b" });
    attached.stream.deliver({ id: "a" }, { id: "b" });
    expect((await started).task.id).toBe("b");
    const controller = new AbortController();
    const never = nextEvent(attached.worker, "session:lost", { signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(never).rejects.toThrow("enough");
  });
});
