/**
 * A worker: runs tasks through the SDK as any program would, and writes down
 * when a processor was entered and left, and what the broker said about it.
 */
import { DoNotRetry, defineTopic, type RunningTask, Worker } from "@taskqueue/sdk";
import { pause, systemClock } from "../../server/lib/clock.js";
import { asked, type QueueAddress, readOrders, tellAtWork, type WorkerOrders } from "./child.js";
import type { Happening } from "./history.js";
import { deedOf } from "./workload.js";

const { orders, recorder } = readOrders<WorkerOrders>();

async function run(task: RunningTask, timeoutMs: number, tell: (happening: Happening) => void): Promise<number> {
  const { id, topic, attempt, failures, leaseToken: token, signal } = task;
  tell({ kind: "run:started", topic, task: id, token, attempt, failures });
  signal.addEventListener("abort", () => tell({ kind: "run:aborted", token, reason: signal.reason.code }));
  const deed = deedOf(orders.seed, { id, topic, failures, timeoutMs });
  await pause(systemClock, deed.forMs, deed.heedsSignal ? signal : undefined);
  if (deed.heedsSignal && signal.aborted) {
    tell({ kind: "run:ended", token, outcome: "failed" });
    throw signal.reason;
  }
  tell({ kind: "run:ended", token, outcome: deed.outcome });
  if (deed.outcome === "failed") throw new Error(`attempt ${attempt} fails, as planned`);
  if (deed.outcome === "buried") throw new DoNotRetry("hopeless, as planned");
  return attempt;
}

function build({ queue, addresses }: QueueAddress): Worker {
  const tell = (happening: Happening) => recorder.record(happening, queue);
  const worker = new Worker({
    address: addresses,
    concurrency: orders.concurrency,
    name: orders.name,
    connectTimeoutMs: 1_000,
    startTimeoutMs: -1,
  });
  for (const name of orders.topics) {
    const topic = defineTopic<[id: string, timeoutMs: number], number>(name);
    worker.register(topic, ([, timeoutMs], task) => run(task, timeoutMs, tell));
  }
  worker.on("connected", ({ sessionId: session, broker, resumed }) =>
    tell({ kind: "worker:connected", session, broker, resumed }),
  );
  worker.on("disconnected", ({ error }) => tell({ kind: "worker:disconnected", code: error.code }));
  // The session's end follows the loss of its leases at once.
  let lost: string[] = [];
  const tellLost = (uncertain: boolean) => {
    for (const token of lost) tell({ kind: "lease:lost", token, uncertain });
    lost = [];
  };
  worker.on("lease:lost", ({ leaseToken }) => {
    if (lost.push(leaseToken) === 1) queueMicrotask(() => tellLost(false));
  });
  worker.on("session:lost", ({ sessionId: session }) => {
    tellLost(true);
    tell({ kind: "session:lost", session });
  });
  worker.on("task:released", ({ task }) => tell({ kind: "lease:released", token: task.leaseToken }));
  worker.on("settled", ({ leaseTokens }) => {
    for (const token of leaseTokens) tell({ kind: "lease:settled", token });
  });
  tell({ kind: "worker:started", concurrency: orders.concurrency, topics: orders.topics });
  return worker;
}

const stopped = asked();
const workers = orders.queues.map(build);
tellAtWork();
const started = Promise.allSettled(workers.map((worker) => worker.start()));
await stopped;
await Promise.all(workers.map((worker) => worker.close({ timeoutMs: 300 })));
await started;
recorder.close();
process.exit(0);
