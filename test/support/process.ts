/**
 * Real child processes for tests: a broker, a worker, the command line.
 *
 * They run from source through tsx, or from server/dist when
 * TASKQUEUE_TEST_DIST=1, which is how a packaging test runs the same cases.
 * Whatever a child prints is kept and quoted in each failure. No child outlives
 * the test process: see guardian.ts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { guardGroup, releaseGroup } from "./guardian.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FROM_SOURCE = ["--conditions=taskqueue-source", "--import", import.meta.resolve("tsx")];
const OUTPUT_LINES_MAX = 10_000;

export interface SpawnOptions {
  /** Added to this process's environment; `undefined` removes a variable. */
  env?: Record<string, string | undefined>;
  cwd?: string;
}

export interface Exit {
  /** `null` when a signal ended the process. */
  code: number | null;
  signal: NodeJS.Signals | null;
}

export class Subprocess {
  /** Settles when the process has ended and all its output is read. */
  readonly exited: Promise<Exit>;
  readonly pid: number;
  readonly #name: string;
  readonly #child: ChildProcess;
  /** The latest lines; `#dropped` older ones are forgotten. */
  readonly #lines: string[] = [];
  #dropped = 0;
  readonly #listeners = new Set<() => void>();
  #exit: Exit | undefined;

  private constructor(name: string, child: ChildProcess, pid: number) {
    this.#name = name;
    this.#child = child;
    this.pid = pid;
    this.#collect(child.stdout);
    this.#collect(child.stderr);
    this.exited = new Promise((resolve) => {
      child.once("close", (code, signal) => {
        releaseGroup(pid);
        this.#exit = { code, signal };
        this.#notify();
        resolve(this.#exit);
      });
    });
  }

  /** Starts a program. It has no standard input. Rejects when there is no such program. */
  static async start(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<Subprocess> {
    const child = spawn(command, args, {
      cwd: options.cwd ?? ROOT,
      env: { ...process.env, NO_COLOR: "1", ...options.env },
      // Leads a group of its own, so that its helpers can be killed with it.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    if (child.pid !== undefined) guardGroup(child.pid);
    await once(child, "spawn");
    if (child.pid === undefined) throw new Error(`${command} has no process id`);
    return new Subprocess([command, ...args].join(" "), child, child.pid);
  }

  get running(): boolean {
    return this.#exit === undefined;
  }

  /** What was printed so far (its last 10 000 lines), standard output and standard error as they came. */
  get output(): string {
    return this.#lines.join("\n");
  }

  /**
   * Resolves with the match of the first line, printed before or after this
   * call, that fits `pattern`. Rejects when the process ends first, or after
   * `timeoutMs` (default 15 000), and quotes the output.
   */
  async waitForLine(pattern: RegExp, { timeoutMs = 15_000 } = {}): Promise<RegExpExecArray> {
    const { promise, resolve, reject } = withResolvers<RegExpExecArray>();
    let next = 0;
    const look = () => {
      for (; next < this.#dropped + this.#lines.length; next += 1) {
        const match = pattern.exec(this.#lines[next - this.#dropped] ?? "");
        if (match) return resolve(match);
      }
      if (this.#exit) reject(this.#failure(`ended (${describeExit(this.#exit)}) before it printed ${pattern}`));
    };
    const timer = setTimeout(() => reject(this.#failure(`did not print ${pattern} within ${timeoutMs} ms`)), timeoutMs);
    this.#listeners.add(look);
    try {
      look();
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(look);
    }
  }

  /** Sends a signal to the process alone. A process that has ended is left in peace. */
  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child.kill(signal);
  }

  /** Freezes the process: its sockets stay open and nothing answers. */
  pause(): void {
    this.signal("SIGSTOP");
  }

  resume(): void {
    this.signal("SIGCONT");
  }

  /** Ends the process and its helpers with SIGKILL. They get no chance to clean up. */
  async kill(): Promise<Exit> {
    if (this.running) {
      try {
        process.kill(-this.pid, "SIGKILL");
      } catch {
        // It ended between the two lines.
      }
    }
    return await this.exited;
  }

  /** Asks the process to stop with SIGTERM; kills it, and rejects, when it does not within `timeoutMs` (default 10 000). */
  async stop({ timeoutMs = 10_000 } = {}): Promise<Exit> {
    this.signal("SIGTERM");
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      void this.kill();
    }, timeoutMs);
    const exit = await this.exited;
    clearTimeout(timer);
    if (late) throw this.#failure(`was still running ${timeoutMs} ms after SIGTERM`);
    return exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #collect(stream: NodeJS.ReadableStream | null): void {
    let rest = "";
    stream?.setEncoding("utf8");
    stream?.on("data", (chunk: string) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      this.#append(lines);
    });
    stream?.on("end", () => {
      if (rest !== "") this.#append([rest]);
    });
  }

  #append(lines: readonly string[]): void {
    this.#lines.push(...lines);
    const surplus = this.#lines.length - OUTPUT_LINES_MAX;
    if (surplus > 0) this.#dropped += this.#lines.splice(0, surplus).length;
    this.#notify();
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #failure(what: string): Error {
    const tail = this.#lines.slice(-60).map((line) => `  | ${line}`);
    return new Error([`\`${this.#name}\` (process ${this.pid}) ${what}`, ...tail].join("\n"));
  }
}

/** Runs our command line: `await taskqueue(["serve", "--data", ":memory:"])`. */
export function taskqueue(args: readonly string[], options?: SpawnOptions): Promise<Subprocess> {
  const program =
    process.env.TASKQUEUE_TEST_DIST === "1" ? ["server/dist/main.js"] : [...FROM_SOURCE, "server/main.ts"];
  return Subprocess.start(process.execPath, [...program.map(inRoot), ...args], options);
}

/** Runs a TypeScript file of this repository, named from its root, as a process of its own. */
export function runSource(file: string, args: readonly string[] = [], options?: SpawnOptions): Promise<Subprocess> {
  return Subprocess.start(process.execPath, [...FROM_SOURCE, inRoot(file), ...args], options);
}

function inRoot(argument: string): string {
  return /^(server|sdk|test)\//.test(argument) ? `${ROOT}${argument}` : argument;
}

function describeExit({ code, signal }: Exit): string {
  return signal === null ? `exit code ${code}` : signal;
}

/** Promise.withResolvers, which Node 20 does not have. */
function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (reason: Error) => void } {
  let resolve!: (value: T) => void;
  let reject!: (reason: Error) => void;
  const promise = new Promise<T>((onFulfilled, onRejected) => {
    resolve = onFulfilled;
    reject = onRejected;
  });
  return { promise, resolve, reject };
}
