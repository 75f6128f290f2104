/**
 * Single calls: over whichever broker answers, with a deadline, and repeated
 * while that is safe and worthwhile.
 */
import { ClientError, Metadata } from "nice-grpc";
import { after, cancelTimer, monotonicMs, sleep } from "./clock.js";
import { errorFromStatus, errorFromUnknown, type TaskqueueError, unreachable } from "./errors.js";
import { jitteredBackoffMs } from "./random.js";
import type { Link, Transport } from "./transport.js";

/** No single call has reason to take longer: each is bounded work on the broker. */
const CALL_MS_MAX = 15_000;
const BACKOFF_BASE_MS = 50;
const BACKOFF_CAP_MS = 5_000;

/** What nice-grpc takes with a call. */
export interface CallOptions {
  readonly metadata: Metadata;
  readonly signal: AbortSignal;
  readonly onTrailer: (trailer: Metadata) => void;
}

export interface Rpc {
  /** Makes a call that is safe to repeat: repeats it while the brokers are away, for `retryForMs`. */
  repeat<Response>(call: (link: Link, options: CallOptions) => Promise<Response>): Promise<Response>;
  /** Makes a call once. Waits for a broker, for `retryForMs`, before it is sent, and not after. */
  once<Response>(call: (link: Link, options: CallOptions) => Promise<Response>): Promise<Response>;
}

export function createRpc(transport: Transport, retryForMs: number): Rpc {
  async function run<Response>(
    call: (link: Link, options: CallOptions) => Promise<Response>,
    repeatable: boolean,
  ): Promise<Response> {
    const sinceMs = monotonicMs();
    for (let failures = 0; ; failures += 1) {
      let link: Link | undefined;
      try {
        link = await transport.connect();
        return await callOnce(transport, link, call);
      } catch (thrown) {
        const error = errorFromUnknown(thrown);
        const goesElsewhere = error.code === "UNREACHABLE" || error.code === "DRAINING";
        if (link !== undefined && goesElsewhere) transport.lost(link);
        const delayMs = Math.max(error.retryDelayMs ?? 0, jitteredBackoffMs(failures, BACKOFF_BASE_MS, BACKOFF_CAP_MS));
        const mayRepeat = error.retryable && (repeatable || link === undefined);
        if (!mayRepeat || monotonicMs() + delayMs - sinceMs >= retryForMs) throw error;
        await sleep(delayMs);
      }
    }
  }
  return {
    repeat: (call) => run(call, true),
    once: (call) => run(call, false),
  };
}

async function callOnce<Response>(
  transport: Transport,
  link: Link,
  call: (link: Link, options: CallOptions) => Promise<Response>,
): Promise<Response> {
  const controller = new AbortController();
  const timer = after(CALL_MS_MAX, () => controller.abort());
  let trailer: Metadata | undefined;
  try {
    return await call(link, {
      metadata: await callMetadata(transport),
      signal: controller.signal,
      onTrailer: (received) => {
        trailer = received;
      },
    });
  } catch (error) {
    if (controller.signal.aborted) throw unreachable(link.address, `no answer within ${CALL_MS_MAX} ms`, error);
    throw errorFromCall(error, trailer, link.address);
  } finally {
    cancelTimer(timer);
  }
}

export async function callMetadata(transport: Transport): Promise<Metadata> {
  const authorization = await transport.dialer.authorization();
  return authorization === undefined ? Metadata() : Metadata({ authorization });
}

/** What a call of nice-grpc threw, its trailer bringing the details. */
export function errorFromCall(error: unknown, trailer: Metadata | undefined, address: string): TaskqueueError {
  if (!(error instanceof ClientError)) return errorFromUnknown(error);
  return errorFromStatus({ code: error.code, details: error.details, metadata: trailer }, address);
}
