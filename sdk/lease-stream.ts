/**
 * One Lease stream, from dialling a broker to the stream's end. It is used once;
 * Connection decides when to open the next.
 *
 * Reading begins at once and is never paused: the broker sends no more tasks
 * than the worker's credit, so what arrives is bounded by that and not by the
 * transport.
 */
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { after, cancelTimer, type Timer } from "./clock.js";
import { type CallStatus, errorFromStatus, errorFromUnknown, type TaskqueueError, unreachable } from "./errors.js";
import { WorkerServiceDefinition } from "./gen/taskqueue/v1/worker.js";
import { type LeaseMessage, readLeaseMessage } from "./lease-codec.js";
import type { Attempt } from "./running-task.js";
import type { Dialer, Link } from "./transport.js";

const PATH = `/${WorkerServiceDefinition.fullName}/${WorkerServiceDefinition.methods.lease.name}`;

/** How long the broker may take to answer the hello. */
const WELCOME_MS_MAX = 10_000;

export interface LeaseStreamHooks {
  /** Asked once, right before the stream is opened. */
  hello(): Buffer;
  fresh(): Attempt;
  message(stream: LeaseStream, message: LeaseMessage<Attempt>): void;
  /** Room to write again. */
  writable(stream: LeaseStream): void;
  /** Called once, unless the stream was cancelled. Without an error the broker ended it with OK. */
  ended(stream: LeaseStream, error: TaskqueueError | undefined): void;
}

type Call = ClientDuplexStream<Buffer, LeaseMessage<Attempt>>;

export class LeaseStream {
  readonly #dialer: Dialer;
  readonly #hooks: LeaseStreamHooks;
  #link: Link | undefined;
  #call: Call | undefined;
  #welcomeTimer: Timer | undefined;
  #over = false;
  #blocked = false;

  constructor(dialer: Dialer, hooks: LeaseStreamHooks) {
    this.#dialer = dialer;
    this.#hooks = hooks;
    void this.#open();
  }

  /** The broker's address, once one was reached. */
  get address(): string {
    return this.#link?.address ?? this.#dialer.addresses.join(", ");
  }

  /** Whether what is written now would only pile up in memory. */
  get blocked(): boolean {
    return this.#blocked;
  }

  async #open(): Promise<void> {
    try {
      const link = await this.#dialer.dial({ keepalive: false });
      if (this.#over) {
        link.close();
        return;
      }
      this.#link = link;
      const metadata = await this.#dialer.metadata();
      if (this.#over) return;
      const hello = this.#hooks.hello();
      const read = (bytes: Buffer) => readLeaseMessage(bytes, () => this.#hooks.fresh());
      this.#serve(
        link.streams.makeBidiStreamRequest(PATH, (bytes: Buffer) => bytes, read, metadata),
        link,
      );
      this.#welcomeTimer = after(WELCOME_MS_MAX, () =>
        this.#end(unreachable(link.address, `no welcome within ${WELCOME_MS_MAX} ms`)),
      );
      this.write(hello);
    } catch (error) {
      this.#end(errorFromUnknown(error));
    }
  }

  #serve(call: Call, link: Link): void {
    this.#call = call;
    call.on("data", (message: LeaseMessage<Attempt>) => {
      if (this.#over) return;
      if (message.welcome !== undefined) cancelTimer(this.#welcomeTimer);
      this.#hooks.message(this, message);
    });
    call.on("drain", () => {
      this.#blocked = false;
      if (!this.#over) this.#hooks.writable(this);
    });
    // "status" says the same, also of a good end.
    call.on("error", () => {});
    call.on("status", (status: CallStatus) => {
      // What was received before the status is handed out first.
      setImmediate(() => this.#end(status.code === 0 ? undefined : errorFromStatus(status, link.address)));
    });
  }

  write(bytes: Buffer): void {
    if (this.#over || this.#call === undefined) return;
    if (!this.#call.write(bytes)) this.#blocked = true;
  }

  /** Nothing more to write; the broker ends the stream. */
  finish(): void {
    if (!this.#over) this.#call?.end();
  }

  /** Ends it here and now, without a word to anybody. */
  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#letGo();
  }

  #end(error: TaskqueueError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#letGo();
    this.#hooks.ended(this, error);
  }

  #letGo(): void {
    cancelTimer(this.#welcomeTimer);
    this.#call?.cancel();
    this.#link?.close();
  }
}
