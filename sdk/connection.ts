/**
 * A worker's attachment to the brokers: a session that outlives its streams.
 *
 * - `idle`: not started.
 * - `connecting`: a stream is dialled and greeted. Left when the broker's welcome
 *   arrives, or when the attempt fails.
 * - `attached`: the stream serves. A timer watches that the broker is not silent
 *   for longer than the session's timeout.
 * - `draining`: the broker is about to stop. The old stream still carries
 *   reports, while a new one is opened elsewhere (`next`, or `timer` between two
 *   attempts). Left when the new one is welcomed, or the old one ends.
 * - `lost`: no stream; a timer leads back to `connecting`. The session can be
 *   resumed on any broker.
 * - `leaving`: the goodbye is sent; the broker is to end the stream.
 * - `closed`: for good.
 *
 * The invariant: entering a state lets go of every timer and stream of the one
 * before that the new one does not carry on.
 */
import { after, cancelTimer, type Deferred, deferred, monotonicMs, type Timer } from "./clock.js";
import { millisFromWire } from "./convert.js";
import { TaskqueueError } from "./errors.js";
import type { Resume, Welcome } from "./gen/taskqueue/v1/worker.js";
import { encodeGoodbye, type LeaseMessage } from "./lease-codec.js";
import { LeaseStream } from "./lease-stream.js";
import { jitteredBackoffMs } from "./random.js";
import type { Attempt } from "./running-task.js";
import type { Dialer } from "./transport.js";

const BACKOFF_BASE_MS = 100;
/** Below the grace, which is what a worker has left when its broker is back after long. */
const BACKOFF_CAP_MS = 1_000;
/** A stream that lived for less counts as one more failure, so that a broker that welcomes and drops is not stormed. */
const STABLE_MS = 1_000;
const SESSION_TIMEOUT_MS_DEFAULT = 15_000;

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "connecting"; readonly next: LeaseStream }
  | { readonly kind: "attached"; readonly stream: LeaseStream; readonly timer: Timer; readonly sinceMs: number }
  | {
      readonly kind: "draining";
      readonly stream: LeaseStream;
      readonly next: LeaseStream | undefined;
      readonly timer: Timer | undefined;
    }
  | { readonly kind: "lost"; readonly timer: Timer }
  | { readonly kind: "leaving"; readonly stream: LeaseStream }
  | { readonly kind: "closed" };

/** The session as it is resumed. */
export type Session = Pick<Resume, "sessionId" | "sessionSecret">;

export interface ConnectionHooks {
  hello(session: Session | undefined): Buffer;
  fresh(): Attempt;
  /** A session is open on a new stream; whatever was not settled on the old one is to be reported again. */
  opened(opened: { readonly address: string; readonly welcome: Welcome; readonly resumed: boolean }): void;
  /** A message of the current stream; without its tasks when the broker drains. */
  message(message: LeaseMessage<Attempt>): void;
  writable(): void;
  draining(address: string, deadlineMs: number): void;
  /** The stream was lost, or could not be opened; the connection tries again. */
  disconnected(address: string, error: TaskqueueError): void;
  /** The session and all its leases are over. A new one is opened next. */
  sessionLost(sessionId: string): void;
  /** A broker refuses this worker for good, before it was ever welcomed; the connection is closed. */
  refused(error: TaskqueueError): void;
}

export class Connection {
  readonly #dialer: Dialer;
  readonly #hooks: ConnectionHooks;
  #state: State = { kind: "idle" };
  #session: Session | undefined;
  #sessionTimeoutMs = SESSION_TIMEOUT_MS_DEFAULT;
  #heardAtMs = 0;
  #failures = 0;
  #everOpened = false;
  readonly #over: Deferred<void> = deferred();

  constructor(dialer: Dialer, hooks: ConnectionHooks) {
    this.#dialer = dialer;
    this.#hooks = hooks;
  }

  start(): void {
    if (this.#state.kind === "idle") this.#connect();
  }

  /** The stream to write to, if there is one. */
  get stream(): LeaseStream | undefined {
    const state = this.#state;
    return state.kind === "attached" || state.kind === "draining" ? state.stream : undefined;
  }

  /** Whether credit given now has a meaning: not to a broker that drains. */
  get takesCredit(): boolean {
    return this.#state.kind === "attached";
  }

  /** Whether a session is open, on a stream or to be resumed. */
  get hasSession(): boolean {
    return this.#session !== undefined;
  }

  /** Resolves when the connection is closed. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** Says goodbye and lets the broker end the stream. Everything to be reported must have been written. */
  leave(): void {
    const { stream } = this;
    if (stream === undefined) return;
    this.#enter({ kind: "leaving", stream });
    stream.write(encodeGoodbye());
    stream.finish();
  }

  /** Lets go of everything at once. */
  close(): void {
    this.#enter({ kind: "closed" });
    this.#over.resolve();
  }

  /** The one setter. */
  #enter(next: State): void {
    const previous = this.#state;
    if (previous.kind === "closed") return;
    this.#state = next;
    const kept = [...streamsOf(next)];
    for (const stream of streamsOf(previous)) if (!kept.includes(stream)) stream.cancel();
    const timer = timerOf(previous);
    if (timer !== timerOf(next)) cancelTimer(timer);
  }

  #connect(): void {
    this.#enter({ kind: "connecting", next: this.#newStream() });
  }

  #newStream(): LeaseStream {
    return new LeaseStream(this.#dialer, {
      hello: () => this.#hooks.hello(this.#session),
      fresh: () => this.#hooks.fresh(),
      message: (stream, message) => this.#message(stream, message),
      writable: (stream) => {
        if (stream === this.stream) this.#hooks.writable();
      },
      ended: (stream, error) => this.#ended(stream, error),
    });
  }

  #message(stream: LeaseStream, message: LeaseMessage<Attempt>): void {
    if (message.welcome !== undefined && stream === nextOf(this.#state)) this.#opened(stream, message.welcome);
    if (stream !== this.stream) return;
    this.#heardAtMs = monotonicMs();
    if (this.#state.kind === "draining") {
      // What a broker in drain still hands out was not acknowledged, and goes back uncharged when the session moves.
      this.#hooks.message({ ...message, delivery: 0, leased: [] });
      return;
    }
    this.#hooks.message(message);
    if (message.drainMs !== undefined) this.#drain(stream, message.drainMs);
  }

  #opened(stream: LeaseStream, welcome: Welcome): void {
    const resumed = this.#session !== undefined && this.#session.sessionId === welcome.sessionId;
    const previous = this.#session;
    this.#session = { sessionId: welcome.sessionId, sessionSecret: welcome.sessionSecret };
    if (welcome.sessionTimeout) this.#sessionTimeoutMs = millisFromWire(welcome.sessionTimeout);
    this.#heardAtMs = monotonicMs();
    this.#everOpened = true;
    this.#enter({ kind: "attached", stream, timer: this.#watchSilence(stream), sinceMs: this.#heardAtMs });
    // A broker that does not resume says so by an error; a welcome to another session means the same.
    if (previous !== undefined && !resumed) this.#hooks.sessionLost(previous.sessionId);
    this.#hooks.opened({ address: stream.address, welcome, resumed });
  }

  #watchSilence(stream: LeaseStream): Timer {
    const everyMs = this.#sessionTimeoutMs / 3;
    const dueAtMs = monotonicMs() + everyMs;
    return after(everyMs, () => {
      if (this.#state.kind !== "attached" || this.#state.stream !== stream) return;
      const nowMs = monotonicMs();
      // A process that stood still has read nothing meanwhile: the broker is not to blame for that.
      if (nowMs - dueAtMs > everyMs / 2) this.#heardAtMs = nowMs;
      const silentMs = nowMs - this.#heardAtMs;
      if (silentMs > this.#sessionTimeoutMs) {
        const message = `the broker at ${stream.address} has been silent for ${Math.round(silentMs)} ms`;
        this.#lose(stream, new TaskqueueError("UNREACHABLE", message, { retryable: true }));
        return;
      }
      this.#enter({ ...this.#state, timer: this.#watchSilence(stream) });
    });
  }

  /** Moves on while the old stream lasts. */
  #drain(stream: LeaseStream, deadlineMs: number): void {
    this.#failures = 0;
    this.#enter({ kind: "draining", stream, next: this.#newStream(), timer: undefined });
    this.#hooks.draining(stream.address, deadlineMs);
  }

  #ended(stream: LeaseStream, error: TaskqueueError | undefined): void {
    const state = this.#state;
    if (state.kind === "leaving") {
      this.close();
      return;
    }
    const reason =
      error ??
      new TaskqueueError("UNREACHABLE", `the broker at ${stream.address} ended the stream`, { retryable: true });
    if (state.kind === "draining" && stream === state.stream) {
      // The new stream becomes the hope it was anyway.
      if (state.next !== undefined) this.#enter({ kind: "connecting", next: state.next });
      else if (state.timer !== undefined) this.#enter({ kind: "lost", timer: state.timer });
      this.#hooks.disconnected(stream.address, reason);
      return;
    }
    this.#lose(stream, reason);
  }

  #lose(stream: LeaseStream, error: TaskqueueError): void {
    const state = this.#state;
    if (state.kind === "attached" && monotonicMs() - state.sinceMs >= STABLE_MS) this.#failures = 0;
    const delayMs = this.#nextDelayMs(error);
    this.#failures += 1;
    if (state.kind === "draining" && error.code !== "SESSION_LOST") {
      // The attempt elsewhere has failed; the old stream still serves.
      this.#enter({ ...state, next: undefined, timer: this.#retryTimer(delayMs) });
    } else {
      this.#enter({ kind: "lost", timer: this.#retryTimer(delayMs) });
    }
    if (error.code === "SESSION_LOST" && this.#session !== undefined) {
      const { sessionId } = this.#session;
      this.#session = undefined;
      this.#hooks.sessionLost(sessionId);
      return;
    }
    this.#hooks.disconnected(stream.address, error);
    if (!this.#everOpened && REFUSALS.has(error.code)) {
      this.close();
      this.#hooks.refused(error);
    }
  }

  #retryTimer(delayMs: number): Timer {
    return after(delayMs, () => {
      const state = this.#state;
      if (state.kind === "draining") this.#enter({ ...state, next: this.#newStream(), timer: undefined });
      else if (state.kind === "lost") this.#connect();
    });
  }

  /** At once to each broker in turn, the grace being short; then ever more slowly, and spread by chance. */
  #nextDelayMs(error: TaskqueueError): number {
    const free = this.#dialer.addresses.length;
    const jittered =
      this.#failures < free ? 0 : jitteredBackoffMs(this.#failures - free, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
    // A broker in drain means itself; there may be others.
    return Math.max(error.code === "DRAINING" ? 0 : (error.retryDelayMs ?? 0), jittered);
  }
}

/** What no repetition mends. */
const REFUSALS: ReadonlySet<string> = new Set([
  "UNAUTHENTICATED",
  "PERMISSION_DENIED",
  "INVALID_ARGUMENT",
  "UNIMPLEMENTED",
]);

function nextOf(state: State): LeaseStream | undefined {
  return state.kind === "connecting" || state.kind === "draining" ? state.next : undefined;
}

function* streamsOf(state: State): Generator<LeaseStream> {
  if (state.kind === "attached" || state.kind === "draining" || state.kind === "leaving") yield state.stream;
  const next = nextOf(state);
  if (next !== undefined) yield next;
}

function timerOf(state: State): Timer | undefined {
  return state.kind === "attached" || state.kind === "draining" || state.kind === "lost" ? state.timer : undefined;
}
