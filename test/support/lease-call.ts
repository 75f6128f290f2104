/** One Lease stream through the generated client, said and heard one message at a time. */
import { Hello, type LeaseRequest, type LeaseResponse, WorkerUpdate } from "@taskqueue/sdk/gen/taskqueue/v1/worker.js";
import type { TestBroker } from "./broker.js";

type PartialHello = Parameters<typeof Hello.fromPartial>[0];
type PartialUpdate = Parameters<typeof WorkerUpdate.fromPartial>[0];
type PartialRequest = Parameters<typeof LeaseRequest.fromPartial>[0];

export class LeaseCall {
  readonly #queue: PartialRequest[] = [];
  readonly #responses: AsyncIterator<LeaseResponse>;
  readonly #abort = new AbortController();
  #wake = () => {};
  #ended = false;
  /** Set by `hello`. */
  welcome: LeaseResponse["welcome"];

  constructor(broker: TestBroker) {
    this.#responses = broker.workers.lease(this.#requests(), { signal: this.#abort.signal })[Symbol.asyncIterator]();
  }

  /** Opens a session; resolves when the broker said welcome. */
  static async hello(broker: TestBroker, hello: PartialHello = {}): Promise<LeaseCall> {
    const call = new LeaseCall(broker);
    const usual = { worker: "worker-1", topics: [{ topic: "clicks" }], slots: 10, sdk: "test/1.0" };
    call.send({ message: { $case: "hello", value: Hello.fromPartial({ ...usual, ...hello }) } });
    call.welcome = (await call.next()).welcome;
    return call;
  }

  async *#requests(): AsyncGenerator<PartialRequest> {
    for (;;) {
      const next = this.#queue.shift();
      if (next !== undefined) yield next;
      else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  send(request: PartialRequest): void {
    this.#queue.push(request);
    this.#wake();
  }

  update(update: PartialUpdate): void {
    this.send({ message: { $case: "update", value: WorkerUpdate.fromPartial(update) } });
  }

  goodbye(): void {
    this.send({ message: { $case: "goodbye", value: {} } });
  }

  /** Sends no more, without a goodbye. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** The connection is lost, as far as the broker can tell. */
  cancel(): void {
    this.#abort.abort();
  }

  /** The next response; rejects with the stream's error, and when it ended. */
  async next(): Promise<LeaseResponse> {
    const { done, value } = await this.#responses.next();
    if (done) throw new Error("the stream ended");
    return value;
  }

  /** The next response that `fits`; others are passed over. */
  async until(fits: (response: LeaseResponse) => boolean): Promise<LeaseResponse> {
    for (;;) {
      const response = await this.next();
      if (fits(response)) return response;
    }
  }

  /** Reads to the end; resolves when it ended well, rejects with its error. */
  async rest(): Promise<LeaseResponse[]> {
    const responses: LeaseResponse[] = [];
    for (;;) {
      const { done, value } = await this.#responses.next();
      if (done) return responses;
      responses.push(value);
    }
  }
}
