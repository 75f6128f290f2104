/**
 * The workers' side: leases tasks over one stream, runs them, and reports.
 *
 * What goes to the broker is gathered for a tick and sent as one update:
 * receipt, credit and all reports. Reports are kept until the broker has settled
 * them, and sent again on the next stream when one is lost. Credit is what the
 * worker can hold minus what it holds, so it never owes more than it can run.
 */
import { after, cancelTimer, deferred, monotonicMs, processName, settlesWithin, type Timer } from "./clock.js";
import { Connection, type Session } from "./connection.js";
import { TaskqueueError } from "./errors.js";
import type { Welcome } from "./gen/taskqueue/v1/worker.js";
import {
  beginUpdate,
  encodeHello,
  type LeaseMessage,
  type ProgressOf,
  type Report,
  writeProgress,
  writeRenew,
  writeReport,
} from "./lease-codec.js";
import { cutToBytes, hasControlCharacter, LIMITS } from "./limits.js";
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
import { Attempt, RELEASED } from "./running-task.js";
import { SessionRenewer } from "./session-renewer.js";
import type { AnyTopic, Topic } from "./topic.js";
import { Dialer } from "./transport.js";
import { SDK_NAME } from "./version.js";
import { Writer } from "./wire.js";
import type { WorkerEvent, WorkerEventOf, WorkerEventType } from "./worker-event.js";

const CONCURRENCY_DEFAULT = 25;
const START_TIMEOUT_MS_DEFAULT = 30_000;
const SIGNAL_CLOSE_MS_DEFAULT = 15_000;
/** Reports in one update. */
const REPORTS_MAX = 1_000;
/** An update is sent when it has grown to this; the broker takes 4 MiB. */
const UPDATE_BYTES = 1024 * 1024;
/** Entering processors must not keep heartbeats and receipts waiting for longer than this. */
const STARTING_MS_MAX = 5;
/** How long processors have, once their signal has fired at the end, to return before their tasks are handed back. */
const ABORT_MS_MAX = 200;
/** How long a closing worker waits for its last reports to be stored. */
const GOODBYE_MS_MAX = 5_000;

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

type Listener = (event: WorkerEvent) => void;

/**
 * Runs the tasks of the topics registered with it. A processor that throws or
 * rejects fails its attempt; it never ends the worker.
 */
export class Worker implements AsyncDisposable {
  readonly #registrations = new Map<string, Registration>();
  readonly #connection: Connection;
  readonly #concurrency: number;
  readonly #capacity: number;
  readonly #bytesMax: number;
  readonly #name: string;
  readonly #startTimeoutMs: number;
  readonly #logger: Logger | undefined;
  readonly #listeners = new Map<WorkerEventType | "*", Set<Listener>>();
  readonly #renewer: SessionRenewer | undefined;

  /** Leases held and not yet reported, by token: waiting and running ones. */
  readonly #held = new Map<string, Attempt>();
  /** Those of them that have not begun, oldest first. */
  #waiting: Attempt[] = [];
  /** Processors that have not returned; also those whose lease is gone. */
  #running = 0;
  /** Processors that run although their lease is gone: they take up a place without holding a task. */
  #stray = 0;
  /** Ended attempts whose report is to be sent. */
  #outbox: Attempt[] = [];
  /** Reports sent and not yet settled, by the number of their update, rising. */
  #unsettled: { readonly number: number; readonly attempts: readonly Attempt[] }[] = [];
  readonly #progress = new Map<Attempt, { readonly fraction: number; readonly message: string }>();

  readonly #writer = new Writer();
  #number = 0;
  #received = 0;
  #receiptDue = false;
  #heartbeat = 0;
  #renewDue = false;
  /** What the broker may still send, as far as it has been told. */
  #creditGiven = 0;
  /** The same, of the stream that was opened last and is not welcomed yet. */
  #creditInHello = 0;
  #resultBytesMax: number = LIMITS.taskBytesMax;
  #flushing = false;
  #starting = false;

  #phase: "new" | "started" | "closing" | "closed" = "new";
  #started: Promise<void> | undefined;
  readonly #opened = deferred();
  #closed: Promise<CloseReport> | undefined;
  /** Ends the wait for running processors. */
  readonly #stopWaiting = deferred();
  #closeTimer: Timer | undefined;
  #idle = deferred();
  #settledAll = deferred();
  readonly #count = { completed: 0, released: 0, aborted: 0 };

  /** Does not connect. Throws TaskqueueError INVALID_ARGUMENT when an option is unknown or out of bounds. */
  constructor(options: WorkerOptions = {}) {
    refuseUnknown("Worker", options, OPTIONS);
    const { slotsMax, workerNameMax } = LIMITS;
    this.#concurrency = integer("concurrency", options.concurrency, CONCURRENCY_DEFAULT, 1, slotsMax);
    this.#capacity = this.#concurrency + integer("prefetch", options.prefetch, 0, 0, slotsMax - this.#concurrency);
    this.#bytesMax = integer("bytesMax", options.bytesMax, 0, 0, Number.MAX_SAFE_INTEGER);
    this.#startTimeoutMs = integer("startTimeoutMs", options.startTimeoutMs, START_TIMEOUT_MS_DEFAULT, -1, 2 ** 31 - 1);
    this.#name = options.name ?? processName();
    if (this.#name === "" || this.#name.length > workerNameMax || hasControlCharacter(this.#name)) {
      throw invalid("name", this.#name, `must be 1 to ${workerNameMax} characters, no control characters`);
    }
    this.#logger = options.logger;
    if (options.onEvent) this.#listeners.set("*", new Set([options.onEvent]));
    this.#opened.promise.catch(() => {});
    const dialer = new Dialer(options);
    this.#renewer = options.renewFromThread ? new SessionRenewer(dialer, options.logger) : undefined;
    this.#connection = new Connection(dialer, {
      hello: (session) => this.#hello(session),
      fresh: () => new Attempt(this),
      opened: (opened) => this.#onOpened(opened),
      message: (message) => this.#onMessage(message),
      writable: () => this.#schedule(),
      draining: (address, deadlineMs) => this.#emit({ type: "draining", address, deadlineMs }),
      disconnected: (address, error) => this.#onDisconnected(address, error),
      sessionLost: (sessionId) => this.#onSessionLost(sessionId),
      refused: (error) => this.#opened.reject(error),
    });
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
    this.#registrations.set(topic.name, new Registration(topic as AnyTopic, processor, options, this.#logger));
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
    return this.#held.size;
  }

  /** Calls `listener` for every event of a type. Returns an undo. What it throws is logged and ignored. */
  on<Type extends WorkerEventType>(type: Type, listener: (event: WorkerEventOf<Type>) => void): () => void {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners);
    // Its set is told events of its own type only.
    const own = listener as Listener;
    listeners.add(own);
    return () => {
      listeners.delete(own);
      if (listeners.size === 0) this.#listeners.delete(type);
    };
  }

  #emit(event: WorkerEvent): void {
    for (const key of [event.type, "*"] as const) {
      for (const listener of this.#listeners.get(key) ?? []) {
        try {
          listener(event);
        } catch (error) {
          this.#logger?.error({ error, event: event.type }, "a listener threw");
        }
      }
    }
  }

  /** Whether anybody wants to hear of single tasks. */
  get #observed(): boolean {
    return this.#listeners.size > 0;
  }

  #hello(session: Session | undefined): Buffer {
    const leaseTokens = [
      ...this.#held.keys(),
      ...this.#outbox.map((attempt) => attempt.leaseToken),
      ...this.#unsettled.flatMap(({ attempts }) => attempts.map((attempt) => attempt.leaseToken)),
    ];
    this.#creditInHello = this.#credit;
    return encodeHello({
      worker: this.#name,
      topics: [...this.#registrations.values()].map((registration) => registration.subscription),
      slots: this.#creditInHello,
      bytesMax: this.#bytesMax,
      resume: session && { ...session, leaseTokens },
      sdk: SDK_NAME,
    });
  }

  #onOpened({ address, welcome, resumed }: { address: string; welcome: Welcome; resumed: boolean }): void {
    // Numbers, receipts and credit count per stream, and begin anew.
    this.#number = 0;
    this.#received = 0;
    this.#receiptDue = false;
    this.#heartbeat = 0;
    this.#creditGiven = this.#creditInHello;
    this.#outbox = [...this.#unsettled.flatMap(({ attempts }) => attempts), ...this.#outbox];
    this.#unsettled = [];
    this.#renewDue = resumed;
    if (welcome.taskBytesMax > 0) this.#resultBytesMax = welcome.taskBytesMax;
    this.#renewer?.keep(welcome, address);
    this.#logger?.info?.({ address, broker: welcome.broker, session: welcome.sessionId, resumed }, "attached");
    this.#emit({ type: "connected", address, broker: welcome.broker, sessionId: welcome.sessionId, resumed });
    this.#opened.resolve();
    this.#schedule();
  }

  #onDisconnected(address: string, error: TaskqueueError): void {
    this.#startError = error;
    this.#logger?.warn({ address, code: error.code, error: error.message }, "not attached; trying again");
    this.#emit({ type: "disconnected", address, error });
  }

  #onSessionLost(sessionId: string): void {
    const unreported = [...this.#outbox, ...this.#unsettled.flatMap(({ attempts }) => attempts)];
    this.#outbox = [];
    this.#unsettled = [];
    const leases = this.#held.size + unreported.length;
    this.#logger?.warn({ session: sessionId, leases }, "the session is lost, and its leases with it");
    for (const attempt of unreported) this.#emitLost(attempt);
    for (const attempt of [...this.#held.values()]) this.#lose(attempt);
    this.#emit({ type: "session:lost", sessionId, leases });
    this.#checkSettled();
  }

  #onMessage(message: LeaseMessage<Attempt>): void {
    // Lost ones first: a report that was refused is settled with its update, and must not pass for a stored one.
    if (message.lost.length > 0) this.#onLost(message.lost);
    if (message.settled > 0) this.#settle(message.settled);
    for (const { leaseToken, timeout } of message.cancel) this.#onCancel(leaseToken, timeout);
    if (message.delivery > 0) this.#onDelivery(message.delivery, message.leased);
    if (message.heartbeat > 0) {
      // At once, and past a full buffer: it is a few bytes, and the session hangs on it.
      this.#heartbeat = message.heartbeat;
      this.#flush();
    }
  }

  #settle(number: number): void {
    let done = 0;
    for (const update of this.#unsettled) {
      if (update.number > number) break;
      done += 1;
    }
    if (done === 0) return;
    const settled = this.#unsettled.splice(0, done);
    if (this.#observed) {
      const leaseTokens = settled.flatMap(({ attempts }) => attempts.map((attempt) => attempt.leaseToken));
      this.#emit({ type: "settled", reports: leaseTokens.length, leaseTokens });
    }
    this.#checkSettled();
  }

  #onLost(tokens: readonly string[]): void {
    const unknown = new Set<string>();
    for (const token of tokens) {
      const attempt = this.#held.get(token);
      if (attempt) this.#lose(attempt);
      else unknown.add(token);
    }
    if (unknown.size === 0) return;
    // Reports that were refused, or would be.
    const keep = (attempt: Attempt) => {
      if (!unknown.has(attempt.leaseToken)) return true;
      this.#emitLost(attempt);
      return false;
    };
    this.#outbox = this.#outbox.filter(keep);
    this.#unsettled = this.#unsettled.map(({ number, attempts }) => ({ number, attempts: attempts.filter(keep) }));
  }

  /** Somebody else may run it now: its signal fires, and nothing is reported. */
  #lose(attempt: Attempt): void {
    this.#drop(attempt);
    attempt.abort(new TaskqueueError("LEASE_LOST", `the lease on task ${attempt.id} is lost; it may run elsewhere`));
    this.#emitLost(attempt);
    this.#schedule();
  }

  #emitLost({ topic, id, leaseToken }: Attempt): void {
    this.#logger?.warn({ topic, task: id, leaseToken }, "lease lost");
    if (this.#observed) this.#emit({ type: "lease:lost", topic, taskId: id, leaseToken });
  }

  /** The task is not this worker's any more; its processor may run on for a while. */
  #drop(attempt: Attempt): void {
    this.#held.delete(attempt.leaseToken);
    this.#progress.delete(attempt);
    if (attempt.state === "running") this.#stray += 1;
    attempt.state = "gone";
    this.#checkIdle();
  }

  #onCancel(leaseToken: string, timeout: boolean): void {
    const attempt = this.#held.get(leaseToken);
    if (attempt === undefined) return;
    const reason = timeout
      ? new TaskqueueError("TASK_TIMEOUT", `task ${attempt.id} ran out of time`)
      : new TaskqueueError("TASK_CANCELLED", `task ${attempt.id} was cancelled`);
    attempt.abort(reason);
    if (this.#observed) this.#emit({ type: "task:cancelled", task: attempt, reason });
    if (attempt.state === "waiting") {
      this.#end(attempt, {
        kind: "failed",
        error: `${reason.message} before it began`,
        retryDelayMs: undefined,
        doNotRetry: false,
      });
    }
  }

  #onDelivery(delivery: number, leased: readonly Attempt[]): void {
    this.#received = delivery;
    this.#receiptDue = true;
    this.#creditGiven -= leased.length;
    for (const attempt of leased) {
      if (this.#held.has(attempt.leaseToken)) continue;
      this.#held.set(attempt.leaseToken, attempt);
      if (this.#phase === "started") this.#waiting.push(attempt);
      else this.#handBack(attempt);
    }
    this.#schedule();
    this.#startWaiting();
  }

  /** Enters processors, as many as may run at once; in slices, so that the stream is not kept waiting. */
  #startWaiting(): void {
    if (this.#waiting.length === 0 || this.#starting) return;
    // A processor that throws at once comes back here while the loop is on its way.
    this.#starting = true;
    const untilMs = monotonicMs() + STARTING_MS_MAX;
    let begun = 0;
    let later = false;
    for (const attempt of this.#waiting) {
      if (this.#running >= this.#concurrency) break;
      if (monotonicMs() > untilMs) {
        later = true;
        break;
      }
      begun += 1;
      // Lost or cancelled while it waited.
      if (attempt.state === "waiting") void this.#run(attempt);
    }
    this.#waiting = begun === this.#waiting.length ? [] : this.#waiting.slice(begun);
    this.#starting = later;
    if (!later) return;
    setImmediate(() => {
      this.#starting = false;
      this.#startWaiting();
    });
  }

  async #run(attempt: Attempt): Promise<void> {
    const registration = this.#registrations.get(attempt.topic);
    if (registration === undefined) {
      this.#logger?.error({ topic: attempt.topic, task: attempt.id }, "a task of a topic that is not registered");
      this.#handBack(attempt);
      return;
    }
    this.#running += 1;
    attempt.state = "running";
    if (this.#observed) {
      attempt.startedAtMs = monotonicMs();
      this.#emit({ type: "task:started", task: attempt });
    }
    let report: Report;
    try {
      const input = registration.read(attempt);
      const returned = await registration.processor(input instanceof Promise ? await input : input, attempt);
      const made = registration.completed(attempt, returned, this.#resultBytesMax);
      report = made instanceof Promise ? await made : made;
      if (this.#observed) this.#emitEnd(attempt, report, undefined);
    } catch (error) {
      report = registration.failed(attempt, error);
      if (this.#observed) this.#emitEnd(attempt, report, error);
    }
    this.#running -= 1;
    if (attempt.state === "running") this.#finished(attempt, report);
    else this.#stray -= 1;
    this.#schedule();
    this.#checkIdle();
    this.#startWaiting();
  }

  #emitEnd(task: Attempt, report: Report, error: unknown): void {
    const durationMs = monotonicMs() - task.startedAtMs;
    if (report.kind === "completed") this.#emit({ type: "task:completed", task, durationMs });
    else this.#emit({ type: "task:failed", task, durationMs, error });
  }

  /** A processor of a task still held has returned. */
  #finished(attempt: Attempt, report: Report): void {
    if (report.kind === "failed" && attempt.abortReason?.code === "CLOSED") {
      // It stopped because it was told to, and that charges nothing.
      this.#count.aborted += 1;
      this.#handBack(attempt);
      return;
    }
    if (this.#phase === "closing") this.#count.completed += 1;
    this.#end(attempt, report);
  }

  #handBack(attempt: Attempt): void {
    this.#end(attempt, RELEASED);
    if (this.#observed) this.#emit({ type: "task:released", task: attempt });
  }

  #end(attempt: Attempt, report: Report): void {
    this.#held.delete(attempt.leaseToken);
    if (this.#progress.size > 0) this.#progress.delete(attempt);
    attempt.state = "ended";
    attempt.report = report;
    this.#outbox.push(attempt);
    this.#schedule();
  }

  /** Called by attempts. Only the latest of a tick is sent. */
  progressed(attempt: Attempt, fraction: number, message: string): void {
    this.#progress.set(attempt, { fraction, message: cutToBytes(message, LIMITS.progressMessageBytesMax) });
    this.#schedule();
  }

  /** How many more tasks the worker takes. */
  get #credit(): number {
    return this.#phase === "started" ? Math.max(0, this.#capacity - this.#held.size - this.#stray) : 0;
  }

  #schedule(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** Sends what there is to say, in as few updates as it takes. */
  #flush(): void {
    const { stream } = this.#connection;
    if (stream === undefined) return;
    do {
      if (stream.blocked && this.#heartbeat === 0) return;
      const update = this.#nextUpdate(stream.blocked);
      if (update === undefined) return;
      stream.write(update);
    } while (this.#outbox.length > 0 || this.#progress.size > 0);
  }

  /** An update with as much as fits, or with the heartbeat only; undefined when there is nothing to say. */
  #nextUpdate(heartbeatOnly: boolean): Buffer | undefined {
    const credit = this.#connection.takesCredit ? this.#credit : 0;
    const newCredit = credit !== this.#creditGiven;
    const says = !heartbeatOnly && (this.#outbox.length > 0 || this.#progress.size > 0 || this.#renewDue);
    if (!says && !newCredit && !this.#receiptDue && this.#heartbeat === 0) return undefined;
    const writer = this.#writer;
    if (says) this.#number += 1;
    const start = beginUpdate(writer, {
      number: says ? this.#number : 0,
      received: this.#received,
      slots: newCredit ? credit : undefined,
      heartbeat: this.#heartbeat,
    });
    this.#heartbeat = 0;
    this.#receiptDue = false;
    this.#creditGiven = credit;
    if (says) {
      this.#writeReports(writer);
      this.#writeRest(writer);
    }
    writer.end(start);
    return writer.take();
  }

  #writeReports(writer: Writer): void {
    if (this.#outbox.length === 0) return;
    let count = 0;
    for (const attempt of this.#outbox) {
      if (count >= REPORTS_MAX || writer.length > UPDATE_BYTES) break;
      count += 1;
      writeReport(writer, attempt);
    }
    const attempts = count === this.#outbox.length ? this.#outbox : this.#outbox.slice(0, count);
    this.#outbox = count === this.#outbox.length ? [] : this.#outbox.slice(count);
    this.#unsettled.push({ number: this.#number, attempts });
  }

  #writeRest(writer: Writer): void {
    for (const [{ leaseToken }, { fraction, message }] of this.#progress) {
      const progress: ProgressOf = { leaseToken, fraction, message };
      writeProgress(writer, progress);
    }
    this.#progress.clear();
    // After a resumption, to hear of those that were lost meanwhile.
    if (this.#renewDue) for (const leaseToken of this.#held.keys()) writeRenew(writer, leaseToken);
    this.#renewDue = false;
  }

  #checkIdle(): void {
    if (this.#phase === "closing" && this.#running === this.#stray) this.#idle.resolve();
  }

  #checkSettled(): void {
    if (this.#phase === "closing" && this.#outbox.length === 0 && this.#unsettled.length === 0)
      this.#settledAll.resolve();
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
    this.#emit({ type: "closed" });
    return { ...this.#count };
  }

  /** Until nothing runs, or its time is up and everything is handed back. */
  async #drain(): Promise<void> {
    for (const attempt of this.#waiting.splice(0)) {
      if (attempt.state !== "waiting") continue;
      this.#count.released += 1;
      this.#handBack(attempt);
    }
    this.#schedule();
    this.#checkIdle();
    await Promise.race([this.#idle.promise, this.#stopWaiting.promise]);
    if (this.#held.size === 0) return;
    const reason = new TaskqueueError("CLOSED", "the worker is closing");
    for (const attempt of this.#held.values()) attempt.abort(reason);
    await settlesWithin(this.#idle.promise, ABORT_MS_MAX);
    for (const attempt of [...this.#held.values()]) {
      // Runs on, but nobody waits for it: the task may begin elsewhere.
      this.#count.aborted += 1;
      this.#stray += 1;
      this.#handBack(attempt);
    }
  }

  /** Until the broker has stored the reports and let go, but not for ever. */
  async #leave(): Promise<void> {
    const untilMs = monotonicMs() + GOODBYE_MS_MAX;
    this.#flush();
    this.#checkSettled();
    const settled = await settlesWithin(this.#settledAll.promise, GOODBYE_MS_MAX);
    if (!settled) {
      const reports = this.#outbox.length + this.#unsettled.reduce((sum, { attempts }) => sum + attempts.length, 0);
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
