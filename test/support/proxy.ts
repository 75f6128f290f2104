/**
 * A TCP proxy that can misbehave: cut connections, refuse them, let them hang
 * half-open, or delay what they carry.
 *
 * It stands between a client and a server on this machine and knows nothing of
 * what they say. Bytes are never lost, reordered or changed while a connection
 * lives, as in TCP: a blackhole holds them back, and `heal` lets them go on.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** `up` is from the client to the server, `down` the way back. */
export type Direction = "up" | "down" | "both";

interface Link {
  client: Socket;
  upstream: Socket;
}

export class TcpProxy {
  readonly port: number;
  readonly #server: Server;
  readonly #links = new Set<Link>();
  #refusing = false;
  #held: ReadonlySet<"up" | "down"> = new Set();
  #latencyMs = 0;

  private constructor(server: Server, targetPort: number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (client) => this.#accept(client, targetPort));
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const server = createServer({ noDelay: true, allowHalfOpen: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new TcpProxy(server, targetPort);
  }

  get connections(): number {
    return this.#links.size;
  }

  /** Resets every connection there is, on both sides. New ones are accepted. */
  cut(): void {
    for (const { client, upstream } of this.#links) {
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    }
  }

  /** Cuts, and resets every new connection at once, until `heal`. */
  refuse(): void {
    this.#refusing = true;
    this.cut();
  }

  /**
   * Connections stay open and carry nothing in that direction, until `heal`;
   * new ones are accepted and treated alike. `blackhole("down")` followed by
   * `cut()` is a request that was served and whose answer was lost.
   */
  blackhole(direction: Direction = "both"): void {
    this.#held = new Set(direction === "both" ? ["up", "down"] : [direction]);
    this.#apply();
  }

  /** Every chunk waits this long in each direction; 0 ends it. Order is kept. */
  latency(ms: number): void {
    this.#latencyMs = ms;
  }

  /** Ends every fault. What was held back goes on its way. */
  heal(): void {
    this.#refusing = false;
    this.#latencyMs = 0;
    this.#held = new Set();
    this.#apply();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, "close");
  }

  #accept(client: Socket, targetPort: number): void {
    // A reset socket reports an error; that is the point of it.
    client.on("error", () => {});
    if (this.#refusing) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ port: targetPort, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    const link: Link = { client, upstream };
    this.#links.add(link);
    upstream.on("error", () => {});
    client.once("close", () => upstream.destroy());
    upstream.once("close", () => {
      this.#links.delete(link);
      client.destroy();
    });
    this.#carry(client, upstream);
    this.#carry(upstream, client);
    this.#apply();
  }

  #carry(from: Socket, to: Socket): void {
    let tail = Promise.resolve();
    // Both ways of delivery go through one queue, so that a change of latency reorders nothing.
    const queue = (deliver: () => void) => {
      const delayMs = this.#latencyMs;
      const due = delayMs === 0 ? undefined : new Promise((resolve) => setTimeout(resolve, delayMs));
      tail = tail.then(() => due).then(deliver);
    };
    from.on("data", (chunk) => {
      queue(() => {
        if (to.writable && !to.write(chunk)) {
          from.pause();
          to.once("drain", () => this.#apply());
        }
      });
    });
    from.on("end", () => queue(() => to.end()));
  }

  #apply(): void {
    for (const { client, upstream } of this.#links) {
      set(client, this.#held.has("up"));
      set(upstream, this.#held.has("down"));
    }
  }
}

function set(source: Socket, held: boolean): void {
  if (held) source.pause();
  else source.resume();
}
