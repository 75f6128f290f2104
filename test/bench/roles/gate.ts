/**
 * How the producer learns how many tasks are done: the workers write counts to
 * a Unix socket of the producer's, four bytes for as many completions as one
 * tick brought. It is the same for every system measured, and costs each side
 * one system call a tick.
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

const COUNT_BYTES = 4;

/** The producer's side. Calls `settled` with each count that arrives. */
export async function openGate(path: string, settled: (count: number) => void): Promise<void> {
  const server = createServer((socket) => {
    let rest: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const whole = bytes.length - (bytes.length % COUNT_BYTES);
      let count = 0;
      for (let offset = 0; offset < whole; offset += COUNT_BYTES) count += bytes.readUInt32LE(offset);
      rest = bytes.subarray(whole);
      if (count > 0) settled(count);
    });
    socket.on("error", () => {}); // A worker that was killed on purpose.
  });
  server.unref();
  server.listen(path);
  await once(server, "listening");
}

/** The worker's side. */
export class Gate {
  readonly #socket: Socket;
  #pending = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => {}); // The producer has left first.
  }

  static async connect(path: string): Promise<Gate> {
    const socket = connect(path);
    await once(socket, "connect");
    return new Gate(socket);
  }

  add(count: number): void {
    if (this.#pending === 0) setImmediate(() => this.#flush());
    this.#pending += count;
  }

  #flush(): void {
    const bytes = Buffer.allocUnsafe(COUNT_BYTES);
    bytes.writeUInt32LE(this.#pending);
    this.#pending = 0;
    this.#socket.write(bytes);
  }
}
