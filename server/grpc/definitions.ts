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
import { invalid } from "../domain/errors.js";
import { encodeLeaseMessage } from "./lease-codec.js";
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
export async function* refuseMalformed<Request, Response>(
  call: ServerMiddlewareCall<Request, Response>,
  context: CallContext,
  // biome-ignore lint/suspicious/noConfusingVoidType: it is what nice-grpc expects of a middleware.
): AsyncGenerator<Response, Response | void, undefined> {
  if (call.requestStream) return yield* call.next(checkEach(call.request), context);
  check(call.request);
  return yield* call.next(call.request, context);
}

function check(request: unknown): void {
  if (request instanceof Malformed) throw invalid("request", `${request.bytes} bytes`, "must be a well-formed message");
}

async function* checkEach<Request>(requests: AsyncIterable<Request>): AsyncGenerator<Request> {
  for await (const request of requests) {
    check(request);
    yield request;
  }
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
