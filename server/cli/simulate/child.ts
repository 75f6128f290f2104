/**
 * The child process of a simulation: one producer or one worker, which does
 * what its parent says and ends when its parent does.
 */
import type { Context } from "../context.js";
import { isCodedError, UsageError } from "../exit-code.js";
import type { TaskNumber } from "./ledger.js";
import { type ChildMessage, isParentMessage, type ParentMessage } from "./message.js";
import { produce } from "./produce.js";
import { type Books, work } from "./work.js";

type Begin = Extract<ParentMessage, { kind: "begin" }>;
type Stop = Extract<ParentMessage, { kind: "stop" }>;

/** Resolves when the work is done and told. */
export async function runChild(context: Context): Promise<void> {
  if (process.send === undefined) throw new UsageError("simulate-child is started by simulate, not by people");
  // Ctrl-C reaches the whole process group; the parent decides what follows from it.
  context.onSignal(() => {});
  process.once("disconnect", () => context.exit(1));
  const messages = parentMessages();
  const begin = await messages.begin;
  try {
    const aborted =
      begin.role === "producer"
        ? await runProducer(context, begin, messages.stop)
        : await runWorker(context, begin, messages.stop);
    await tell({ kind: "done", aborted });
  } catch (error) {
    const code = isCodedError(error) ? error.code : "INTERNAL";
    await tell({ kind: "error", code, message: error instanceof Error ? error.message : String(error) });
  }
  process.removeAllListeners("disconnect");
  process.disconnect();
}

async function runProducer(
  context: Context,
  begin: Extract<Begin, { role: "producer" }>,
  stopped: Promise<Stop>,
): Promise<number> {
  const stop = new AbortController();
  void stopped.then(() => stop.abort());
  let numbers: number[] = [];
  const outbox = new Outbox(async () => {
    const batch = numbers;
    numbers = [];
    if (batch.length > 0) await tell({ kind: "accepted", producer: begin.index, numbers: batch });
  });
  const client = await context.connect({ address: begin.plan.address });
  try {
    await produce(begin.plan, begin.index, {
      client,
      clock: context.clock,
      signal: stop.signal,
      count: begin.count,
      accepted: ({ number }) => {
        numbers.push(number);
        void outbox.flushed();
      },
    });
  } finally {
    await outbox.flushed();
    await client.close();
  }
  return 0;
}

async function runWorker(
  context: Context,
  begin: Extract<Begin, { role: "worker" }>,
  stopped: Promise<Stop>,
): Promise<number> {
  const books = new ChildBooks();
  const worker = await work(begin.plan, `simulate-${begin.index}-${process.pid}`, context.clock, books);
  await tell({ kind: "ready" });
  const { timeoutMs } = await stopped;
  const report = await worker.close(timeoutMs);
  await books.flushed();
  return report.aborted;
}

/** Entries go to the parent, together with whatever else is entered in the same turn. */
class ChildBooks implements Books {
  #finished: number[] = [];
  #failed = 0;
  #hung = 0;
  readonly #outbox = new Outbox(async () => {
    const message = { kind: "worked", finished: this.#finished, failed: this.#failed, hung: this.#hung } as const;
    this.#finished = [];
    this.#failed = 0;
    this.#hung = 0;
    await tell(message);
  });

  async finished({ producer, number }: TaskNumber): Promise<void> {
    this.#finished.push(producer, number);
    await this.#outbox.flushed();
  }

  note(what: "failed" | "hung"): void {
    if (what === "failed") this.#failed += 1;
    else this.#hung += 1;
    void this.#outbox.flushed();
  }

  async crash(): Promise<never> {
    await this.#outbox.flushed();
    await tell({ kind: "crash" });
    process.kill(process.pid, "SIGKILL");
    return await new Promise<never>(() => {});
  }

  flushed(): Promise<void> {
    return this.#outbox.flushed();
  }
}

/** Calls `send` once for everything that happened in one turn of the event loop. */
class Outbox {
  readonly #send: () => Promise<void>;
  #next: Promise<void> | undefined;

  constructor(send: () => Promise<void>) {
    this.#send = send;
  }

  /** Resolves when what was there at the call is in the parent's pipe. */
  flushed(): Promise<void> {
    this.#next ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      this.#next = undefined;
      return this.#send();
    });
    return this.#next;
  }
}

/** Resolves when the message is in the parent's pipe, where it survives this process. */
function tell(message: ChildMessage): Promise<void> {
  return new Promise((resolve) => {
    // An error means that the parent is gone, and then so are we: see "disconnect".
    process.send?.(message, undefined, undefined, () => resolve());
  });
}

/** What the parent says. Listens from the start: both messages may be there already. */
function parentMessages(): { readonly begin: Promise<Begin>; readonly stop: Promise<Stop> } {
  let onBegin: (message: Begin) => void = () => {};
  let onStop: (message: Stop) => void = () => {};
  const begin = new Promise<Begin>((resolve) => {
    onBegin = resolve;
  });
  const stop = new Promise<Stop>((resolve) => {
    onStop = resolve;
  });
  process.on("message", (message: unknown) => {
    if (!isParentMessage(message)) return;
    if (message.kind === "begin") onBegin(message);
    else onStop(message);
  });
  return { begin, stop };
}
