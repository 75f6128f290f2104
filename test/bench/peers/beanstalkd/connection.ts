/**
 * A connection to beanstalkd that pipelines: commands are answered in their
 * order. Knows only the replies that the benchmark meets.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface Reply {
  /** `INSERTED`, `RESERVED`, `DELETED`, `OK`, `USING`, … */
  word: string;
  /** What follows it on its line. */
  rest: string;
  /** The data block of `RESERVED` and `OK`. */
  data: string;
}

export class Connection {
  readonly #socket: Socket;
  readonly #waiting: { resolve: (reply: Reply) => void; reject: (reason: Error) => void }[] = [];
  #answered = 0;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => this.#read(chunk));
    socket.on("error", (error) => {
      for (const { reject } of this.#waiting.splice(0)) reject(error);
    });
  }

  static async open(target: string): Promise<Connection> {
    const [host, port] = target.split(":");
    const socket = connect(Number(port), host);
    await once(socket, "connect");
    return new Connection(socket);
  }

  /** Writes several commands at once. Each promise resolves with its reply, and rejects when that is an error. */
  post(commands: readonly string[]): Promise<Reply>[] {
    const replies = commands.map(
      () => new Promise<Reply>((resolve, reject) => this.#waiting.push({ resolve, reject })),
    );
    this.#socket.write(commands.join(""));
    return replies;
  }

  /** Writes several commands at once; resolves with all their replies. */
  send(commands: readonly string[]): Promise<Reply[]> {
    return Promise.all(this.post(commands));
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const lineEnd = bytes.indexOf("\r\n");
      if (lineEnd < 0) break;
      const [word = "", ...fields] = bytes.toString("latin1", 0, lineEnd).split(" ");
      let end = lineEnd + 2;
      let data = "";
      if (word === "RESERVED" || word === "OK") {
        const length = Number(fields.at(-1));
        if (bytes.length < end + length + 2) break;
        data = bytes.toString("utf8", end, end + length);
        end += length + 2;
      }
      bytes = bytes.subarray(end);
      this.#settle({ word, rest: fields.join(" "), data });
    }
    this.#rest = bytes;
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting[this.#answered];
    this.#answered += 1;
    // Shifting one by one would cost more than the benchmark itself.
    if (this.#answered >= 1024) {
      this.#waiting.splice(0, this.#answered);
      this.#answered = 0;
    }
    if (/^(INSERTED|RESERVED|DELETED|OK|USING|WATCHING)$/.test(reply.word)) waiting?.resolve(reply);
    else waiting?.reject(new Error(`beanstalkd answered ${reply.word} ${reply.rest}`));
  }
}
