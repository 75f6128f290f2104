/** How tasks look: as a row, in full, and as JSON. */
import type { TaskInfo, TaskResult } from "@taskqueue/sdk";
import { formatDuration } from "../lib/quantity.js";
import type { BrokerOptions } from "./argument.js";
import type { Context } from "./context.js";
import type { ExitCode } from "./exit-code.js";
import { type Column, fields, jsonLine, moment, pick, safe, short, table } from "./output.js";

const TASK_KEYS = [
  "topic",
  "id",
  "state",
  "attempt",
  "failures",
  "lostLeases",
  "args",
  "payload",
  "contentType",
  "externalId",
  "priority",
  "numRetries",
  "timeoutMs",
  "retentionMs",
  "backoff",
  "metadata",
  "enqueuedAt",
  "dueAt",
  "startedAt",
  "finishedAt",
  "sessionId",
  "lastError",
  "deadReason",
  "progress",
  "result",
  "cancelRequested",
] as const satisfies readonly (keyof TaskInfo)[];

/** Every field, in this order; what is unset is null. */
export function taskJson(task: TaskInfo): object {
  return pick(task, TASK_KEYS);
}

export const TASK_COLUMNS: readonly Column<TaskInfo>[] = [
  { title: "ID", cell: ({ id }) => id },
  { title: "STATE", cell: ({ state }) => state },
  { title: "PRIORITY", align: "right", cell: ({ priority }) => priority },
  { title: "ATTEMPT", align: "right", cell: ({ attempt }) => attempt },
  { title: "ENQUEUED", cell: ({ enqueuedAt }) => moment(enqueuedAt) },
  { title: "DUE / STARTED / ENDED", cell: (task) => moment(task.dueAt ?? task.startedAt ?? task.finishedAt) },
  { title: "EXTERNAL ID", cell: ({ externalId }) => short(externalId, 32) },
  { title: "INPUT", cell: (task) => short(input(task), 40) },
  { title: "ERROR", cell: ({ lastError }) => short(firstLine(lastError)) },
];

export const DEAD_COLUMNS: readonly Column<TaskInfo>[] = [
  { title: "ID", cell: ({ id }) => id },
  { title: "DIED", cell: ({ finishedAt }) => moment(finishedAt) },
  { title: "REASON", cell: ({ deadReason }) => deadReason ?? "" },
  { title: "ATTEMPTS", align: "right", cell: ({ attempt }) => attempt },
  { title: "EXTERNAL ID", cell: ({ externalId }) => short(externalId, 32) },
  { title: "INPUT", cell: (task) => short(input(task), 40) },
  { title: "ERROR", cell: ({ lastError }) => short(firstLine(lastError)) },
];

/** All that is known of one task. */
export function taskText(task: TaskInfo): string {
  const ms = (value: number | undefined) => (value === undefined ? undefined : formatDuration(value));
  const { progress } = task;
  return fields([
    ["topic", task.topic],
    ["id", task.id],
    ["state", task.cancelRequested ? `${task.state}, cancel requested` : task.state],
    ["external id", task.externalId],
    ["input", input(task)],
    ["content type", task.contentType],
    [
      "metadata",
      Object.entries(task.metadata)
        .map(([key, value]) => `${key}=${value}`)
        .join(", "),
    ],
    ["priority", task.priority],
    ["retries", task.numRetries],
    ["timeout", ms(task.timeoutMs)],
    ["retention", task.retentionMs === 0 ? undefined : ms(task.retentionMs)],
    ["backoff", task.backoff === undefined ? undefined : JSON.stringify(task.backoff)],
    ["attempt", task.attempt],
    ["failures", task.failures],
    ["lost leases", task.lostLeases],
    ["enqueued", moment(task.enqueuedAt)],
    ["due", moment(task.dueAt)],
    ["started", moment(task.startedAt)],
    ["ended", moment(task.finishedAt)],
    ["held by session", task.sessionId],
    [
      "progress",
      progress === undefined ? undefined : `${Math.round(progress.fraction * 100)} % ${progress.message}`.trim(),
    ],
    ["dead because", task.deadReason],
    ["last error", task.lastError],
    ["result", task.result === undefined ? undefined : JSON.stringify(task.result)],
  ]);
}

/** Shows what became of each task. The exit code is 1 when one was refused, else 4 when one was not found. */
export async function showResults(
  context: Context,
  { json }: Pick<BrokerOptions, "json">,
  results: readonly TaskResult[],
): Promise<ExitCode> {
  const text = json
    ? results.map((result) => jsonLine(pick(result, ["id", "outcome", "state"]))).join("")
    : table(
        [
          { title: "ID", cell: ({ id }) => id },
          {
            title: "OUTCOME",
            cell: ({ outcome, state }) => outcome.replaceAll("_", " ") + (state ? `: ${state}` : ""),
          },
        ],
        results,
      );
  await context.stdout.write(text);
  if (results.some(({ outcome }) => outcome === "wrong_state")) return 1;
  return results.some(({ outcome }) => outcome === "not_found") ? 4 : 0;
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function input({ args, payload, contentType }: TaskInfo): string {
  if (payload !== undefined)
    return `${plural(payload.length, "byte")}${contentType === "" ? "" : ` of ${contentType}`}`;
  return args === undefined ? "" : JSON.stringify(args);
}

function firstLine(text: string | undefined): string {
  return safe(text?.split("\n", 1)[0] ?? "");
}
