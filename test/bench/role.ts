/**
 * A process that plays a part in a benchmark: a producer, a worker, a crowd of
 * idle workers. It is told what to do in JSON, a line per command on its
 * standard input, and answers on its standard output in the same way, so that a
 * role can be written in any language (peers/asynq is one in Go).
 *
 *     <- {"ready":true}
 *     -> {"id":1,"do":"window","size":200}
 *     <- {"id":1}
 *     <- {"fatal":"what went wrong"}        and the run fails
 *
 * Its configuration is the last argument on its command line, in JSON. It ends
 * when its standard input does.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { guardGroup, releaseGroup } from "../support/guardian.js";
import { profiling } from "./profile.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** No condition: the SDK is the one built in sdk/dist, as users run it. */
const NODE_ARGS = ["--import", import.meta.resolve("tsx")];
const STDERR_LINES_MAX = 50;

export interface Command {
  do: string;
  [argument: string]: unknown;
}

export interface RoleOptions {
  /** Write a CPU profile into this folder when the role ends. */
  profile?: string | undefined;
  env?: Record<string, string>;
}

interface Message {
  id?: number;
  ready?: boolean;
  fatal?: string;
}

export class Role implements AsyncDisposable {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #errors: string[] = [];
  readonly #waiting = new Map<number, { resolve: (answer: Message) => void; reject: (reason: Error) => void }>();
  readonly #ended: Promise<void>;
  #failure: Error | undefined;
  #stopping = false;
  #nextId = 1;

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
    if (child.pid !== undefined) guardGroup(child.pid);
    if (!child.stdout || !child.stderr) throw new Error(`${name} has no output`);
    createInterface(child.stdout).on("line", (line) => this.#read(line));
    createInterface(child.stderr).on("line", (line) => {
      this.#errors.push(line);
      this.#errors.splice(0, this.#errors.length - STDERR_LINES_MAX);
    });
    child.stdin?.on("error", () => {}); // The exit says why.
    child.on("error", (cause) => this.#fail(`could not be started: ${cause.message}`));
    this.#ended = new Promise((resolve) => {
      child.once("close", (code, signal) => {
        if (child.pid !== undefined) releaseGroup(child.pid);
        if (!this.#stopping) this.#fail(`ended with ${signal ?? `exit code ${code}`}`);
        resolve();
      });
    });
  }

  /** Starts a TypeScript file of test/bench, named from there, as a role. Resolves when it is ready. */
  static node(name: string, file: string, config: unknown, { profile, env }: RoleOptions = {}): Promise<Role> {
    const program = fileURLToPath(new URL(file, import.meta.url));
    return Role.start(
      name,
      process.execPath,
      [...profiling(profile, name), ...NODE_ARGS, program, JSON.stringify(config)],
      env,
    );
  }

  /** Starts any program as a role. Resolves when it is ready. */
  static async start(
    name: string,
    program: string,
    args: readonly string[],
    env?: Record<string, string>,
  ): Promise<Role> {
    const child = spawn(program, args, {
      cwd: ROOT,
      env: { ...process.env, ...env },
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
    });
    const role = new Role(name, child);
    await role.#answer(0, 30_000);
    return role;
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.name} does not run`);
    return this.#child.pid;
  }

  /** Resolves with the answer. Rejects when the role fails, or does not answer in time. */
  async ask<Answer>(command: Command, { timeoutMs = 30_000 } = {}): Promise<Answer> {
    const id = this.#nextId;
    this.#nextId += 1;
    const answer = this.#answer(id, timeoutMs);
    this.#child.stdin?.write(`${JSON.stringify({ id, ...command })}\n`);
    return (await answer) as Answer;
  }

  /** Lets it end by itself, which is what writes its profile; kills it after 10 s. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#child.stdin?.end();
    const timer = setTimeout(() => void this.kill(), 10_000);
    await this.#ended;
    clearTimeout(timer);
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#stopping = true;
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #answer(id: number, timeoutMs: number): Promise<Message> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      const timer = setTimeout(() => this.#fail(`did not answer within ${timeoutMs} ms`), timeoutMs);
      const settle = () => {
        clearTimeout(timer);
        this.#waiting.delete(id);
      };
      this.#waiting.set(id, {
        resolve: (answer) => {
          settle();
          resolve(answer);
        },
        reject: (reason) => {
          settle();
          reject(reason);
        },
      });
    });
  }

  #read(line: string): void {
    if (!line.startsWith("{")) {
      this.#errors.push(line);
      return;
    }
    const message = JSON.parse(line) as Message;
    if (message.fatal !== undefined) this.#fail(message.fatal);
    else this.#waiting.get(message.id ?? 0)?.resolve(message);
  }

  #fail(what: string): void {
    const tail = this.#errors.map((line) => `  | ${line}`);
    this.#failure ??= new Error([`${this.name}: ${what}`, ...tail].join("\n"));
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
  }
}
