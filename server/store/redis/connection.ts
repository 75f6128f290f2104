/**
 * The connections to Redis: one for commands, one that wake-ups come by, and as
 * many as wait for events at the same time, which is none or one.
 *
 * ioredis must not repeat a command by itself, which by default it does when a
 * reply is lost: what was executed and what was not is for the caller to find
 * out, and every verb is safe to repeat. A command that cannot be sent at once
 * fails at once. All connections heal by themselves when the store comes back.
 */
import { Cluster, Command, Redis, ReplyError } from "ioredis";
import { systemClock } from "../../lib/clock.js";
import type { Log } from "../../lib/log.js";
import { type Client, createClient, type Target, type Timeouts } from "./client.js";
import { list, reply, text } from "./codec.js";
import type { Keys } from "./keys.js";
import { mergedScript, packCalls, repliesOf } from "./merged-script.js";
import { Merger, type PendingCall } from "./merger.js";
import { type Argument, type Reply, type Script, type Source, withUnshardedMax } from "./script.js";
import { storeError } from "./store-error.js";

/** How often a replica, which refuses everything, makes us connect anew. */
const RECONNECT_MS = 1_000;
/** Nobody waits longer than this in Redis: a read for events is bounded well below. */
const BLOCKING_MS_MAX = 60_000;

/** Behind the first command of a turn, less than this waits for the end of the turn, to travel in one write. */
const CORKED_BYTES_MAX = 1024;

interface ConnectionOptions {
  readonly commandTimeoutMs: number;
  readonly log: Log;
  /** See RedisStoreOptions. */
  readonly unshardedMax: number | undefined;
}

export class Connection {
  readonly #target: Target;
  readonly #keys: Keys;
  readonly #commandTimeoutMs: number;
  readonly #log: Log;
  readonly #commands: Client;
  /** Undefined where topics may be on different nodes. */
  #merger: Merger | undefined;
  readonly #mergedScripts = new Map<string, Source>();
  readonly #unshardedMax: number | undefined;
  readonly #wakes: Client;
  readonly #waiters = new Set<Client>();
  /** Those of them on which nobody waits just now. */
  readonly #idleWaiters: Client[] = [];
  /** What each connection last complained of: `connect` itself only says that it failed. */
  readonly #complaints = new WeakMap<Client, Error>();
  /** Commands that wait for their reply. */
  #underWay = 0;
  #closed = false;
  /** When a replica's refusal made us connect anew. */
  #reconnectedAt = Number.NEGATIVE_INFINITY;

  constructor(target: Target, keys: Keys, options: ConnectionOptions) {
    this.#target = target;
    this.#keys = keys;
    this.#commandTimeoutMs = options.commandTimeoutMs;
    this.#log = options.log;
    this.#unshardedMax = options.unshardedMax;
    // A socket that stays silent for so long is dead, whatever TCP says.
    const timeouts = { commandTimeout: options.commandTimeoutMs, socketTimeout: 2 * options.commandTimeoutMs };
    this.#commands = this.#client(timeouts);
    this.#wakes = this.#client(timeouts);
    if (this.#commands instanceof Redis) {
      this.#merger = new Merger({
        alone: (call) => void this.#evaluateOne(call),
        together: (calls) => void this.#evaluateAll(calls),
      });
    }
  }

  /** Connects. `onMessage` gets what is published on the channel; `onResync` is called when messages may have been lost. */
  async open(channel: string, onMessage: (message: string) => void, onResync: () => void): Promise<void> {
    await this.#connect(this.#commands);
    if (!(await this.#servesManySlots())) {
      this.#merger = undefined;
      this.#keys.separateTopics();
    }
    await this.#connect(this.#wakes);
    this.#wakes.on("message", (_, message: string) => onMessage(message));
    await this.#subscribe(channel);
    this.#report();
    const again = () => {
      this.#subscribe(channel).then(onResync, () => {
        // Lost again; the next "ready" brings us here again.
      });
    };
    this.#wakes.on("ready", again);
    // A cluster's client moves its subscription to another node by itself.
    if (this.#wakes instanceof Cluster) this.#wakes.on("-node", onResync).on("+node", onResync);
  }

  /** Whether one script may use keys of any topics: not in a cluster, even where it looks like one server. */
  async #servesManySlots(): Promise<boolean> {
    if (this.#commands instanceof Cluster) return false;
    // Of four keys that differ in their slots; it does nothing with them.
    const keys = this.#keys.ofManySlots();
    try {
      await this.command("eval", ["return 0", keys.length, ...keys]);
      return true;
    } catch (error) {
      if (error instanceof Error && error.message.includes("CROSSSLOT")) return false;
      throw error;
    }
  }

  /** Says once that the connection is lost, however many attempts it takes to get it back. */
  #report(): void {
    let lost = false;
    this.#commands.on("close", () => {
      const byUs = systemClock.monotonic() - this.#reconnectedAt < RECONNECT_MS;
      if (lost || byUs || this.#closed) return;
      lost = true;
      this.#log.warn({}, "The connection to Redis is lost.");
    });
    this.#commands.on("ready", () => {
      if (lost) this.#log.info({}, "The connection to Redis is back.");
      lost = false;
    });
  }

  /** Every command is refused by a replica: one of them a second makes us connect anew. */
  #lookForPrimary(): boolean {
    const now = systemClock.monotonic();
    if (now - this.#reconnectedAt < RECONNECT_MS) return false;
    this.#reconnectedAt = now;
    this.#log.debug({}, "Redis accepts no writes; connecting anew, in case that another one is the primary now.");
    return true;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const waiter of this.#waiters) waiter.disconnect();
    this.#wakes.disconnect();
    // A verb of several steps sends the next one when it has the reply to the one before.
    while (this.#underWay > 0 || this.#merger?.busy === true) {
      await this.#commands.ping().catch(() => undefined);
      await new Promise(setImmediate);
    }
    this.#commands.disconnect();
  }

  /** Runs a script, which Redis is given in full when it does not know it: at first, after a restart or a failover. */
  run<Call, Answer>(script: Script<Call, Answer>, call: Call): Promise<Answer> {
    const merger = this.#merger;
    const { merges } = script;
    if (merger === undefined || merges === undefined) return this.#runAlone(script, call);
    return new Promise((resolve, reject) => {
      merger.add({
        script,
        topic: merges.topic(call),
        tasks: merges.tasks(call),
        args: script.args(call, this.#keys),
        answer: (reply) => resolve(answerOf(script, reply, call)),
        reject,
      });
    });
  }

  async #runAlone<Call, Answer>(script: Script<Call, Answer>, call: Call): Promise<Answer> {
    // Nothing that is said later may overtake what waits.
    this.#merger?.flush();
    const reply = await this.#evaluate(script, script.keys(this.#keys, call), script.args(call, this.#keys));
    return answerOf(script, list(reply), call);
  }

  async #evaluateAll(calls: readonly PendingCall[]): Promise<void> {
    const [first] = calls;
    if (first === undefined) return;
    const keys = [this.#keys.straight(first.topic), ...calls.map(({ topic }) => this.#keys.tasks(topic))];
    try {
      const replies = repliesOf(await this.#evaluate(this.#mergedScript(first.script), keys, [packCalls(calls)]));
      for (let i = 0; i < calls.length; i++) settle(calls[i], replies[i]);
    } catch (error) {
      for (const { reject } of calls) reject(error);
    }
  }

  async #evaluateOne(call: PendingCall): Promise<void> {
    try {
      settle(call, list(await this.#evaluate(call.script, this.#keys.topic(call.topic), call.args)));
    } catch (error) {
      call.reject(error);
    }
  }

  #mergedScript({ name }: PendingCall["script"]): Source {
    const known = this.#mergedScripts.get(name);
    if (known !== undefined) return known;
    const merged = mergedScript(name);
    this.#mergedScripts.set(name, merged);
    return merged;
  }

  async #evaluate(script: Source, keys: readonly string[], args: readonly Argument[]): Promise<Reply> {
    const { source, sha } = this.#unshardedMax === undefined ? script : withUnshardedMax(script, this.#unshardedMax);
    const all: Argument[] = [sha, keys.length];
    for (const key of keys) all.push(key);
    for (const arg of args) all.push(arg);
    this.#underWay += 1;
    try {
      return reply(await send(this.#commands, "evalsha", all));
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw storeError(error);
    } finally {
      this.#underWay -= 1;
    }
    return this.command("eval", [source, ...all.slice(1)]);
  }

  /** One command; its reply as bytes. */
  async command(name: string, args: Argument[]): Promise<Reply> {
    this.#underWay += 1;
    try {
      return reply(await send(this.#commands, name, args));
    } catch (error) {
      throw storeError(error);
    } finally {
      this.#underWay -= 1;
    }
  }

  /**
   * A command that waits in Redis. Its reply is not given: that it came tells that
   * there is something to read now. False when the store is being closed.
   */
  async wait(name: string, args: Argument[]): Promise<boolean> {
    if (this.#closed) return false;
    const waiter = this.#idleWaiters.pop() ?? this.#newWaiter();
    try {
      if (waiter.status === "wait") await this.#connect(waiter);
      await send(waiter, name, args);
      this.#idleWaiters.push(waiter);
      return true;
    } catch (error) {
      this.#waiters.delete(waiter);
      waiter.disconnect();
      if (!this.#closed) throw storeError(error);
      return false;
    }
  }

  #newWaiter(): Client {
    const waiter = this.#client({ blockingTimeout: BLOCKING_MS_MAX, blockingTimeoutGrace: this.#commandTimeoutMs });
    this.#waiters.add(waiter);
    return waiter;
  }

  /** Makes Redis answer on the connection that wake-ups come by; when it does not, the connection is replaced. */
  probe(): void {
    // What an error leads to is in `open`.
    if (this.#wakes.status === "ready") this.#wakes.ping().catch(() => undefined);
  }

  async #subscribe(channel: string): Promise<void> {
    try {
      await this.#wakes.subscribe(channel);
    } catch (error) {
      throw storeError(error);
    }
  }

  async #connect(client: Client): Promise<void> {
    try {
      await client.connect();
    } catch (error) {
      client.disconnect();
      throw storeError(this.#complaints.get(client) ?? error);
    }
  }

  #client(timeouts: Omit<Timeouts, "connectTimeout">): Client {
    const client = createClient(this.#target, { ...timeouts, connectTimeout: 2 * this.#commandTimeoutMs }, () =>
      this.#lookForPrimary(),
    );
    client.on("error", (error: Error) => {
      this.#complaints.set(client, error);
      if (!this.#closed) this.#log.debug({ err: error }, "A connection to Redis has an error.");
    });
    return client;
  }
}

function answerOf<Call, Answer>(script: Script<Call, Answer>, reply: readonly Reply[], call: Call): Answer {
  return script.reply(text(reply[0]), reply.slice(1), call);
}

/** Tells a caller what its call was answered; the text of an error, if it failed. */
function settle(call: PendingCall | undefined, reply: Reply | undefined): void {
  try {
    if (Array.isArray(reply)) call?.answer(reply);
    else call?.reject(storeError(new ReplyError(text(reply))));
  } catch (error) {
    // An answer that cannot be read concerns this caller alone.
    call?.reject(error);
  }
}

/** Sends a command as it is. `call` would do the same, and copy the arguments once more. */
function send(client: Client, name: string, args: Argument[]): Promise<unknown> {
  const command = new Command(name, args, { replyEncoding: null });
  client.sendCommand(command);
  const stream = client instanceof Redis ? client.stream : undefined;
  // What follows in the same go of the event loop travels in one write, unless it is much: then Redis should begin with
  // it while the next command is made.
  if (stream !== undefined && stream.writableCorked === 0) {
    stream.cork();
    process.nextTick(() => stream.uncork());
  } else if (stream !== undefined && stream.writableLength >= CORKED_BYTES_MAX) {
    stream.uncork();
  }
  return command.promise;
}
