/**
 * The workers' side: leases tasks over one stream, runs them, and reports.
 *
 * Three parts do the work: Connection keeps a session with the brokers, Runner
 * runs the tasks, and Uplink says what became of them. What is here is the
 * worker's own life, and who hears of what.
 */
import { hostname } from "node:os";
import { after, cancelTimer, deferred, monotonicMs, settlesWithin, type Timer } from "./clock.js";
import { Connection, type Session } from "./connection.js";
import { TaskqueueError } from "./errors.js";
import type { Welcome } from "./gen/taskqueue/v1/worker.js";
import { encodeHello, type LeaseMessage } from "./lease-codec.js";
import { hasControlCharacter, LIMITS } from "./limits.js";
import { Listeners } from "./listeners.js";
import {
  type CloseOptions,
  type CloseReport,
  integer,
  invalid,
  type Logger,
  type RegisterOptions,
  refuseUnknown,
  type WorkerOptions,
} from "./options.js";
import { type Processor, Registration } from "./registration.js";
import { Runner } from "./runner.js";
import { Attempt } from "./running-task.js";
import { SessionRenewer } from "./session-renewer.js";
import type { Topic } from "./topic.js";
import { Dialer } from "./transport.js";
import { Uplink } from "./uplink.js";
import { SDK_NAME } from "./version.js";
import type { WorkerEventOf, WorkerEventType } from "./worker-event.js";

const CONCURRENCY_DEFAULT = 25;
const START_TIMEOUT_MS_DEFAULT = 30_000;
const SIGNAL_CLOSE_MS_DEFAULT = 15_000;
/** How long processors have, once their signal has fired at the end, to return before their tasks are handed back. */
const ABORT_MS_MAX = 200;
/** How long a closing worker waits for its last reports to be stored. */
const GOODBYE_MS_MAX = 5_000;

/** Host name and process id: tells one worker of a fleet from another. */
function processName(): string {
  return `${hostname()}:${process.pid}`.slice(-LIMITS.workerNameMax);
}

const OPTIONS = new Set([
  "address",
  "tls",
  "token",
  "connectTimeoutMs",
  "logger",
  "concurrency",
  "prefetch",
  "name",
  "bytesMax",
  "startTimeoutMs",
  "renewFromThread",
  "onEvent",
]);

/**
 * Runs the tasks of the topics registered with it. A processor that throws or
 * rejects fails its attempt; it never ends the worker.
 */
export class Worker implements AsyncDisposable {
  readonly #registrations = new Map<string, Registration>();
  readonly #connection: Connection;
  readonly #bytesMax: number;
  readonly #name: string;
  readonly #startTimeoutMs: number;
  readonly #logger: Logger | undefined;
  readonly #listeners: Listeners;
  readonly #renewer: SessionRenewer | undefined;

  readonly #runner: Runner;
  readonly #uplink: Uplink;

  #phase: "new" | "started" | "closing" | "closed" = "new";
  #started: Promise<void> | undefined;
  readonly #opened = deferred();
  #closed: Promise<CloseReport> | undefined;
  /** Ends the wait for running processors. */
  readonly #stopWaiting = deferred();
  #closeTimer: Timer | undefined;
  /** Resolves, once the worker is closing, when no report is open. */
  readonly #settledAll = deferred();

  /** Does not connect. Throws TaskqueueError INVALID_ARGUMENT when an option is unknown or out of bounds. */
  constructor(options: WorkerOptions = {}) {
    refuseUnknown("Worker", options, OPTIONS);
    const { slotsMax, workerNameMax } = LIMITS;
    const concurrency = integer("concurrency", options.concurrency, CONCURRENCY_DEFAULT, 1, slotsMax);
    const capacity = concurrency + integer("prefetch", options.prefetch, 0, 0, slotsMax - concurrency);
    this.#bytesMax = integer("bytesMax", options.bytesMax, 0, 0, Number.MAX_SAFE_INTEGER);
    this.#startTimeoutMs = integer("startTimeoutMs", options.startTimeoutMs, START_TIMEOUT_MS_DEFAULT, -1, 2 ** 31 - 1);
    this.#name = options.name ?? processName();
    if (this.#name === "" || this.#name.length > workerNameMax || hasControlCharacter(this.#name)) {
      throw invalid("name", this.#name, `must be 1 to ${workerNameMax} characters, no control characters`);
    }
    this.#logger = options.logger;
    this.#listeners = new Listeners(options.logger, options.onEvent);
    this.#opened.promise.catch(() => {});
    const dialer = new Dialer(options);
    this.#renewer = options.renewFromThread ? new SessionRenewer(dialer, options.logger) : undefined;
    this.#runner = new Runner({
      registrations: this.#registrations,
      concurrency,
      capacity,
      uplink: () => this.#uplink,
      listeners: this.#listeners,
      logger: options.logger,
    });
    this.#connection = new Connection(dialer, {
      hello: (session) => this.#hello(session),
      fresh: () => new Attempt(this.#uplink),
      opened: (opened) => this.#onOpened(opened),
      message: (message) => this.#onMessage(message),
      writable: () => this.#uplink.schedule(),
      draining: (address, deadlineMs) => this.#listeners.emit({ type: "draining", address, deadlineMs }),
      disconnected: (address, error) => this.#onDisconnected(address, error),
      sessionLost: (sessionId) => this.#onSessionLost(sessionId),
      refused: (error) => this.#opened.reject(error),
    });
    this.#uplink = new Uplink(this.#connection, this.#runner);
  }

  /** Names the processor of a topic. Before `start`, and once per topic; else throws INVALID_ARGUMENT. */
  register<Output, Result>(
    // biome-ignore lint/suspicious/noExplicitAny: what a producer may pass is of no concern here.
    topic: Topic<any, Output, Result>,
    processor: Processor<Output, Result>,
    options: RegisterOptions = {},
  ): this {
    if (this.#phase !== "new") throw invalid("topic", topic.name, "must be registered before the worker is started");
    if (this.#registrations.has(topic.name))
      throw invalid("topic", topic.name, "is registered with this worker already");
    this.#registrations.set(topic.name, new Registration(topic, processor, options, this.#logger));
    return this;
  }

  /**
   * Opens a session; resolves when a broker has welcomed it. From then on the
   * worker stays connected by itself.
   *
   * @throws TaskqueueError UNREACHABLE when no broker answers within
   * `startTimeoutMs`; UNAUTHENTICATED or INVALID_ARGUMENT when one refuses. The
   * worker is closed then.
   */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  async #start(): Promise<void> {
    if (this.#phase !== "new") throw new TaskqueueError("CLOSED", "the worker is closed");
    if (this.#registrations.size === 0) throw invalid("topic", 0, "must be registered before the worker is started");
    if (this.#registrations.size > LIMITS.topicsMax) {
      throw invalid("topic", this.#registrations.size, `at most ${LIMITS.topicsMax} may be registered`);
    }
    this.#phase = "started";
    this.#connection.start();
    const timer =
      this.#startTimeoutMs < 0 ? undefined : after(this.#startTimeoutMs, () => this.#opened.reject(this.#startError));
    try {
      await this.#opened.promise;
    } catch (error) {
      // Unless `close` is at it, and is the reason.
      if (this.#phase === "started") this.#phase = "closed";
      this.#connection.close();
      throw error;
    } finally {
      cancelTimer(timer);
    }
  }

  /** The latest reason why no session is open yet. */
  #startError = new TaskqueueError("UNREACHABLE", "no broker has answered yet", { retryable: true });

  /** Tasks held now: running, and waiting to run. */
  get held(): number {
    return this.#runner.held;
  }

  /** Calls `listener` for every event of a type. Returns an undo. What it throws is logged and ignored. */
  on<Type extends WorkerEventType>(type: Type, listener: (event: WorkerEventOf<Type>) => void): () => void {
    return this.#listeners.add(type, listener);
  }

  #hello(session: Session | undefined): Buffer {
    const leaseTokens = [...this.#runner.tokens, ...this.#uplink.reports.all().map((attempt) => attempt.leaseToken)];
    return encodeHello({
      worker: this.#name,
      topics: [...this.#registrations.values()].map((registration) => registration.subscription),
      slots: this.#uplink.creditForHello(),
      bytesMax: this.#bytesMax,
      resume: session && { ...session, leaseTokens },
      sdk: SDK_NAME,
    });
  }

  #onOpened({ address, welcome, resumed }: { address: string; welcome: Welcome; resumed: boolean }): void {
    this.#uplink.reopen();
    if (welcome.taskBytesMax > 0) this.#runner.resultBytesMax = welcome.taskBytesMax;
    this.#renewer?.keep(welcome, address);
    this.#logger?.info?.({ address, broker: welcome.broker, session: welcome.sessionId, resumed }, "attached");
    this.#listeners.emit({ type: "connected", address, broker: welcome.broker, sessionId: welcome.sessionId, resumed });
    this.#opened.resolve();
  }

  #onDisconnected(address: string, error: TaskqueueError): void {
    this.#startError = error;
    this.#logger?.warn({ address, code: error.code, error: error.message }, "not attached; trying again");
    this.#listeners.emit({ type: "disconnected", address, error });
  }

  #onSessionLost(sessionId: string): void {
    const unreported = this.#uplink.reports.clear();
    const leases = this.#runner.held + unreported.length;
    this.#logger?.warn({ session: sessionId, leases }, "the session is lost, and its leases with it");
    for (const attempt of unreported) this.#runner.emitLost(attempt);
    this.#runner.loseAll();
    this.#listeners.emit({ type: "session:lost", sessionId, leases });
    this.#checkSettled();
  }

  #onMessage(message: LeaseMessage<Attempt>): void {
    // Lost ones first: a report that was refused is settled with its update, and must not pass for a stored one.
    if (message.lost.length > 0) this.#onLost(message.lost);
    if (message.settled > 0) this.#settle(message.settled);
    for (const { leaseToken, timeout } of message.cancel) this.#runner.cancel(leaseToken, timeout);
    if (message.delivery > 0) {
      this.#uplink.received(message.delivery, message.leased.length);
      this.#runner.deliver(message.leased);
    }
    if (message.heartbeat > 0) this.#uplink.answer(message.heartbeat);
  }

  #settle(number: number): void {
    const settled = this.#uplink.reports.settle(number);
    if (settled.length === 0) return;
    if (this.#listeners.any) {
      const leaseTokens = settled.map((attempt) => attempt.leaseToken);
      this.#listeners.emit({ type: "settled", reports: leaseTokens.length, leaseTokens });
    }
    this.#checkSettled();
  }

  #onLost(tokens: readonly string[]): void {
    const reported = this.#runner.lose(tokens);
    if (reported.size === 0) return;
    // Their reports were refused, or would be.
    for (const attempt of this.#uplink.reports.forget(reported)) this.#runner.emitLost(attempt);
    this.#checkSettled();
  }

  #checkSettled(): void {
    if (this.#phase === "closing" && this.#uplink.reports.count === 0) this.#settledAll.resolve();
  }

  /**
   * Leaves. Without a timeout at once: signals fire, and what is held is handed
   * back uncharged. With one, takes no more, waits that long for running
   * processors, and then does the same to what is left. Closing twice gives the
   * same promise (a shorter timeout shortens the wait); before `start` it is fine.
   */
  close({ timeoutMs = 0, ...unknown }: CloseOptions = {}): Promise<CloseReport> {
    refuseUnknown("close", unknown, NO_OPTIONS);
    if (Number.isNaN(timeoutMs)) throw invalid("timeoutMs", timeoutMs, "must be a number");
    this.#limitWait(timeoutMs);
    this.#closed ??= this.#close();
    return this.#closed;
  }

  #closeAtMs = Number.POSITIVE_INFINITY;

  /** Waits for running processors until then at most; an earlier moment given before stays. */
  #limitWait(timeoutMs: number): void {
    if (timeoutMs < 0 || timeoutMs === Number.POSITIVE_INFINITY) return;
    const atMs = monotonicMs() + timeoutMs;
    if (atMs >= this.#closeAtMs) return;
    this.#closeAtMs = atMs;
    cancelTimer(this.#closeTimer);
    if (timeoutMs === 0) this.#stopWaiting.resolve();
    else this.#closeTimer = after(timeoutMs, () => this.#stopWaiting.resolve());
  }

  async #close(): Promise<CloseReport> {
    const wasStarted = this.#phase === "started";
    this.#phase = wasStarted ? "closing" : "closed";
    this.#opened.reject(new TaskqueueError("CLOSED", "the worker is closed"));
    if (wasStarted) {
      await this.#drain();
      await this.#leave();
    }
    cancelTimer(this.#closeTimer);
    this.#connection.close();
    await this.#renewer?.close();
    this.#phase = "closed";
    this.#listeners.emit({ type: "closed" });
    return this.#runner.report;
  }

  /** Until nothing runs, or its time is up and everything is handed back. */
  async #drain(): Promise<void> {
    const idle = this.#runner.stop();
    this.#uplink.schedule();
    await Promise.race([idle, this.#stopWaiting.promise]);
    if (this.#runner.held === 0) return;
    this.#runner.abortAll();
    await settlesWithin(idle, ABORT_MS_MAX);
    this.#runner.handBackAll();
  }

  /** Until the broker has stored the reports and let go, but not for ever. */
  async #leave(): Promise<void> {
    const untilMs = monotonicMs() + GOODBYE_MS_MAX;
    this.#uplink.flush();
    this.#checkSettled();
    const settled = await settlesWithin(this.#settledAll.promise, GOODBYE_MS_MAX);
    if (!settled) {
      const reports = this.#uplink.reports.count;
      this.#logger?.error({ reports }, "closed before the broker had stored these reports; their tasks will run again");
    }
    if (this.#connection.stream === undefined) return;
    this.#connection.leave();
    await settlesWithin(this.#connection.over, Math.max(1, untilMs - monotonicMs()));
  }

  /**
   * On the first SIGTERM or SIGINT closes with this timeout (default 15 s), on
   * the second exits at once with status 1. Returns an undo.
   */
  closeOnSignals(options: CloseOptions & { readonly signals?: readonly NodeJS.Signals[] } = {}): () => void {
    const { signals = ["SIGTERM", "SIGINT"], timeoutMs = SIGNAL_CLOSE_MS_DEFAULT } = options;
    let asked = false;
    const onSignal = () => {
      if (asked) process.exit(1);
      asked = true;
      this.close({ timeoutMs }).then(undo, (error: unknown) => this.#logger?.error({ error }, "closing failed"));
    };
    const undo = () => {
      for (const signal of signals) process.off(signal, onSignal);
    };
    for (const signal of signals) process.on(signal, onSignal);
    return undo;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const NO_OPTIONS: ReadonlySet<string> = new Set();
