/**
 * The plain HTTP port: is the process alive, does it serve, and its metrics.
 * Reads through the engine, never through the store.
 */

import assert from "node:assert";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { Broker } from "../engine/broker.js";

export interface HttpOptions {
  readonly broker: Broker;
  readonly host: string;
  readonly port: number;
  /** The metrics, in the Prometheus text format. */
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
}

export interface HttpServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** Listens; rejects when the address is in use or not to be had. */
export async function startHttpServer({ broker, host, port, metrics }: HttpOptions): Promise<HttpServer> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    if (request.method !== "GET" && request.method !== "HEAD") return reply(response, 405, "only GET is served here");
    switch (pathname) {
      case "/healthz":
        return reply(response, 200, "ok");
      case "/readyz":
        return reply(response, broker.health === "serving" ? 200 : 503, broker.health);
      case "/metrics":
        metrics.text().then(
          (text) => reply(response, 200, text, metrics.contentType),
          () => reply(response, 500, "the metrics could not be read"),
        );
        return;
      default:
        return reply(response, 404, "not found; there are /healthz, /readyz and /metrics");
    }
  });
  server.listen(port, host);
  await once(server, "listening");
  const address = server.address();
  assert(typeof address === "object" && address !== null, "a server that listens on a port has an address");
  return {
    port: address.port,
    async stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function reply(response: ServerResponse, status: number, text: string, type = "text/plain; charset=utf-8"): void {
  response.writeHead(status, { "content-type": type, "cache-control": "no-store" });
  response.end(text.endsWith("\n") ? text : `${text}\n`);
}
