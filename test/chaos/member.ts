/**
 * A process of a run with more lives than one: killed, frozen, stopped and
 * started again under the same name. Each life is recorded, and what it printed
 * is kept beside its record.
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { pause, systemClock } from "../../server/lib/clock.js";
import type { Exit, Subprocess } from "../support/process.js";
import { until } from "../support/until.js";
import { monotonicUs, type Recorder } from "./history.js";
import { type Resources, resourcesOf } from "./resources.js";

export interface MemberOptions {
  readonly name: string;
  readonly folder: string;
  readonly fate: Recorder;
  /** Starts life number `life`, named `name#life`; resolves when it is at work. */
  readonly launch: (life: string) => Promise<Subprocess>;
}

const START_ATTEMPTS_MAX = 40;
const START_PAUSE_MS = 200;
const REST_MS_MAX = 3_000;

export class Member {
  readonly name: string;
  readonly #options: MemberOptions;
  #lives = 0;
  #process: Subprocess | undefined;
  #atStart: Resources | undefined;

  constructor(options: MemberOptions) {
    this.name = options.name;
    this.#options = options;
  }

  get isUp(): boolean {
    return this.#process?.running === true;
  }

  /** The present life, or the last one. */
  get life(): string {
    return `${this.name}#${this.#lives}`;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /**
   * Resolves when it is at work. A life that ends before it gets there is no
   * fault of its own (a broker does not start without its store): whoever
   * supervises it tries again.
   */
  async start(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      this.#lives++;
      const { life } = this;
      this.#options.fate.record({ kind: "process:started", process: life }, "*");
      try {
        const child = await this.#options.launch(life);
        this.#process = child;
        this.recordStart();
        void child.exited.then((exit) => this.#ended(child, life, exit));
        return;
      } catch (error) {
        this.#keepOutput(life, String(error));
        if (attempt === START_ATTEMPTS_MAX) throw error;
        await pause(systemClock, START_PAUSE_MS);
      }
    }
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#leave("killed");
    await child?.kill();
  }

  /** SIGTERM, and SIGKILL for one that does not listen; resolves when it has ended. */
  async stop(timeoutMs = 15_000): Promise<void> {
    const child = this.#leave("exited");
    if (!child) return;
    const askedUs = monotonicUs();
    child.resume();
    const exit = await child.stop({ timeoutMs }).catch(() => undefined);
    const afterMs = Math.round((monotonicUs() - askedUs) / 1_000);
    this.#options.fate.record({ kind: "stopped", process: this.life, afterMs, code: exit?.code ?? -1 }, "*");
  }

  freeze(): void {
    this.#process?.pause();
  }

  thaw(): void {
    this.#process?.resume();
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.signal(signal);
  }

  /** Resolves when the present life has ended by itself. */
  async ended(): Promise<void> {
    await this.#process?.exited;
  }

  /** What this life takes up now, in its beginning. */
  recordStart(): void {
    this.#atStart = this.#resources;
    this.#recordResources("start");
  }

  /** What it takes up at rest, which connections that were closed at their other end take a moment to come to. */
  async recordEnd(): Promise<void> {
    const { sockets = 0 } = this.#atStart ?? {};
    const isAtRest = () => (this.#resources?.sockets ?? 0) <= sockets;
    await until(`${this.life} has let go of its connections`, isAtRest, { timeoutMs: REST_MS_MAX }).catch(() => {});
    this.#recordResources("end");
  }

  get #resources(): Resources | undefined {
    return this.pid === undefined || !this.isUp ? undefined : resourcesOf(this.pid);
  }

  #recordResources(moment: "start" | "end"): void {
    const resources = this.#resources;
    if (resources) this.#options.fate.record({ kind: "resources", process: this.life, moment, ...resources }, "*");
  }

  /** From here on its end is our doing. */
  #leave(how: "killed" | "exited"): Subprocess | undefined {
    const child = this.#process;
    if (!child?.running) return undefined;
    this.#process = undefined;
    if (how === "killed") {
      this.#options.fate.record({ kind: "process:ended", process: this.life, how, code: 0, expected: true }, "*");
    }
    return child;
  }

  #ended(child: Subprocess, life: string, { code, signal }: Exit): void {
    this.#keepOutput(life, `${child.output}\n${signal === null ? `exit code ${code}` : signal}`);
    if (this.#process !== child) return;
    this.#options.fate.record(
      { kind: "process:ended", process: life, how: "exited", code: code ?? -1, expected: code === 0 },
      "*",
    );
  }

  #keepOutput(life: string, output: string): void {
    appendFileSync(join(this.#options.folder, `${life}.log`), `${output}\n`);
  }
}
