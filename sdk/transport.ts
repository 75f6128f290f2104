/**
 * Ways to brokers. A Link is one connection to one broker, ready when it is
 * handed out, and never revived: whoever sees it fail gives it up and dials
 * anew. So reconnecting, and its waiting times, are decided in one place each,
 * and not by the backoff of a channel underneath.
 */
import {
  Channel,
  connectivityState,
  credentials,
  Client as GrpcClient,
  status as grpcStatus,
  Metadata,
} from "@grpc/grpc-js";
import { createClient, type Client as ServiceClient } from "nice-grpc";
import { wallMs } from "./clock.js";
import { TaskqueueError, unreachable } from "./errors.js";
import { AdminServiceDefinition } from "./gen/taskqueue/v1/admin.js";
import { BrokerServiceDefinition } from "./gen/taskqueue/v1/broker.js";
import { type ConnectionOptions, integer, invalid, type TlsOptions } from "./options.js";
import { randomBelow } from "./random.js";
import { SDK_NAME } from "./version.js";

const ADDRESS_DEFAULT = "localhost:50051";
const PORT_DEFAULT = 50051;
const CONNECT_TIMEOUT_MS_DEFAULT = 5_000;

const CHANNEL_OPTIONS = {
  // The broker bounds what it sends by bytes and credit; a message it may send must get through.
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  "grpc.enable_channelz": 0,
  // Shared subchannels would share their backoff, and a fresh channel would not dial at once.
  "grpc.use_local_subchannel_pool": 1,
  "grpc-node.flow_control_window": 1024 * 1024,
  "grpc.primary_user_agent": SDK_NAME,
} as const;

/** Finds a connection that is dead without having been closed, and keeps what is between from forgetting it. */
const KEEPALIVE_OPTIONS = {
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
} as const;

export interface Link {
  readonly address: string;
  /** For the streams that are served by hand-written codecs. */
  readonly streams: GrpcClient;
  readonly broker: ServiceClient<typeof BrokerServiceDefinition>;
  readonly admin: ServiceClient<typeof AdminServiceDefinition>;
  /** Whether it is still connected, as far as is known. */
  readonly ready: boolean;
  close(): void;
}

interface Target {
  readonly address: string;
  readonly uri: string;
  readonly secure: boolean;
}

/** Dials brokers, with the credentials they ask for. */
export class Dialer {
  readonly addresses: readonly string[];
  readonly #targets: readonly Target[];
  readonly #tls: TlsOptions;
  readonly #token: ConnectionOptions["token"];
  readonly #timeoutMs: number;
  #next: number;

  constructor(options: ConnectionOptions) {
    const addresses = typeof options.address === "string" ? [options.address] : (options.address ?? [ADDRESS_DEFAULT]);
    if (addresses.length === 0) throw invalid("address", "[]", "must name at least one broker");
    const secure = options.tls !== undefined && options.tls !== false;
    this.#targets = addresses.map((address) => parseAddress(address, secure));
    this.addresses = addresses;
    this.#tls = typeof options.tls === "object" ? options.tls : {};
    this.#token = options.token;
    this.#timeoutMs = integer("connectTimeoutMs", options.connectTimeoutMs, CONNECT_TIMEOUT_MS_DEFAULT, 1, 600_000);
    // A fleet that starts together spreads over the brokers.
    this.#next = randomBelow(this.#targets.length);
  }

  /**
   * Dials the next broker in turn; resolves with a connected link. A link that
   * carries heartbeats needs no keepalive: they come more often, and find more.
   *
   * @throws TaskqueueError UNREACHABLE, naming the address and the reason
   */
  async dial({ keepalive }: { readonly keepalive: boolean }): Promise<Link> {
    const target = this.#targets[this.#next % this.#targets.length];
    if (target === undefined) throw new Error("no addresses");
    this.#next += 1;
    const channel = new Channel(target.uri, this.#credentials(target), {
      ...CHANNEL_OPTIONS,
      ...(keepalive ? KEEPALIVE_OPTIONS : {}),
      ...(this.#tls.serverName === undefined ? {} : { "grpc.ssl_target_name_override": this.#tls.serverName }),
    });
    const link = new ChannelLink(target.address, channel);
    try {
      await connected(link, channel, this.#timeoutMs);
    } catch (error) {
      link.close();
      throw error;
    }
    return link;
  }

  /** The `authorization` header that goes with every call; undefined without a token. */
  async authorization(): Promise<string | undefined> {
    const token = typeof this.#token === "function" ? await this.#token() : this.#token;
    return token === undefined ? undefined : `Bearer ${token}`;
  }

  /** The same, as grpc-js takes it. */
  async metadata(): Promise<Metadata> {
    const metadata = new Metadata();
    const authorization = await this.authorization();
    if (authorization !== undefined) metadata.set("authorization", authorization);
    return metadata;
  }

  /** What another thread needs to know to dial this broker. */
  describe(address: string): { address: string; uri: string; tls: TlsOptions | undefined } {
    const target = this.#targets.find((candidate) => candidate.address === address);
    if (target === undefined) throw invalid("address", address, "is not one of this worker's");
    return { address, uri: target.uri, tls: target.secure ? this.#tls : undefined };
  }

  #credentials(target: Target) {
    if (!target.secure) return credentials.createInsecure();
    const pem = (text: string | Buffer | undefined) => (text === undefined ? null : Buffer.from(text));
    return credentials.createSsl(pem(this.#tls.ca), pem(this.#tls.key), pem(this.#tls.cert));
  }
}

class ChannelLink implements Link {
  readonly address: string;
  readonly streams: GrpcClient;
  readonly #channel: Channel;
  #broker: Link["broker"] | undefined;
  #admin: Link["admin"] | undefined;

  constructor(address: string, channel: Channel) {
    this.address = address;
    this.#channel = channel;
    this.streams = new GrpcClient(address, credentials.createInsecure(), { channelOverride: channel });
  }

  get broker(): Link["broker"] {
    this.#broker ??= createClient(BrokerServiceDefinition, this.#channel);
    return this.#broker;
  }

  get admin(): Link["admin"] {
    this.#admin ??= createClient(AdminServiceDefinition, this.#channel);
    return this.#admin;
  }

  get ready(): boolean {
    return this.#channel.getConnectivityState(false) === connectivityState.READY;
  }

  close(): void {
    this.#channel.close();
  }
}

function parseAddress(address: unknown, secure: boolean): Target {
  if (typeof address !== "string" || address === "") {
    throw invalid("address", address, "must be host:port, such as localhost:50051");
  }
  const [, scheme, rest = ""] = /^(?:([a-z0-9+.-]+):\/\/)?(.*)$/.exec(address) ?? [];
  switch (scheme) {
    case undefined:
      // ipv4:a:1,b:2 and the like go to grpc-js as they are.
      if (/^(ipv4|ipv6|dns|unix|xds):/.test(address)) return { address, uri: address, secure };
      return { address, uri: withPort(address), secure };
    case "http":
      return { address, uri: withPort(rest), secure: false };
    case "https":
      return { address, uri: withPort(rest), secure: true };
    case "unix":
    case "dns":
      return { address, uri: address, secure };
    default:
      throw invalid("address", address, "must be host:port, http://, https://, unix:// or dns://");
  }
}

function withPort(authority: string): string {
  const bare = authority.replace(/\/$/, "");
  const ok = /^(\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+)(?::(\d{1,5}))?$/.exec(bare);
  if (!ok) throw invalid("address", authority, "must be host:port, such as localhost:50051");
  return ok[2] === undefined ? `${bare}:${PORT_DEFAULT}` : bare;
}

/** Resolves when the channel is connected; rejects when its first attempt failed or took too long. */
async function connected(link: Link, channel: Channel, timeoutMs: number): Promise<void> {
  const deadline = new Date(wallMs() + timeoutMs);
  for (;;) {
    const state = channel.getConnectivityState(true);
    if (state === connectivityState.READY) return;
    if (state === connectivityState.TRANSIENT_FAILURE) throw await whyNot(link);
    if (state === connectivityState.SHUTDOWN) throw new TaskqueueError("CLOSED", "the connection was closed");
    const expired = await new Promise<boolean>((resolve) => {
      channel.watchConnectivityState(state, deadline, (error) => resolve(error !== undefined));
    });
    if (expired) throw unreachable(link.address, `no connection within ${timeoutMs} ms`);
  }
}

/** The reason a channel has failed, which grpc-js tells only to a call: one that fails before it is sent. */
function whyNot(link: Link): Promise<TaskqueueError> {
  return new Promise((resolve) => {
    const nothing = () => Buffer.alloc(0);
    link.streams.makeUnaryRequest("/grpc.health.v1.Health/Check", nothing, nothing, undefined, (error) => {
      const details = error?.code === grpcStatus.UNAVAILABLE ? error.details : "the connection failed";
      // What grpc-js puts around the reason says nothing to people.
      const why = details
        .replace(/^No connection established\. Last error: (Error: )?/, "")
        .replace(/\.? ?Resolution note:\s*$/, "");
      resolve(unreachable(link.address, why));
    });
  });
}

/**
 * The client's way to the brokers: one link at a time, shared by all calls, and
 * replaced when somebody reports it lost.
 */
export class Transport {
  readonly dialer: Dialer;
  #link: Link | undefined;
  #dialing: Promise<Link> | undefined;
  #closed = false;

  constructor(dialer: Dialer) {
    this.dialer = dialer;
  }

  /**
   * A connected link: the one in use, or the first broker that answers, each
   * being tried once.
   *
   * @throws TaskqueueError UNREACHABLE, or CLOSED
   */
  connect(): Promise<Link> {
    if (this.#link?.ready) return Promise.resolve(this.#link);
    this.#dialing ??= this.#dial().finally(() => {
      this.#dialing = undefined;
    });
    return this.#dialing;
  }

  async #dial(): Promise<Link> {
    this.#drop();
    const failures: TaskqueueError[] = [];
    for (const _ of this.dialer.addresses) {
      if (this.#closed) break;
      try {
        const link = await this.dialer.dial({ keepalive: true });
        if (this.#closed) {
          link.close();
          break;
        }
        this.#link = link;
        return link;
      } catch (error) {
        if (!(error instanceof TaskqueueError)) throw error;
        failures.push(error);
      }
    }
    if (this.#closed) throw new TaskqueueError("CLOSED", "the client is closed");
    const [first] = failures;
    if (failures.length === 1 && first) throw first;
    throw new TaskqueueError(
      "UNREACHABLE",
      `no broker answers at any of ${this.dialer.addresses.join(", ")}; the last attempt: ${failures.at(-1)?.message}`,
      { retryable: true, status: grpcStatus.UNAVAILABLE, cause: failures.at(-1) },
    );
  }

  /** The link failed, or its broker is about to stop: the next `connect` dials the next address. */
  lost(link: Link): void {
    if (this.#link === link) this.#drop();
  }

  #drop(): void {
    this.#link?.close();
    this.#link = undefined;
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }
}
