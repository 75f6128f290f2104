/** A worker attached to a fake broker. */
import { defineTopic, type Processor, Worker, type WorkerEvent, type WorkerOptions } from "@taskqueue/sdk";
import type { Hello } from "@taskqueue/sdk/gen/taskqueue/v1/worker.js";
import { FakeBroker, type FakeLeaseStream } from "./fake-broker.js";

export const work = defineTopic<unknown[]>("work");

export interface Attached extends AsyncDisposable {
  readonly broker: FakeBroker;
  readonly worker: Worker;
  readonly stream: FakeLeaseStream;
  readonly hello: Hello;
  readonly events: WorkerEvent[];
}

export async function attach(
  processor: Processor<unknown[], unknown>,
  options: WorkerOptions = {},
  welcome: object = {},
): Promise<Attached> {
  const broker = await FakeBroker.start();
  const events: WorkerEvent[] = [];
  const worker = new Worker({ address: broker.address, onEvent: (event) => events.push(event), ...options });
  worker.register(work, processor);
  const started = worker.start();
  const stream = await broker.nextStream();
  const hello = await stream.welcome(welcome);
  await started;
  return {
    broker,
    worker,
    stream,
    hello,
    events,
    async [Symbol.asyncDispose]() {
      await worker.close();
      broker.stop();
    },
  };
}

export interface Gate {
  readonly opened: Promise<void>;
  open(): void;
}

/** Lets a test decide when a processor goes on. */
export function gate(): Gate {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}
