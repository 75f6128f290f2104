/**
 * Calls of one script that are made in one turn of the event loop, each about a
 * few tasks of a topic of its own, travel together: what a call costs by itself,
 * in Redis and here, is several times what one task costs it.
 *
 * Two calls of one topic are carried out in the order in which they were made. A
 * call that is alone goes no later than it would have: Redis is written to once a
 * turn in any case.
 */
import type { TopicName } from "../../domain/ids.js";
import type { Argument, Reply } from "./script.js";

/** A call of more tasks goes by itself, with its own script: it is worth a message. */
const TASKS_OF_CALL_MAX = 32;
/** So does a single one of more bytes: those of merged calls are copied twice more. */
const SINGLE_BYTES_MAX = 8 * 1024;
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

/** How calls are sent on. */
export interface Sender {
  /** With its own script. */
  alone(call: PendingCall): void;
  /** With the script's merged form: calls of one script. A single one too, as that takes few arguments. */
  together(calls: readonly PendingCall[]): void;
}

export class Merger {
  readonly #sender: Sender;
  /** In the order in which they will be sent. */
  #groups: Group[] = [];
  /** The group of each script that more calls may join. */
  #open = new Map<PendingCall["script"], Group>();
  #topics = new Set<TopicName>();

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  /** Whether calls wait for the end of the turn. */
  get busy(): boolean {
    return this.#groups.length > 0;
  }

  add(call: PendingCall): void {
    if (this.#topics.has(call.topic)) this.flush();
    const bytes = bytesOf(call.args);
    if (call.tasks > TASKS_OF_CALL_MAX || bytes > BYTES_MAX) {
      this.#sender.alone(call);
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
    // Not cleared, which would link their tables: see the SDK's Table.
    this.#open = new Map();
    this.#topics = new Set();
    for (const { calls, bytes } of groups) {
      const [first] = calls;
      if (first !== undefined && calls.length === 1 && bytes > SINGLE_BYTES_MAX) this.#sender.alone(first);
      else this.#sender.together(calls);
    }
  }
}

function bytesOf(args: readonly Argument[]): number {
  let bytes = 0;
  for (const arg of args) bytes += typeof arg === "number" ? 8 : arg.length;
  return bytes;
}
