import { describe, expect, test } from "vitest";
import type { RunningBroker } from "../../../server/cli/context.js";
import { run } from "../../../server/cli/program.js";
import type { Config } from "../../../server/config.js";
import { TaskqueueError } from "../../../server/domain/errors.js";
import { FakeContext, runWith } from "./fake-context.js";

/** A broker that starts at once; the test decides when it fails. */
function broker() {
  const configs: Config[] = [];
  const started = withResolvers<void>();
  const failed = withResolvers<never>();
  let stops = 0;
  const running: RunningBroker = {
    address: "127.0.0.1:1",
    httpAddress: undefined,
    failed: failed.promise,
    async stop() {
      stops += 1;
    },
  };
  const startBroker = async (config: Config) => {
    configs.push(config);
    started.resolve();
    return running;
  };
  return { configs, started: started.promise, fail: failed.reject, stops: () => stops, startBroker };
}

test("options become the configuration, and a signal stops the broker", async () => {
  const { startBroker, configs, started, stops } = broker();
  const context = new FakeContext({ startBroker, environment: { TASKQUEUE_GRACE: "5s" } });
  const code = run(["serve", "--listen", "127.0.0.1:0", "--session-timeout", "1m", "--events", "always"], context);
  await started;
  await settled(() => context.signalListeners.size > 0);
  for (const listener of context.signalListeners) listener("SIGTERM");
  expect(await code).toBe(0);
  expect(stops()).toBe(1);
  expect(configs).toMatchObject([
    { listen: { kind: "tcp", port: 0 }, sessionTimeoutMs: 60_000, graceMs: 5_000, events: "always" },
  ]);
});

test("a second signal ends it at once", async () => {
  const { startBroker, started } = broker();
  const context = new FakeContext({ startBroker });
  const code = run(["serve"], context);
  await started;
  await settled(() => context.signalListeners.size > 0);
  const [listener] = context.signalListeners;
  listener?.("SIGINT");
  expect(() => listener?.("SIGINT")).toThrow("exit 130");
  await code;
});

test("a broker that ends by itself is stopped, and its reason told", async () => {
  const { startBroker, started, fail, stops } = broker();
  const context = new FakeContext({ startBroker });
  const code = run(["serve"], context);
  await started;
  fail(new TaskqueueError("STORE_UNAVAILABLE", "the disk is gone"));
  expect(await code).toBe(3);
  expect(stops()).toBe(1);
  expect(context.err).toBe("error: the disk is gone\n");
});

describe("what is refused", () => {
  test("every problem is named at once, with exit code 2", async () => {
    const { code, stderr } = await runWith(["serve", "--grace", "soon", "--listen", "0.0.0.0:50051"]);
    expect(code).toBe(2);
    expect(stderr.split("\n")).toEqual([
      expect.stringMatching(/^error: --grace must be a duration/),
      expect.stringMatching(/^error: --listen must be a loopback address/),
      "",
    ]);
  });

  test("an address in use is told without a stack", async () => {
    const error = Object.assign(new Error("listen EADDRINUSE: address already in use"), { syscall: "listen" });
    const { code, stderr } = await runWith(["serve"], { startBroker: () => Promise.reject(error) });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: "error: cannot start: listen EADDRINUSE: address already in use\n",
    });
  });

  test("a variable that is none of ours is warned of", async () => {
    const environment = { TASKQUEUE_SESION_TIMEOUT: "1s", TASKQUEUE_PORT: "tcp://10.0.0.1:50051" };
    const { stderr } = await runWith(["serve"], { environment });
    expect(stderr).toMatch(/^warning: TASKQUEUE_SESION_TIMEOUT is not a variable that taskqueue knows\nerror/);
  });
});

async function settled(condition: () => boolean): Promise<void> {
  while (!condition()) await Promise.resolve();
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (reason: Error) => void } {
  let resolve!: (value: T) => void;
  let reject!: (reason: Error) => void;
  const promise = new Promise<T>((onFulfilled, onRejected) => {
    resolve = onFulfilled;
    reject = onRejected;
  });
  return { promise, resolve, reject };
}
