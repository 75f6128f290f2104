/**
 * The producers and workers of a simulation, in this process or in processes of
 * their own; the simulation need not know which.
 */
import { type ChildProcess, fork } from "node:child_process";
import type { BrokerClient, Context } from "../context.js";
import { CommandError, codedError } from "../exit-code.js";
import type { Ledger } from "./ledger.js";
import { type ChildMessage, isChildMessage, type ParentMessage } from "./message.js";
import type { Plan } from "./plan.js";
import { produce } from "./produce.js";
import { work } from "./work.js";

export interface Producers {
  /** Settles when all have enqueued what they should, or were stopped; rejects with the first error. */
  readonly done: Promise<void>;
  stop(): void;
  kill(): void;
}

export interface Workers {
  /** Rejects when one cannot go on; never resolves. */
  readonly failed: Promise<never>;
  /** Resolves with how many attempts were cut off. */
  close(timeoutMs: number): Promise<number>;
  kill(): void;
}

export function localProducer(
  plan: Plan,
  given: { readonly client: BrokerClient; readonly context: Context; readonly ledger: Ledger; readonly count: number },
): Producers {
  const stop = new AbortController();
  const done = produce(plan, 0, {
    client: given.client,
    clock: given.context.clock,
    signal: stop.signal,
    count: given.count,
    accepted: (task) => given.ledger.accept(task),
  });
  return { done, stop: () => stop.abort(), kill: () => stop.abort() };
}

export async function localWorker(plan: Plan, context: Context, ledger: Ledger): Promise<Workers> {
  const worker = await work(plan, `simulate-${process.pid}`, context.clock, {
    finished: async (task) => ledger.finish(task),
    note: (what) => {
      ledger.notes[what] += 1;
    },
    crash: () => Promise.reject(new Error("only a process of its own can crash")),
  });
  return {
    failed: new Promise<never>(() => {}),
    close: async (timeoutMs) => (await worker.close(timeoutMs)).aborted,
    kill() {},
  };
}

/** Producers in processes of their own, which share `count` between them. */
export function producerProcesses(plan: Plan, processes: number, count: number, ledger: Ledger): Producers {
  const children = Array.from({ length: processes }, (_, index) => {
    const share = count === Number.POSITIVE_INFINITY ? Number.MAX_SAFE_INTEGER : shareOf(count, processes, index);
    return new Child({ kind: "begin", role: "producer", plan, index, count: share }, ledger);
  });
  return {
    done: Promise.all(children.map((child) => child.done)).then(() => {}),
    stop: () => {
      for (const child of children) child.stop(0);
    },
    kill: () => {
      for (const child of children) child.kill();
    },
  };
}

/** Workers in processes of their own. One that crashes as planned is started again. Resolves when all are welcome. */
export async function workerProcesses(plan: Plan, processes: number, ledger: Ledger): Promise<Workers> {
  let fail: (error: unknown) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  const children = new Set<Child>();
  let closing = false;
  const hire = async (index: number) => {
    const child = new Child({ kind: "begin", role: "worker", plan, index }, ledger);
    children.add(child);
    child.done.then(
      (end) => {
        children.delete(child);
        if (end.crashed && !closing) hire(index).catch(fail);
      },
      (error: unknown) => {
        children.delete(child);
        fail(error);
      },
    );
    await child.ready;
  };
  await Promise.race([Promise.all(Array.from({ length: processes }, (_, index) => hire(index))), failed]);
  return {
    failed,
    async close(timeoutMs) {
      closing = true;
      const ends = await Promise.all(
        [...children].map((child) => {
          child.stop(timeoutMs);
          return child.done;
        }),
      );
      return ends.reduce((sum, { aborted }) => sum + aborted, 0);
    },
    kill() {
      closing = true;
      for (const child of children) child.kill();
    },
  };
}

/** `count` tasks for `processes` producers: the first ones take what is left over. */
function shareOf(count: number, processes: number, index: number): number {
  return Math.floor(count / processes) + (index < count % processes ? 1 : 0);
}

/** One child process. Its entries go to the ledger. */
class Child {
  /** A worker is welcome at a broker, or has crashed before it could be. */
  readonly ready: Promise<void>;
  /** Resolves when the process has ended, as it should or by a planned crash; else rejects. */
  readonly done: Promise<{ readonly crashed: boolean; readonly aborted: number }>;
  readonly #process: ChildProcess;
  readonly #ledger: Ledger;
  #markReady: () => void = () => {};
  #end: { readonly crashed: boolean; readonly aborted: number } | Error | undefined;

  constructor(begin: Extract<ParentMessage, { kind: "begin" }>, ledger: Ledger) {
    this.#ledger = ledger;
    this.ready = new Promise((resolve) => {
      this.#markReady = resolve;
    });
    this.#process = fork(process.argv[1] ?? "", ["simulate-child"], { execArgv: process.execArgv });
    this.#process.on("message", (message) => {
      if (isChildMessage(message)) this.#take(message);
    });
    this.done = new Promise((resolve, reject) => {
      this.#process.once("error", reject);
      this.#process.once("close", (code, signal) => {
        this.#markReady();
        if (this.#end === undefined)
          reject(new CommandError(`a ${begin.role} process ended with ${signal ?? `code ${code}`}`));
        else if (this.#end instanceof Error) reject(this.#end);
        else resolve(this.#end);
      });
    });
    // Whoever waits for it later shall see the rejection; nobody waiting yet is no bug.
    this.done.catch(() => {});
    this.#process.send(begin);
  }

  stop(timeoutMs: number): void {
    // A process that has just crashed cannot be told any more; `done` tells the same.
    if (this.#process.connected) this.#process.send({ kind: "stop", timeoutMs } satisfies ParentMessage, () => {});
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  #take(message: ChildMessage): void {
    switch (message.kind) {
      case "ready":
        this.#markReady();
        break;
      case "accepted":
        for (const number of message.numbers) this.#ledger.accept({ producer: message.producer, number });
        break;
      case "worked":
        for (let i = 0; i < message.finished.length; i += 2) {
          this.#ledger.finish({ producer: message.finished[i] ?? 0, number: message.finished[i + 1] ?? 0 });
        }
        this.#ledger.notes.failed += message.failed;
        this.#ledger.notes.hung += message.hung;
        break;
      case "crash":
        this.#ledger.notes.crashes += 1;
        this.#end = { crashed: true, aborted: 0 };
        break;
      case "done":
        this.#end = { crashed: false, aborted: message.aborted };
        break;
      case "error":
        this.#end = codedError(message.code, message.message);
        break;
      default:
        message satisfies never;
    }
  }
}
