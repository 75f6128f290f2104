/** `taskqueue workers`: who is attached, to which broker, for what. */
import type { WorkerInfo } from "@taskqueue/sdk";
import type { Command } from "commander";
import { LIMITS } from "../domain/limits.js";
import { type BrokerOptions, withBroker } from "./argument.js";
import { withClient } from "./client.js";
import type { Context } from "./context.js";
import { printLimited, withLimit } from "./list.js";
import { age, type Column, moment, pick, short } from "./output.js";
import { type Act, examples } from "./program-form.js";

interface Options extends BrokerOptions {
  readonly limit: number;
}

const COLUMNS: readonly Column<WorkerInfo>[] = [
  { title: "WORKER", cell: ({ worker }) => worker },
  { title: "SESSION", cell: ({ sessionId }) => sessionId },
  { title: "BROKER", cell: ({ broker }) => broker },
  { title: "ADDRESS", cell: ({ address }) => address },
  { title: "SLOTS", align: "right", cell: ({ slots }) => slots },
  { title: "STATE", cell: ({ attached }) => (attached ? "attached" : "lost") },
  { title: "SINCE", cell: ({ startedAt }) => moment(startedAt) },
  { title: "EXPIRES IN", align: "right", cell: ({ expiresInMs }) => age(expiresInMs) },
  { title: "SDK", cell: ({ sdk }) => sdk },
  { title: "TOPICS", cell: ({ topics }) => short(topics.map(topicText).join(" ")) },
];

export function addWorkers(program: Command, context: Context, act: Act): void {
  const command = program
    .command("workers")
    .summary("list workers")
    .description("Lists the workers attached to any broker, and those whose connection was lost within the grace.");
  examples(withBroker(withLimit(command), context.environment), [
    "taskqueue workers",
    "taskqueue workers --json",
  ]).action(
    act((options: Options) =>
      withClient(context, options, (client) =>
        printLimited(context, client.admin.listWorkers({ pageSize: LIMITS.pageSizeMax }), {
          ...options,
          columns: COLUMNS,
          toJson: (worker) =>
            pick(worker, [
              "sessionId",
              "worker",
              "broker",
              "address",
              "sdk",
              "slots",
              "attached",
              "startedAt",
              "expiresInMs",
              "topics",
            ]),
        }),
      ),
    ),
  );
}

/** `clicks`, or with its limits: `clicks(5)x3`. */
function topicText({ topic, concurrency, weight }: WorkerInfo["topics"][number]): string {
  return topic + (concurrency > 0 ? `(${concurrency})` : "") + (weight > 1 ? `x${weight}` : "");
}
