/**
 * A client as anybody would generate it: nice-grpc over the definitions that
 * ts-proto made, none of the SDK. Calls Enqueue with one task, or the health
 * service's Check, which is the nearest thing to an empty method.
 */

import { HealthDefinition } from "@taskqueue/sdk/gen/grpc/health/v1/health.js";
import { BrokerServiceDefinition } from "@taskqueue/sdk/gen/taskqueue/v1/broker.js";
import { createChannel, createClient } from "nice-grpc";
import { nowUs } from "../clock.js";
import { Sample } from "../statistics.js";
import { paddingFor, topicName } from "./body.js";
import { roleConfig, serve } from "./control.js";

export interface UnaryConfig {
  target: string;
  payloadBytes: number;
}

export interface UnaryCommands {
  /** Keeps `concurrency` calls under way for `seconds`. */
  call: { method: "enqueue" | "check"; concurrency: number; seconds: number };
}

const { target, payloadBytes } = roleConfig<UnaryConfig>();
const channel = createChannel(target);
const broker = createClient(BrokerServiceDefinition, channel);
const health = createClient(HealthDefinition, channel);
const padding = paddingFor(payloadBytes, nowUs());
let sent = 0;

const methods = {
  check: () => health.check({}),
  enqueue: () => {
    const atUs = nowUs();
    sent += 1;
    return broker.enqueue({ tasks: [{ topic: topicName(0), args: [sent - 1, atUs, atUs, padding] }] });
  },
};

async function call({ method, concurrency, seconds }: UnaryCommands["call"]) {
  const latencies = new Sample();
  const fromUs = nowUs();
  const endUs = fromUs + seconds * 1e6;
  const caller = async () => {
    for (let atUs = nowUs(); atUs < endUs; ) {
      await methods[method]();
      const answeredUs = nowUs();
      latencies.add(answeredUs - atUs);
      atUs = answeredUs;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  return { calls: latencies.count, sent, seconds: (nowUs() - fromUs) / 1e6, latencies: latencies.distribution() };
}

serve<UnaryCommands>({ call }, () => channel.close());
