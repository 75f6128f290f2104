/** A broker process: the build in server/dist, started as users start it. */
import { fileURLToPath } from "node:url";
import { Subprocess } from "../support/process.js";
import { profiling } from "./profile.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export class BrokerProcess implements AsyncDisposable {
  readonly address: string;
  readonly #args: readonly string[];
  #process: Subprocess;

  private constructor(address: string, args: readonly string[], process: Subprocess) {
    this.address = address;
    this.#args = args;
    this.#process = process;
  }

  /** Resolves when it serves. `args` are those of `taskqueue serve`. */
  static async start(args: readonly string[], profile?: string): Promise<BrokerProcess> {
    const command = [
      ...profiling(profile, "broker"),
      `${ROOT}server/dist/main.js`,
      "serve",
      "--http",
      "off",
      "--log-format",
      "json",
      ...args,
    ];
    const [address, process] = await launch([...command, "--listen", "127.0.0.1:0"]);
    return new BrokerProcess(address, [...command, "--listen", address], process);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#process.kill();
  }

  /** Starts it again on the same address. */
  async restart(): Promise<void> {
    [, this.#process] = await launch(this.#args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // In good order, so that a profile is written; a broker that will not stop is no reason to fail a measurement.
    await this.#process.stop({ timeoutMs: 15_000 }).catch(() => {});
  }
}

async function launch(args: readonly string[]): Promise<[address: string, process: Subprocess]> {
  const broker = await Subprocess.start(process.execPath, args);
  const [, address] = await broker.waitForLine(/"address":"([^"]+)".*the broker serves/);
  if (address === undefined) throw new Error("the broker did not say where it listens");
  return [address, broker];
}
