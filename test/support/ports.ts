/**
 * A TCP port on the loopback that was free a moment ago.
 *
 * Nobody holds it: another process may take it first. Our own servers are asked
 * for port 0 instead; this is for programs that cannot say which port they got,
 * and whoever starts one tries again with another port (see redis.ts); and for
 * servers that come back on their port after a while. So the port is none of
 * those that the kernel gives to connections and to port 0: nobody gets it by
 * chance while its server is down.
 */
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/** Below what Linux (32768) and other systems (49152) give away. */
const PORT_MIN = 10_000;
const PORT_MAX = 32_767;
const ATTEMPTS_MAX = 50;

export async function freePort(): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const port = randomInt(PORT_MIN, PORT_MAX + 1);
    const server = createServer();
    try {
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
      server.close();
      await once(server, "close");
      return port;
    } catch (error) {
      if (attempt === ATTEMPTS_MAX) throw error;
    }
  }
}
