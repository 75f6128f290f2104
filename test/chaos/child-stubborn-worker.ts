/**
 * A worker that speaks the protocol by itself, without the SDK, and says things
 * more than once: reports while the first one is under way, reports that were
 * settled long ago, and questions about leases that are over. It hangs up
 * without a goodbye and comes back on another broker. All of that is allowed,
 * and must change nothing.
 */
import {
  type LeasedTask,
  type LeaseRequest,
  type LeaseResponse,
  type Resume,
  WorkerServiceDefinition,
  type WorkerUpdate,
} from "@taskqueue/sdk/gen/taskqueue/v1/worker.js";
import { createChannel, createClient } from "nice-grpc";
import { pause, systemClock } from "../../server/lib/clock.js";
import { Random } from "../support/random.js";
import { asked, readOrders, tellAtWork, type WorkerOrders } from "./child.js";
import type { RunOutcome } from "./history.js";
import { deedOf } from "./workload.js";

const { orders, recorder } = readOrders<WorkerOrders>();
const random = new Random(orders.seed);
const stopped = asked();
let isOver = false;
void stopped.then(() => {
  isOver = true;
});

interface Lease {
  readonly token: string;
  /** Undefined while it runs. */
  outcome: RunOutcome | undefined;
  timesReported: number;
}

/** Leases held, or reported and not settled. */
const leases = new Map<string, Lease>();
/** Tokens that are over, to be stubborn about. */
const past: string[] = [];
let session: Omit<Resume, "leaseTokens"> | undefined;

/** What one stream has still to say; ends when it is closed. */
class Outgoing implements AsyncIterable<LeaseRequest> {
  /** Aborted when the stream is to end without a word. */
  readonly hangUp = new AbortController();
  readonly #requests: LeaseRequest[] = [];
  #wake: () => void = () => {};
  #closed = false;
  #number = 0;
  readonly updates = new Map<number, Lease[]>();

  send(request: NonNullable<LeaseRequest["message"]>): void {
    this.#requests.push({ message: request });
    this.#wake();
  }

  /** Reports these leases, and whatever else is wanted. */
  update(reported: readonly Lease[], more: Partial<WorkerUpdate> = {}): void {
    const number = reported.length > 0 || more.renew ? ++this.#number : 0;
    const fresh = reported.filter(({ timesReported }) => timesReported === 0);
    for (const lease of reported) lease.timesReported++;
    if (number > 0) this.updates.set(number, fresh);
    const of = (outcome: RunOutcome) => reported.filter((lease) => lease.outcome === outcome);
    const failed = [...of("failed"), ...of("buried")].map(({ token, outcome }) => ({
      leaseToken: token,
      error: "as planned",
      retryDelay: undefined,
      doNotRetry: outcome === "buried",
    }));
    const completed = of("returned").map(({ token }) => ({ leaseToken: token, result: undefined }));
    const empty = { received: 0, released: [], progress: [], renew: [], heartbeat: 0 };
    this.send({ $case: "update", value: { ...empty, ...more, number, completed, failed } });
  }

  close(): void {
    this.#closed = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<LeaseRequest> {
    for (;;) {
      yield* this.#requests.splice(0);
      if (this.#closed) return;
      if (this.#requests.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** One stream, from hello to its end. */
async function attach(address: string): Promise<void> {
  const channel = createChannel(address);
  const outgoing = new Outgoing();
  const { hangUp } = outgoing;
  void stopped.then(() => leave(outgoing));
  try {
    outgoing.send({ $case: "hello", value: hello() });
    const client = createClient(WorkerServiceDefinition, channel);
    for await (const response of client.lease(outgoing, { signal: hangUp.signal })) {
      receive(response, outgoing);
      // Stubborn, and yet it lets a broker go: a drain waits for its workers.
      if (response.drain || (!isOver && random.chance(0.003))) break;
    }
  } catch (error) {
    if (String(error).includes("FAILED_PRECONDITION")) loseSession();
  } finally {
    if (current === outgoing) current = undefined;
    recorder.record({ kind: "worker:disconnected", code: "HUNG_UP" });
    hangUp.abort();
    outgoing.close();
    channel.close();
  }
}

/** Hands back what it holds, once it is welcome, and waits a little for the broker to end the stream. */
async function leave(outgoing: Outgoing): Promise<void> {
  if (current === outgoing) {
    giveUp();
    current = undefined;
    outgoing.send({ $case: "goodbye", value: {} });
    outgoing.close();
  }
  // Before it is welcome, it waits for that only if it has something to hand in: `welcomed` comes here again.
  if (leases.size > 0 || hasGivenUp) await pause(systemClock, 2_000, outgoing.hangUp.signal);
  outgoing.hangUp.abort();
}

let hasGivenUp = false;

/** What runs is handed back: by a goodbye, or by staying away. */
function giveUp(): void {
  if (hasGivenUp) return;
  hasGivenUp = true;
  for (const { token, outcome } of leases.values()) {
    if (outcome !== undefined) continue;
    recorder.record({ kind: "lease:released", token });
    leases.delete(token);
  }
}

function hello() {
  const resume = session && { ...session, leaseTokens: [...leases.keys()] };
  const topics = orders.topics.map((topic) => ({ topic, concurrency: 0, weight: 1 }));
  return { worker: orders.name, topics, slots: free(), bytesMax: 0, resume, sdk: "stubborn/1" };
}

function free(): number {
  return Math.max(0, orders.concurrency - [...leases.values()].filter(({ outcome }) => outcome === undefined).length);
}

function receive(response: LeaseResponse, outgoing: Outgoing): void {
  const { welcome, settled, lost, leased, delivery, heartbeat, cancel } = response;
  if (welcome) welcomed(welcome.sessionId, welcome.sessionSecret, welcome.broker, outgoing);
  for (const token of lost) loseLease(token);
  for (const [number, reported] of outgoing.updates) if (number <= settled) settle(number, reported, outgoing);
  for (const { leaseToken, reason } of cancel) {
    const known = reason === 2 ? "TASK_TIMEOUT" : "TASK_CANCELLED";
    if (leases.has(leaseToken)) recorder.record({ kind: "run:aborted", token: leaseToken, reason: known });
  }
  // What crossed its goodbye on the way is handed back with the rest.
  if (!hasGivenUp) for (const task of leased) void run(task);
  if (delivery > 0 || heartbeat > 0) outgoing.update([], { received: delivery, slots: free(), heartbeat });
  if (random.chance(0.1)) outgoing.update([], { renew: past.slice(-3) });
}

function welcomed(sessionId: string, sessionSecret: string, broker: string, outgoing: Outgoing): void {
  const resumed = session?.sessionId === sessionId;
  session = { sessionId, sessionSecret };
  current = outgoing;
  recorder.record({ kind: "worker:connected", session: sessionId, broker, resumed });
  const ended = [...leases.values()].filter(({ outcome }) => outcome !== undefined);
  for (const lease of ended) lease.timesReported = 0;
  if (ended.length > 0) outgoing.update(ended);
  if (isOver) void leave(outgoing);
}

let current: Outgoing | undefined;

async function run(leased: LeasedTask): Promise<void> {
  const { task, leaseToken: token, attempt, failures } = leased;
  if (!task || leases.has(token)) return;
  const lease: Lease = { token, outcome: undefined, timesReported: 0 };
  leases.set(token, lease);
  recorder.record({ kind: "run:started", topic: task.topic, task: task.id, token, attempt, failures });
  const deed = deedOf(orders.seed, { id: task.id, topic: task.topic, failures, timeoutMs: 0 });
  await pause(systemClock, deed.forMs);
  recorder.record({ kind: "run:ended", token, outcome: deed.outcome });
  lease.outcome = deed.outcome;
  // Lost meanwhile: it says so all the same.
  current?.update([lease], { slots: free() });
  if (random.chance(0.3)) current?.update([lease]);
}

function settle(number: number, reported: readonly Lease[], outgoing: Outgoing): void {
  outgoing.updates.delete(number);
  for (const lease of reported) {
    if (!leases.delete(lease.token)) continue;
    recorder.record({ kind: "lease:settled", token: lease.token });
    past.push(lease.token);
    if (random.chance(0.2)) outgoing.update([lease]);
  }
}

function loseLease(token: string): void {
  const lease = leases.get(token);
  if (!lease) return;
  // Said twice, the second time may have been refused.
  recorder.record({ kind: "lease:lost", token, uncertain: lease.timesReported > 1 });
  if (lease.timesReported < 2) leases.delete(token);
  past.push(token);
}

function loseSession(): void {
  if (!session) return;
  for (const token of leases.keys()) recorder.record({ kind: "lease:lost", token, uncertain: true });
  recorder.record({ kind: "session:lost", session: session.sessionId });
  leases.clear();
  session = undefined;
}

tellAtWork();
recorder.record({ kind: "worker:started", concurrency: orders.concurrency, topics: orders.topics });
const addresses = orders.queues.flatMap((queue) => queue.addresses);
// Stopped between two streams, it comes back to report or hand back what it holds, if a broker is there.
for (let turn = 0, last = addresses.length; !isOver || (leases.size > 0 && last-- > 0); turn++) {
  await attach(addresses[turn % addresses.length] ?? "");
  await pause(systemClock, random.int(0, 150));
}
giveUp();
recorder.close();
process.exit(0);
