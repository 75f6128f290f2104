/** One worker, whose processors sleep, fail, hang and crash as fate decides. */
import { type CloseReport, defineTopic, type RunningTask, Worker } from "@taskqueue/sdk";
import { type Clock, pause } from "../../lib/clock.js";
import { fateOf } from "./fate.js";
import type { TaskNumber } from "./ledger.js";
import { type Plan, taskOf } from "./plan.js";
import type { SimulatedArgs } from "./produce.js";

/** Where processors tell what they do. */
export interface Books {
  /** Resolves when the entry is safe even if this process dies the next moment. */
  finished(task: TaskNumber): Promise<void>;
  note(what: "failed" | "hung"): void;
  /** Ends this process without a chance to clean up. Never resolves. */
  crash(): Promise<never>;
}

export interface RunningWorker {
  close(timeoutMs: number): Promise<CloseReport>;
}

/** Resolves when a broker has welcomed the worker. */
export async function work(plan: Plan, name: string, clock: Clock, books: Books): Promise<RunningWorker> {
  const worker = new Worker({ address: plan.address, concurrency: plan.concurrency, name });
  for (const topic of plan.topics) {
    worker.register(defineTopic<SimulatedArgs>(topic), (_, task) => processTask(plan, task, clock, books));
  }
  await worker.start();
  return { close: (timeoutMs) => worker.close({ timeoutMs }) };
}

async function processTask(plan: Plan, task: RunningTask, clock: Clock, books: Books): Promise<void> {
  const own = taskOf(plan.run, task.id);
  const fate = fateOf(plan, own === undefined ? task.id : `${own.producer}/${own.number}`, task.attempt);
  if (fate.end === "crash") {
    await pause(clock, fate.runMs / 2, task.signal);
    await books.crash();
  }
  if (fate.runMs > 0) await pause(clock, fate.runMs, task.signal);
  task.signal.throwIfAborted();
  if (fate.end === "hang") {
    books.note("hung");
    await aborted(task.signal);
    task.signal.throwIfAborted();
  }
  if (fate.end === "fail") {
    books.note("failed");
    throw new Error("processor failed");
  }
  if (own !== undefined) await books.finished(own);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
