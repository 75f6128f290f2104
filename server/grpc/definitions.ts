/**
 * How the services' messages are read and written: as generated, except for
 * the hot ones. Enqueue requests stay encoded (see task-scan.ts), and so do the
 * tasks in what workers are sent (see lease-codec.ts); an event is encoded once
 * for all its watchers (see watch-codec.ts).
 *
 * A request that cannot be decoded becomes a Malformed, which the middleware
 * here refuses with INVALID_ARGUMENT; left to grpc-js it would be an INTERNAL.
 */
import { AdminServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/admin.js";
import { BrokerServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { LeaseRequest, WorkerServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/worker.js";
import type { CallContext, ServerMiddlewareCall } from "nice-grpc-common";
import { invalid, type TaskqueueError } from "../domain/errors.js";
import { encodeLeaseMessage } from "./lease-codec.js";
import { failing, type Responses } from "./responses.js";
import { encodeWatchMessage } from "./watch-codec.js";

/** A request that is not of its type. */
class Malformed {
  readonly bytes: number;

  constructor(bytes: number) {
    this.bytes = bytes;
  }
}

interface RequestType {
  decode(bytes: Uint8Array): unknown;
}

interface Definition {
  readonly methods: Readonly<Record<string, { readonly requestType: RequestType }>>;
}

/** The same definition, whose requests decode to a Malformed instead of throwing. */
export function guarded<Guarded extends Definition>(definition: Guarded): Guarded {
  const methods = Object.entries(definition.methods).map(([key, method]) => {
    const decode = (bytes: Uint8Array): unknown => {
      try {
        return method.requestType.decode(bytes);
      } catch {
        return new Malformed(bytes.length);
      }
    };
    return [key, { ...method, requestType: { ...method.requestType, decode } }];
  });
  return { ...definition, methods: Object.fromEntries(methods) };
}

/** Refuses what `guarded` could not decode. */
export function refuseMalformed<Request, Response>(
  call: ServerMiddlewareCall<Request, Response>,
  context: CallContext,
): Responses<Response> {
  if (call.requestStream) return call.next(new Checked(call.request), context);
  const refusal = refusalOf(call.request);
  return refusal ? failing(refusal) : call.next(call.request, context);
}

function refusalOf(request: unknown): TaskqueueError | undefined {
  if (!(request instanceof Malformed)) return undefined;
  return invalid("request", `${request.bytes} bytes`, "must be a well-formed message");
}

/** A stream of requests up to the first that is malformed, with which it fails. No generator: see responses.ts. */
class Checked<Request> implements AsyncIterableIterator<Request> {
  readonly #requests: AsyncIterator<Request>;

  constructor(requests: AsyncIterable<Request>) {
    this.#requests = requests[Symbol.asyncIterator]();
  }

  next(): Promise<IteratorResult<Request>> {
    return this.#requests.next().then(checked);
  }

  async return(): Promise<IteratorResult<Request>> {
    await this.#requests.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

function checked<Request>(result: IteratorResult<Request>): IteratorResult<Request> {
  const refusal = refusalOf(result.value);
  if (refusal) throw refusal;
  return result;
}

function onlySent<Message>(encode: (message: Message) => Uint8Array) {
  return {
    encode: (message: Message) => ({ finish: () => encode(message) }),
    decode: (): Message => {
      throw new Error("a broker does not read its own responses");
    },
  };
}

const STILL_ENCODED = {
  encode: (bytes: Uint8Array) => ({ finish: () => bytes }),
  decode: (bytes: Uint8Array) => bytes,
};

const { enqueue, enqueueStream, watch, ...restOfBroker } = BrokerServiceDefinition.methods;

export const BrokerDefinition = guarded({
  ...BrokerServiceDefinition,
  methods: {
    ...restOfBroker,
    enqueue: { ...enqueue, requestType: STILL_ENCODED },
    enqueueStream: { ...enqueueStream, requestType: STILL_ENCODED },
    watch: { ...watch, responseType: onlySent(encodeWatchMessage) },
  },
});

const { lease, ...restOfWorker } = WorkerServiceDefinition.methods;

export const WorkerDefinition = guarded({
  ...WorkerServiceDefinition,
  methods: {
    ...restOfWorker,
    lease: {
      ...lease,
      requestType: { ...lease.requestType, decode: (bytes: Uint8Array) => LeaseRequest.decode(bytes) },
      responseType: onlySent(encodeLeaseMessage),
    },
  },
});

export const AdminDefinition = guarded(AdminServiceDefinition);
