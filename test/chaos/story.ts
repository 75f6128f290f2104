/**
 * Hand-made histories for the checker's own tests: a sentence per line, a
 * millisecond apart, and a last page that is true unless a test says otherwise.
 */
import type { Figures, Happening, ListedTask, PlannedTask, Recorded, RunOutcome } from "./history.js";
import type { FaultName } from "./plan.js";

const TOPIC = "topic";
const WORKER = "worker-1#1";
const FATE = "fate";

export class Story {
  readonly #records: Recorded[] = [];
  readonly #leases = new Map<string, { readonly by: string; outcome: string }>();
  #atUs = 0;
  #calls = 0;
  #faults = 0;

  get history(): readonly Recorded[] {
    return this.#records;
  }

  tell(by: string, happening: Happening): this {
    this.#atUs += 1_000;
    this.#records.push({ atUs: this.#atUs, by, queue: "main", ...happening });
    return this;
  }

  wait(ms: number): this {
    this.#atUs += ms * 1_000;
    return this;
  }

  /** One call with these tasks, not yet answered. Returns its number. */
  invoke(ids: readonly string[], plan: Partial<PlannedTask> = {}): number {
    const tasks = ids.map((id) => ({
      topic: TOPIC,
      priority: 0,
      retries: 0,
      kept: true,
      delayMs: 0,
      timeoutMs: 0,
      ...plan,
      id,
    }));
    this.tell("producer-1#1", { kind: "enqueue:invoked", call: ++this.#calls, tasks });
    return this.#calls;
  }

  acknowledge(call: number, created: readonly boolean[] = [true]): this {
    return this.tell("producer-1#1", { kind: "enqueue:acknowledged", call, created });
  }

  enqueue(id: string, plan: Partial<PlannedTask> = {}, created = true): this {
    return this.acknowledge(this.invoke([id], plan), [created]);
  }

  /** A serial worker of the topic. */
  worker(by = WORKER, concurrency = 1): this {
    return this.tell(by, { kind: "worker:started", concurrency, topics: [TOPIC] });
  }

  start(
    task: string,
    token: string,
    { by = WORKER, attempt = 1, failures }: { by?: string; attempt?: number; failures?: number } = {},
  ): this {
    this.#leases.set(token, { by, outcome: "" });
    return this.tell(by, {
      kind: "run:started",
      topic: TOPIC,
      task,
      token,
      attempt,
      failures: failures ?? attempt - 1,
    });
  }

  end(token: string, outcome: RunOutcome = "returned"): this {
    this.#lease(token).outcome = outcome;
    return this.tell(this.#lease(token).by, { kind: "run:ended", token, outcome });
  }

  release(token: string): this {
    return this.tell(this.#lease(token).by, { kind: "lease:released", token });
  }

  abort(token: string, reason: string): this {
    return this.tell(this.#lease(token).by, { kind: "run:aborted", token, reason });
  }

  settle(token: string): this {
    return this.tell(this.#lease(token).by, { kind: "lease:settled", token });
  }

  lose(token: string): this {
    return this.tell(this.#lease(token).by, { kind: "lease:lost", token, uncertain: false });
  }

  /** From start to confirmation. */
  run(task: string, token: string, outcome: RunOutcome = "returned", by = WORKER): this {
    return this.start(task, token, { by }).end(token, outcome).settle(token);
  }

  kill(process = WORKER): this {
    return this.tell(FATE, { kind: "process:ended", process, how: "killed", code: 0, expected: true });
  }

  fault(fault: FaultName, forgetsMs = 0): this {
    const number = ++this.#faults;
    const sinceUs = this.#atUs + 1_000;
    this.tell(FATE, { kind: "fault:injected", fault, number, targets: ["store"], sinceUs, forgetsMs });
    return this.tell(FATE, { kind: "fault:lifted", fault, number });
  }

  /** The last page: which tasks the store lists (`completed` unless said otherwise), and its figures. */
  finish(listed: Readonly<Record<string, Partial<ListedTask>>> = {}, figures: Figures = {}): this {
    const tasks = Object.entries(listed).map(([id, task]) => ({
      id,
      topic: TOPIC,
      state: "completed" as const,
      failures: 0,
      lostLeases: 0,
      deadReason: "",
      ...task,
    }));
    const topics = { [TOPIC]: { ...this.#recount(tasks), ...figures } };
    this.tell(FATE, { kind: "faults:over" }).tell(FATE, { kind: "quiet", afterMs: 1 });
    return this.tell(FATE, { kind: "snapshot", tasks, topics });
  }

  #lease(token: string) {
    const lease = this.#leases.get(token);
    if (!lease) throw new Error(`the story knows no lease ${token}`);
    return lease;
  }

  #recount(tasks: readonly ListedTask[]): Figures {
    const sizeOf = (state: string) => tasks.filter((task) => task.state === state).length;
    const invoked = this.#records.flatMap((record) => (record.kind === "enqueue:invoked" ? record.tasks : []));
    const settled = new Set(this.#records.flatMap((record) => (record.kind === "lease:settled" ? record.token : [])));
    const endedAs = (...outcomes: string[]) =>
      [...this.#leases].filter(([token, { outcome }]) => settled.has(token) && outcomes.includes(outcome)).length;
    const completed = endedAs("returned");
    const failed = tasks.filter(({ state, deadReason }) => state === "dead" && deadReason !== "lost_leases").length;
    const retried = endedAs("failed", "buried") - failed;
    const leased = sizeOf("leased");
    return {
      enqueued: new Set(invoked.map(({ id }) => id)).size,
      started: this.#leases.size,
      completed,
      retried,
      failed,
      released: 0,
      expired: this.#leases.size - completed - retried - failed - leased,
      cancelled: 0,
      aborted: 0,
      deleted: 0,
      inputQueueSize: sizeOf("ready"),
      workQueueSize: leased,
      deadQueueSize: sizeOf("dead"),
      scheduledSize: sizeOf("scheduled"),
      completedSize: sizeOf("completed"),
      cancelledSize: sizeOf("cancelled"),
    };
  }
}
