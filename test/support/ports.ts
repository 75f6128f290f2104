/**
 * A TCP port on the loopback that was free a moment ago.
 *
 * Nobody holds it: another process may take it first. Our own servers are asked
 * for port 0 instead; this is for programs that cannot say which port they got,
 * and whoever starts one tries again with another port (see redis.ts).
 */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
