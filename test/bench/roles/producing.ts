/**
 * The producer's part, for any system. An Enqueuer knows how to put tasks in;
 * everything else (how many, when, and with which numbers) is decided here, so
 * that all systems are fed alike.
 *
 * Three rules keep a producer within bounds: at most `window` tasks unfinished,
 * at most `limit` tasks in all, at most `unacknowledged` calls unanswered.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { nowUs } from "../clock.js";
import { Sample } from "../statistics.js";
import { type Body, paddingFor } from "./body.js";
import { fatal, roleConfig, serve } from "./control.js";
import { openGate } from "./gate.js";

export interface ProducerConfig {
  /** Where the system is: an address, a URL. */
  target: string;
  topics: number;
  payloadBytes: number;
  /** The Unix socket on which workers tell what is done. */
  gate: string;
  /** How tasks go in: one call for each, or one for many. */
  call: "one" | "many";
}

export interface Enqueuer {
  /** Resolves when the system has accepted all of them. */
  enqueue(bodies: readonly Body[], delayMs: number): Promise<unknown>;
  close(): Promise<unknown>;
}

export interface ProducerState {
  sent: number;
  acknowledged: number;
  settled: number;
  atUs: number;
}

/** What a producer can be told. */
export interface ProducerCommands {
  state: object;
  /** Keep `size` tasks unfinished from now on; 0 stops. */
  window: { size: number };
  /** Enqueue `count` tasks as fast as possible, with at most `unacknowledged` unanswered. */
  send: { count: number; unacknowledged?: number };
  /** One task at a time, the next a pause after the last one was done; `count` of them, or as many as `seconds` allow. */
  singles: { count: number; pauseMs: number; seconds: number };
  /** `rate` tasks a second, whatever becomes of them. */
  pace: { rate: number; seconds: number; delayMinMs?: number; delayMaxMs?: number };
  /** `count` tasks that all fall due at one moment. */
  dueAtOnce: { count: number; inMs: number };
  /** Answered when every task sent is done. */
  idle: object;
}

/** The most that is put in by one turn of the loop. */
const BATCH_MAX = 1_000;
const UNACKNOWLEDGED_MAX = 20_000;
/** An open loop that is this far ahead of the workers has failed to measure anything. */
const OUTSTANDING_MAX = 3_000_000;

class Producer {
  readonly #enqueuer: Enqueuer;
  readonly #padding: string;
  #sent = 0;
  #acknowledged = 0;
  #settled = 0;
  #window = 0;
  #limit = Number.POSITIVE_INFINITY;
  #unacknowledgedMax = UNACKNOWLEDGED_MAX;
  readonly #waiting = new Set<() => void>();

  constructor(enqueuer: Enqueuer, payloadBytes: number) {
    this.#enqueuer = enqueuer;
    this.#padding = paddingFor(payloadBytes, nowUs());
  }

  get state(): ProducerState {
    return { sent: this.#sent, acknowledged: this.#acknowledged, settled: this.#settled, atUs: nowUs() };
  }

  settled(count: number): void {
    this.#settled += count;
    this.#moved();
  }

  window(size: number): undefined {
    this.#window = size;
    this.#refill();
  }

  async send({
    count,
    unacknowledged = UNACKNOWLEDGED_MAX,
  }: ProducerCommands["send"]): Promise<{ fromUs: number; toUs: number }> {
    const fromUs = nowUs();
    this.#limit = this.#sent + count;
    this.#unacknowledgedMax = unacknowledged;
    this.window(Number.POSITIVE_INFINITY);
    await this.#until(() => this.#acknowledged === this.#limit);
    const toUs = nowUs();
    this.#window = 0;
    this.#limit = Number.POSITIVE_INFINITY;
    this.#unacknowledgedMax = UNACKNOWLEDGED_MAX;
    return { fromUs, toUs };
  }

  async singles({ count, pauseMs, seconds }: ProducerCommands["singles"]): Promise<undefined> {
    const endUs = nowUs() + seconds * 1e6;
    for (let done = 0; done < count && nowUs() < endUs; done += 1) {
      this.put(1);
      await this.#until(() => this.#settled === this.#sent);
      await sleep(pauseMs * (0.5 + Math.random()));
    }
  }

  /**
   * Those that fell due since the last tick of a 1 ms timer go in one by one, in
   * one turn of the loop. A delay is drawn for each tick.
   */
  async pace({ rate, seconds, delayMinMs = 0, delayMaxMs = delayMinMs }: ProducerCommands["pace"]): Promise<object> {
    const late = new Sample();
    const startUs = nowUs();
    const total = Math.round(rate * seconds);
    for (let sent = 0; sent < total; ) {
      const elapsedUs = nowUs() - startUs;
      const due = Math.min(total, Math.floor((elapsedUs * rate) / 1e6));
      const delayMs = Math.round(delayMinMs + Math.random() * (delayMaxMs - delayMinMs));
      for (; sent < due; sent += 1) {
        const meantUs = startUs + Math.floor((sent * 1e6) / rate);
        late.add(nowUs() - meantUs);
        this.put(1, { meantUs, delayMs });
      }
      if (this.#sent - this.#settled > OUTSTANDING_MAX) throw new Error("the workers cannot keep up with this rate");
      await sleep(1);
    }
    await this.#until(() => this.#acknowledged === this.#sent);
    return late.distribution();
  }

  async dueAtOnce({ count, inMs }: ProducerCommands["dueAtOnce"]): Promise<{ dueUs: number; spareMs: number }> {
    const dueUs = nowUs() + inMs * 1000;
    for (let left = count; left > 0; left -= BATCH_MAX) {
      const atUs = nowUs();
      const delayMs = Math.max(0, Math.round((dueUs - atUs) / 1000));
      this.put(Math.min(left, BATCH_MAX), { meantUs: dueUs - delayMs * 1000, delayMs });
      await this.#until(() => this.#sent - this.#acknowledged < UNACKNOWLEDGED_MAX);
    }
    await this.#until(() => this.#acknowledged === this.#sent);
    return { dueUs, spareMs: (dueUs - nowUs()) / 1000 };
  }

  /** Resolves when every task sent is done. */
  async idle(): Promise<undefined> {
    await this.#until(() => this.#acknowledged === this.#sent && this.#settled === this.#sent);
  }

  put(count: number, { meantUs = 0, delayMs = 0 } = {}): void {
    const callUs = nowUs();
    const dueUs = (meantUs || callUs) + delayMs * 1000;
    const bodies: Body[] = [];
    for (let n = this.#sent; n < this.#sent + count; n += 1) bodies.push([n, callUs, dueUs, this.#padding]);
    this.#sent += count;
    this.#enqueuer.enqueue(bodies, delayMs).then(() => {
      this.#acknowledged += count;
      this.#moved();
    }, fatal);
  }

  #moved(): void {
    this.#refill();
    for (const look of this.#waiting) look();
  }

  #refill(): void {
    for (;;) {
      const count = Math.min(
        BATCH_MAX,
        this.#window - (this.#sent - this.#settled),
        this.#limit - this.#sent,
        this.#unacknowledgedMax - (this.#sent - this.#acknowledged),
      );
      if (count <= 0) return;
      this.put(count);
    }
  }

  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!condition()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }
}

/** What a producer's program does. */
export async function runProducer(connect: (config: ProducerConfig) => Promise<Enqueuer>): Promise<void> {
  const config = roleConfig<ProducerConfig>();
  const enqueuer = await connect(config);
  const producer = new Producer(enqueuer, config.payloadBytes);
  await openGate(config.gate, (count) => producer.settled(count));
  serve<ProducerCommands>(
    {
      state: () => producer.state,
      window: ({ size }) => producer.window(size),
      send: (command) => producer.send(command),
      singles: (command) => producer.singles(command),
      pace: (command) => producer.pace(command),
      dueAtOnce: (command) => producer.dueAtOnce(command),
      idle: () => producer.idle(),
    },
    () => enqueuer.close(),
  );
}
