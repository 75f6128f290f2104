/** beanstalkd with its binlog on, synced as often as Redis' append-only file. */

import { once } from "node:events";
import { connect } from "node:net";
import { removeFolder, temporaryFolder } from "../../support/guardian.js";
import { freePort } from "../../support/ports.js";
import { Subprocess } from "../../support/process.js";
import { until } from "../../support/until.js";
import { Role } from "../role.js";
import { topicName } from "../roles/body.js";
import type { ProducerConfig } from "../roles/producing.js";
import type { WorkerConfig } from "../roles/working.js";
import type { Counted, System, SystemOptions } from "../system.js";
import { Connection } from "./beanstalkd/connection.js";

/** Of the binlog, as arguments. */
const SYNC = { always: ["-f", "0"], everysec: ["-f", "1000"], no: ["-F"] } as const;
/**
 * Connections of a worker, when more jobs than that are in flight. Each holds
 * one job. Of 10, 50, 200 and 1,000 connections 50 and 200 did best.
 */
const CONNECTIONS_MAX = 50;

export class Beanstalkd implements System {
  readonly #process: Subprocess;
  readonly #target: string;
  readonly #folder: string;

  private constructor(process: Subprocess, target: string, folder: string) {
    this.#process = process;
    this.#target = target;
    this.#folder = folder;
  }

  static async start({ appendonly }: SystemOptions): Promise<Beanstalkd> {
    const port = await freePort();
    const folder = temporaryFolder();
    const listen = ["-l", "127.0.0.1", "-p", String(port), "-z", "2000000"];
    const process = await Subprocess.start("beanstalkd", [...listen, "-b", folder, ...SYNC[appendonly]]);
    await until("beanstalkd answers", async () => {
      const socket = connect(port, "127.0.0.1");
      await once(socket, "connect");
      socket.destroy();
      return true;
    });
    return new Beanstalkd(process, `127.0.0.1:${port}`, folder);
  }

  get servers(): Counted[] {
    return [{ name: "server", pid: this.#process.pid }];
  }

  startProducer(config: Omit<ProducerConfig, "target">): Promise<Role> {
    return Role.node("producer", "peers/beanstalkd/producer.ts", { ...config, target: this.#target });
  }

  startWorker({ connections = CONNECTIONS_MAX, ...config }: Omit<WorkerConfig, "target">): Promise<Role> {
    return Role.node("worker", "peers/beanstalkd/worker.ts", { ...config, connections, target: this.#target });
  }

  async audit(sent: number, waiting = false): Promise<string[]> {
    const connection = await Connection.open(this.#target);
    const [reply] = await connection.send([`stats-tube ${topicName(0)}\r\n`]);
    connection.close();
    const count = (name: string) => Number(new RegExp(`^${name}: (\\d+)$`, "m").exec(reply?.data ?? "")?.[1]);
    const left = ["ready", "reserved", "delayed", "buried"].reduce(
      (sum, state) => sum + count(`current-jobs-${state}`),
      0,
    );
    const done = waiting ? 0 : sent;
    return [
      ...(count("total-jobs") === sent ? [] : [`beanstalkd counts ${count("total-jobs")} jobs instead of ${sent}`]),
      ...(count("cmd-delete") === done ? [] : [`beanstalkd counts ${count("cmd-delete")} deletes instead of ${done}`]),
      ...(left === sent - done ? [] : [`beanstalkd has ${left} jobs left`]),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.kill();
    removeFolder(this.#folder);
  }
}
