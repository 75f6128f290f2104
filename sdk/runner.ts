/**
 * The tasks in a worker's hands: those that wait for a place, and those in their
 * processors. Enters processors as places come free, and makes a report of each
 * end. Knows nothing of streams and sessions.
 *
 * Its credit is what it can hold minus what it holds, so that it never owes more
 * than it can run.
 */
import { type Deferred, deferred, monotonicMs } from "./clock.js";
import { TaskqueueError } from "./errors.js";
import type { Report } from "./lease-codec.js";
import { LIMITS } from "./limits.js";
import type { Listeners } from "./listeners.js";
import type { CloseReport, Logger } from "./options.js";
import type { Registration } from "./registration.js";
import { type Attempt, RELEASED } from "./running-task.js";
import { hashOfToken, Table } from "./table.js";
import type { Uplink } from "./uplink.js";

/** Entering processors must not keep heartbeats and receipts waiting for longer than this. */
const STARTING_MS_MAX = 5;

export interface RunnerOptions {
  readonly registrations: ReadonlyMap<string, Registration>;
  /** Processors at once. */
  readonly concurrency: number;
  /** Tasks at once, those that wait included. */
  readonly capacity: number;
  readonly uplink: () => Uplink;
  readonly listeners: Listeners;
  readonly logger: Logger | undefined;
}

export class Runner {
  /** The largest result, in encoded bytes, that the broker takes. */
  resultBytesMax: number = LIMITS.taskBytesMax;
  readonly #options: RunnerOptions;
  readonly #listeners: Listeners;
  /** Leases held and not yet reported, by token: waiting and running ones. */
  readonly #held = new Table<Attempt>(hashOfToken);
  /** Those of them that have not begun, oldest first. */
  #waiting: Attempt[] = [];
  /** Processors that have not returned; also those whose lease is gone. */
  #running = 0;
  /** Processors that run although their lease is gone: they take up a place without holding a task. */
  #stray = 0;
  /** Whether processors are being entered, or will be in the next turn of the event loop. */
  #entering = false;
  /** Set when the runner takes no more; resolves when no processor of a held task runs. */
  #stopped: Deferred<void> | undefined;
  readonly #count = { completed: 0, released: 0, aborted: 0 };

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#listeners = options.listeners;
  }

  get held(): number {
    return this.#held.size;
  }

  get tokens(): readonly string[] {
    return this.#held.keys();
  }

  /** How many more tasks it takes. */
  get credit(): number {
    if (this.#stopped) return 0;
    return Math.max(0, this.#options.capacity - this.#held.size - this.#stray);
  }

  deliver(leased: readonly Attempt[]): void {
    for (const attempt of leased) {
      if (this.#held.has(attempt.leaseToken)) continue;
      this.#held.set(attempt.leaseToken, attempt);
      if (this.#stopped) this.#handBack(attempt);
      else this.#waiting.push(attempt);
    }
    this.#startWaiting();
  }

  /** Enters processors, as many as may run at once; in slices, so that the stream is not kept waiting. */
  #startWaiting(): void {
    // A processor that throws at once comes back here while the loop is on its way.
    if (this.#waiting.length === 0 || this.#entering) return;
    this.#entering = true;
    const untilMs = monotonicMs() + STARTING_MS_MAX;
    let begun = 0;
    let pause = false;
    for (const attempt of this.#waiting) {
      if (this.#running >= this.#options.concurrency) break;
      pause = monotonicMs() > untilMs;
      if (pause) break;
      begun += 1;
      // Or it was lost or cancelled while it waited.
      if (attempt.state === "waiting") void this.#run(attempt);
    }
    this.#waiting = begun >= this.#waiting.length ? [] : this.#waiting.slice(begun);
    this.#entering = pause;
    if (!pause) return;
    setImmediate(() => {
      this.#entering = false;
      this.#startWaiting();
    });
  }

  async #run(attempt: Attempt): Promise<void> {
    const registration = this.#options.registrations.get(attempt.topic);
    if (registration === undefined) {
      this.#options.logger?.error(
        { topic: attempt.topic, task: attempt.id },
        "a task of a topic that is not registered",
      );
      this.#handBack(attempt);
      return;
    }
    this.#running += 1;
    attempt.state = "running";
    if (this.#listeners.any) {
      attempt.startedAtMs = monotonicMs();
      this.#listeners.emit({ type: "task:started", task: attempt });
    }
    let report: Report;
    try {
      const input = registration.read(attempt);
      const returned = await registration.processor(input instanceof Promise ? await input : input, attempt);
      const made = registration.completed(attempt, returned, this.resultBytesMax);
      report = made instanceof Promise ? await made : made;
      if (this.#listeners.any) this.#emitEnd(attempt, report, undefined);
    } catch (error) {
      report = registration.failed(attempt, error);
      if (this.#listeners.any) this.#emitEnd(attempt, report, error);
    }
    this.#running -= 1;
    if (attempt.state === "running") {
      this.#finished(attempt, report);
    } else {
      this.#stray -= 1;
      this.#options.uplink().schedule();
    }
    this.#checkIdle();
    this.#startWaiting();
  }

  #emitEnd(task: Attempt, report: Report, error: unknown): void {
    const durationMs = monotonicMs() - task.startedAtMs;
    if (report.kind === "completed") this.#listeners.emit({ type: "task:completed", task, durationMs });
    else this.#listeners.emit({ type: "task:failed", task, durationMs, error });
  }

  /** A processor of a task still held has returned. */
  #finished(attempt: Attempt, report: Report): void {
    if (report.kind === "failed" && attempt.abortReason?.code === "CLOSED") {
      // It stopped because it was told to, and that charges nothing.
      this.#count.aborted += 1;
      this.#handBack(attempt);
      return;
    }
    if (this.#stopped) this.#count.completed += 1;
    this.#end(attempt, report);
  }

  #handBack(attempt: Attempt): void {
    this.#end(attempt, RELEASED);
    if (this.#listeners.any) this.#listeners.emit({ type: "task:released", task: attempt });
  }

  #end(attempt: Attempt, report: Report): void {
    this.#held.delete(attempt.leaseToken);
    attempt.state = "ended";
    attempt.report = report;
    this.#options.uplink().report(attempt);
  }

  /** Tells the attempt to stop; its end is reported as ever. */
  cancel(leaseToken: string, timeout: boolean): void {
    const attempt = this.#held.get(leaseToken);
    if (attempt === undefined) return;
    const reason = timeout
      ? new TaskqueueError("TASK_TIMEOUT", `task ${attempt.id} ran out of time`)
      : new TaskqueueError("TASK_CANCELLED", `task ${attempt.id} was cancelled`);
    attempt.abort(reason);
    if (this.#listeners.any) this.#listeners.emit({ type: "task:cancelled", task: attempt, reason });
    if (attempt.state !== "waiting") return;
    const error = `${reason.message} before it began`;
    this.#end(attempt, { kind: "failed", error, retryDelayMs: undefined, doNotRetry: false });
  }

  /** These leases are lost: signals fire, and nothing is reported. Returns the tokens that are not held. */
  lose(tokens: readonly string[]): ReadonlySet<string> {
    const unknown = new Set<string>();
    for (const token of tokens) {
      const attempt = this.#held.get(token);
      if (attempt) this.#lose(attempt);
      else unknown.add(token);
    }
    return unknown;
  }

  loseAll(): void {
    for (const attempt of this.#held.values()) this.#lose(attempt);
  }

  #lose(attempt: Attempt): void {
    this.#held.delete(attempt.leaseToken);
    this.#options.uplink().forgetProgress(attempt);
    if (attempt.state === "running") this.#stray += 1;
    attempt.state = "gone";
    attempt.abort(new TaskqueueError("LEASE_LOST", `the lease on task ${attempt.id} is lost; it may run elsewhere`));
    this.emitLost(attempt);
    this.#options.uplink().schedule();
    this.#checkIdle();
  }

  /** Tells of a lost lease, also one whose report was refused. */
  emitLost({ topic, id, leaseToken, reportedBefore }: Attempt): void {
    if (reportedBefore) {
      // Most likely the first report was stored, and only word of it was lost with the stream.
      this.#options.logger?.debug?.({ topic, task: id, leaseToken }, "a repeated report was refused");
      return;
    }
    this.#options.logger?.warn({ topic, task: id, leaseToken }, "lease lost");
    if (this.#listeners.any) this.#listeners.emit({ type: "lease:lost", topic, taskId: id, leaseToken });
  }

  /** Takes no more, and hands back what has not begun. Resolves when no processor of a held task runs. */
  stop(): Promise<void> {
    this.#stopped ??= deferred();
    for (const attempt of this.#waiting.splice(0)) {
      if (attempt.state !== "waiting") continue;
      this.#count.released += 1;
      this.#handBack(attempt);
    }
    this.#checkIdle();
    return this.#stopped.promise;
  }

  #checkIdle(): void {
    if (this.#running === this.#stray) this.#stopped?.resolve();
  }

  /** Fires the signals of all that run. */
  abortAll(): void {
    const reason = new TaskqueueError("CLOSED", "the worker is closing");
    for (const attempt of this.#held.values()) attempt.abort(reason);
  }

  /** Hands back what still runs: nobody waits for it any more, and the task may begin elsewhere. */
  handBackAll(): void {
    for (const attempt of this.#held.values()) {
      this.#count.aborted += 1;
      this.#stray += 1;
      this.#handBack(attempt);
    }
  }

  /** What became of the tasks held since `stop`. */
  get report(): CloseReport {
    return { ...this.#count };
  }
}
