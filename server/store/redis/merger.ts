/**
 * Calls of one script that are made in one turn of the event loop, each about a
 * few tasks of a topic of its own, travel together: what a call costs by itself,
 * in Redis and here, is several times what one task costs it.
 *
 * Two calls of one topic are carried out in the order in which they were made. A
 * call that is alone goes as it is, and no later than it would have: Redis is
 * written to once a turn in any case.
 */
import type { TopicName } from "../../domain/ids.js";
import type { Argument, Reply } from "./script.js";

/** A call of more tasks goes by itself: it is worth a message of its own. */
const TASKS_OF_CALL_MAX = 32;
/** What travels together: Redis serves nobody else meanwhile. */
const CALLS_MAX = 64;
const TASKS_MAX = 512;
const BYTES_MAX = 256 * 1024;

/** A call, and whom to tell what became of it. */
export interface PendingCall {
  /** The same one for all calls of a script. */
  readonly script: { readonly name: string; readonly source: string; readonly sha: string };
  readonly topic: TopicName;
  /** The most that it may deal with. */
  readonly tasks: number;
  readonly args: readonly Argument[];
  /** Throws when the reply cannot be read. */
  readonly answer: (reply: readonly Reply[]) => void;
  readonly reject: (error: unknown) => void;
}

interface Group {
  readonly calls: PendingCall[];
  tasks: number;
  bytes: number;
}

export class Merger {
  readonly #send: (calls: readonly PendingCall[]) => void;
  /** In the order in which they will be sent. */
  #groups: Group[] = [];
  /** The group of each script that more calls may join. */
  readonly #open = new Map<PendingCall["script"], Group>();
  readonly #topics = new Set<TopicName>();

  /** `send` is given calls of one script that travel together, or one that travels alone. */
  constructor(send: (calls: readonly PendingCall[]) => void) {
    this.#send = send;
  }

  /** Whether calls wait for the end of the turn. */
  get busy(): boolean {
    return this.#groups.length > 0;
  }

  add(call: PendingCall): void {
    if (this.#topics.has(call.topic)) this.flush();
    const bytes = bytesOf(call.args);
    if (call.tasks > TASKS_OF_CALL_MAX || bytes > BYTES_MAX) {
      this.#send([call]);
      return;
    }
    if (!this.busy) process.nextTick(() => this.flush());
    const group = this.#groupFor(call, bytes);
    group.calls.push(call);
    group.tasks += call.tasks;
    group.bytes += bytes;
    this.#topics.add(call.topic);
  }

  #groupFor({ script, tasks }: PendingCall, bytes: number): Group {
    const open = this.#open.get(script);
    const fits =
      open !== undefined &&
      open.calls.length < CALLS_MAX &&
      open.tasks + tasks <= TASKS_MAX &&
      open.bytes + bytes <= BYTES_MAX;
    if (fits) return open;
    const group = { calls: [], tasks: 0, bytes: 0 };
    this.#groups.push(group);
    this.#open.set(script, group);
    return group;
  }

  /** Sends what waits. */
  flush(): void {
    if (!this.busy) return;
    const groups = this.#groups;
    this.#groups = [];
    this.#open.clear();
    this.#topics.clear();
    for (const { calls } of groups) this.#send(calls);
  }
}

function bytesOf(args: readonly Argument[]): number {
  let bytes = 0;
  for (const arg of args) bytes += typeof arg === "number" ? 8 : arg.length;
  return bytes;
}
