/**
 * Keeps a worker's session alive from a thread of its own, for processors that
 * compute for so long that the event loop cannot answer heartbeats.
 *
 * The thread runs from text, so that it is the same from source and from the
 * build. It speaks grpc-js only: one unary call every third of the session's
 * timeout, to the broker the worker is attached to. Its failures are of no
 * consequence: the stream finds out what is the matter.
 */
import { createRequire } from "node:module";
import { Worker as Thread } from "node:worker_threads";
import { millisFromWire } from "./convert.js";
import { RenewSessionRequest, type Welcome, WorkerServiceDefinition } from "./gen/taskqueue/v1/worker.js";
import type { Logger } from "./options.js";
import type { Dialer } from "./transport.js";

const PATH = `/${WorkerServiceDefinition.fullName}/${WorkerServiceDefinition.methods.renewSession.name}`;
const SESSION_TIMEOUT_MS_DEFAULT = 15_000;

const PROGRAM = `
const { parentPort, workerData } = require("node:worker_threads");
const grpc = require(workerData.grpc);
let client, address, timer;
parentPort.on("message", (session) => {
  clearInterval(timer);
  if (address !== session.address) {
    if (client) client.close();
    address = session.address;
    const tls = session.tls;
    const pem = (text) => (text == null ? null : Buffer.from(text));
    client = new grpc.Client(
      session.uri,
      tls ? grpc.credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert)) : grpc.credentials.createInsecure(),
      tls && tls.serverName ? { "grpc.ssl_target_name_override": tls.serverName } : {},
    );
  }
  const renew = () => {
    const metadata = new grpc.Metadata();
    if (session.authorization) metadata.set("authorization", session.authorization);
    client.makeUnaryRequest(
      workerData.path, (bytes) => Buffer.from(bytes), (bytes) => bytes, session.request, metadata,
      { deadline: Date.now() + session.everyMs }, () => {},
    );
  };
  timer = setInterval(renew, session.everyMs);
});
`;

export class SessionRenewer {
  readonly #dialer: Dialer;
  readonly #logger: Logger | undefined;
  #thread: Thread | undefined;

  constructor(dialer: Dialer, logger: Logger | undefined) {
    this.#dialer = dialer;
    this.#logger = logger;
  }

  /** Renews this session from now on, instead of the one before. */
  keep(welcome: Welcome, address: string): void {
    this.#send(welcome, address).catch((error: unknown) => {
      this.#logger?.warn({ error }, "the session cannot be renewed from a thread");
    });
  }

  async #send(welcome: Welcome, address: string): Promise<void> {
    const timeoutMs = welcome.sessionTimeout ? millisFromWire(welcome.sessionTimeout) : SESSION_TIMEOUT_MS_DEFAULT;
    const { sessionId, sessionSecret } = welcome;
    const session = {
      ...this.#dialer.describe(address),
      authorization: await this.#dialer.authorization(),
      request: RenewSessionRequest.encode({ sessionId, sessionSecret }).finish(),
      everyMs: Math.max(100, Math.floor(timeoutMs / 3)),
    };
    this.#thread ??= this.#newThread();
    this.#thread.postMessage(session);
  }

  #newThread(): Thread {
    const grpc = createRequire(import.meta.url).resolve("@grpc/grpc-js");
    const thread = new Thread(PROGRAM, { eval: true, workerData: { grpc, path: PATH } });
    thread.on("error", (error) => {
      this.#logger?.error({ error }, "the thread that renews the session has died");
    });
    // The stream keeps the process alive, as long as it should live.
    thread.unref();
    return thread;
  }

  async close(): Promise<void> {
    await this.#thread?.terminate();
    this.#thread = undefined;
  }
}
