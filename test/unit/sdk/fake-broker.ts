/**
 * A broker that does nothing by itself: a test decides every answer. For the
 * corners of the protocol that a real broker reaches only by luck. It speaks
 * the generated code, so that the SDK's own codecs are checked against it.
 */
import {
  BrokerServiceDefinition,
  type EnqueueStreamRequest,
  type EnqueueStreamResponse,
} from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import {
  type Hello,
  type LeaseRequest,
  type LeaseResponse,
  type RenewSessionRequest,
  WorkerServiceDefinition,
  type WorkerUpdate,
} from "@taskqueue/sdk/gen/taskqueue/v1/worker.js";
import { createServer, type Server, ServerError, Status } from "nice-grpc";
import { ErrorInfo, errorDetailsServerMiddleware, RichServerError } from "nice-grpc-error-details";

type PartialLease = Parameters<typeof LeaseResponse.fromPartial>[0];
type PartialEnqueue = Parameters<typeof EnqueueStreamResponse.fromPartial>[0];

/** Values in order, awaited by whoever comes first. */
export class Queue<Item> {
  readonly #items: Item[] = [];
  readonly #takers: ((item: Item) => void)[] = [];

  push(item: Item): void {
    const taker = this.#takers.shift();
    if (taker) taker(item);
    else this.#items.push(item);
  }

  get length(): number {
    return this.#items.length;
  }

  /** The next one; rejects after `timeoutMs`, saying what was waited for. */
  async take(what: string, timeoutMs = 5_000): Promise<Item> {
    const item = this.#items.shift();
    if (item !== undefined) return item;
    return await new Promise<Item>((resolve, reject) => {
      const timeout = AbortSignal.timeout(timeoutMs);
      const giveUp = () => {
        this.#takers.splice(this.#takers.indexOf(taker), 1);
        reject(new Error(`no ${what} within ${timeoutMs} ms`));
      };
      const taker = (taken: Item) => {
        timeout.removeEventListener("abort", giveUp);
        resolve(taken);
      };
      this.#takers.push(taker);
      timeout.addEventListener("abort", giveUp, { once: true });
    });
  }
}

/** One Lease stream, as the broker sees it. */
export class FakeLeaseStream {
  readonly #incoming = new Queue<LeaseRequest>();
  readonly #outgoing = new Queue<PartialLease | Error | "end">();
  #deliveries = 0;
  /** Whether reports are settled as they come, and a goodbye is answered. */
  obliging = true;
  /** Settles when the client has ended or lost the stream. */
  readonly over: Promise<void>;

  constructor(requests: AsyncIterable<LeaseRequest>) {
    this.over = (async () => {
      for await (const request of requests) {
        this.#incoming.push(request);
        this.#check(request);
        if (this.obliging) this.#oblige(request);
      }
    })().catch(() => {});
  }

  /** What a real broker would refuse. */
  #check({ message }: LeaseRequest): void {
    if (message?.$case !== "update") return;
    const { number, completed, failed, released, progress, renew } = message.value;
    const reports = completed.length + failed.length + released.length + progress.length + renew.length;
    if (reports > 0 && number === 0) this.end({ code: Status.INVALID_ARGUMENT, details: "update.number must be set" });
  }

  #oblige({ message }: LeaseRequest): void {
    if (message?.$case === "update" && message.value.number > 0) this.send({ settled: message.value.number });
    if (message?.$case === "goodbye") this.end();
  }

  async *responses(signal: AbortSignal): AsyncGenerator<PartialLease> {
    const aborted = new Promise<"end">((resolve) => {
      signal.addEventListener("abort", () => resolve("end"), { once: true });
    });
    for (;;) {
      const next = await Promise.race([this.#outgoing.take("response", 60_000), aborted]);
      if (next === "end") return;
      if (next instanceof Error) throw next;
      yield next;
    }
  }

  async hello(): Promise<Hello> {
    const { message } = await this.#incoming.take("hello");
    if (message?.$case !== "hello") throw new Error(`a ${message?.$case} instead of a hello`);
    return message.value;
  }

  /** Reads the hello and welcomes the worker. */
  async welcome(overrides: object = {}): Promise<Hello> {
    const hello = await this.hello();
    this.send({
      welcome: {
        sessionId: hello.resume?.sessionId ?? "session-1",
        sessionSecret: "secret",
        grace: { seconds: 2, nanos: 0 },
        sessionTimeout: { seconds: 15, nanos: 0 },
        broker: "fake",
        version: "0",
        taskBytesMax: 1024 * 1024,
        ...overrides,
      },
    });
    return hello;
  }

  send(response: PartialLease): void {
    this.#outgoing.push(response);
  }

  /** Hands out tasks, as one delivery. */
  deliver(
    ...tasks: { id: string; topic?: string; args?: unknown[]; token?: string; task?: object; lease?: object }[]
  ): number {
    this.#deliveries += 1;
    this.send({
      delivery: this.#deliveries,
      leased: tasks.map(({ id, topic = "work", args = [], token = `token-${id}`, task = {}, lease = {} }) => ({
        task: { topic, id, args, ...task },
        leaseToken: token,
        attempt: 1,
        failures: 0,
        ...lease,
      })),
    });
    return this.#deliveries;
  }

  /** The next update. */
  async update(): Promise<WorkerUpdate> {
    const { message } = await this.#incoming.take("update");
    if (message?.$case !== "update") throw new Error(`a ${message?.$case} instead of an update`);
    return message.value;
  }

  /** Reads updates until one satisfies the predicate. */
  async updateWith(predicate: (update: WorkerUpdate) => boolean): Promise<WorkerUpdate> {
    for (;;) {
      const update = await this.update();
      if (predicate(update)) return update;
    }
  }

  /** Reads updates until they report so many ends of attempts; returns these. */
  async reports(count: number): Promise<Pick<WorkerUpdate, "completed" | "failed" | "released">> {
    const reports = { completed: [], failed: [], released: [] } as Pick<
      WorkerUpdate,
      "completed" | "failed" | "released"
    >;
    while (reports.completed.length + reports.failed.length + reports.released.length < count) {
      const { completed, failed, released } = await this.update();
      reports.completed.push(...completed);
      reports.failed.push(...failed);
      reports.released.push(...released);
    }
    return reports;
  }

  /** Reads until the goodbye; returns the updates before it. */
  async goodbye(): Promise<WorkerUpdate[]> {
    const updates: WorkerUpdate[] = [];
    for (;;) {
      const { message } = await this.#incoming.take("goodbye");
      if (message?.$case === "goodbye") return updates;
      if (message?.$case === "update") updates.push(message.value);
    }
  }

  /** Ends the stream well, or with a status. */
  end(error?: { code: number; details?: string }): void {
    this.#outgoing.push(error ? new ServerError(error.code, error.details ?? "ended by the test") : "end");
  }

  /** Ends the stream with a status that carries a reason of docs/errors.md. */
  refuse(code: number, reason: string): void {
    const extra = [ErrorInfo.fromPartial({ reason, domain: "taskqueue" })];
    this.#outgoing.push(new RichServerError(code, reason, extra));
  }
}

export type EnqueueAnswer = PartialEnqueue | "lose";

export class FakeBroker implements AsyncDisposable {
  readonly server: Server;
  readonly address: string;
  readonly leaseStreams: Queue<FakeLeaseStream>;
  /** All requests of all EnqueueStreams, in order. */
  readonly requests: EnqueueStreamRequest[];
  readonly renewals: RenewSessionRequest[];

  private constructor(parts: Pick<FakeBroker, "server" | "address" | "leaseStreams" | "requests" | "renewals">) {
    this.server = parts.server;
    this.address = parts.address;
    this.leaseStreams = parts.leaseStreams;
    this.requests = parts.requests;
    this.renewals = parts.renewals;
  }

  /**
   * Listens. `answer` is asked for each request of an EnqueueStream in turn;
   * by default every task is created. "lose" ends the stream as unavailable.
   */
  static async start(
    options: {
      port?: number;
      answer?: (request: EnqueueStreamRequest, index: number) => EnqueueAnswer | Promise<EnqueueAnswer>;
    } = {},
  ): Promise<FakeBroker> {
    const { port = 0, answer = () => ({}) } = options;
    const leaseStreams = new Queue<FakeLeaseStream>();
    const requests: EnqueueStreamRequest[] = [];
    const renewals: RenewSessionRequest[] = [];
    const server = createServer().use(errorDetailsServerMiddleware);
    server.add(WorkerServiceDefinition, {
      async *lease(incoming, context) {
        const stream = new FakeLeaseStream(incoming);
        leaseStreams.push(stream);
        yield* stream.responses(context.signal);
      },
      async renewSession(request) {
        renewals.push(request);
        return {};
      },
    });
    server.add(BrokerServiceDefinition, {
      async enqueue() {
        return {};
      },
      async *enqueueStream(incoming) {
        for await (const request of incoming) {
          requests.push(request);
          const response = await answer(request, requests.length - 1);
          if (response === "lose") throw new ServerError(Status.UNAVAILABLE, "lost by the test");
          yield response;
        }
      },
      async stats() {
        return {};
      },
      async *watch() {
        yield { cursor: "0" };
      },
    });
    const bound = await server.listen(`127.0.0.1:${port}`);
    return new FakeBroker({ server, address: `127.0.0.1:${bound}`, leaseStreams, requests, renewals });
  }

  nextStream(): Promise<FakeLeaseStream> {
    return this.leaseStreams.take("Lease stream");
  }

  stop(): void {
    this.server.forceShutdown();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
  }
}
