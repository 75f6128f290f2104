/** `taskqueue list`: a topic's tasks in one state, or with one external id. */
import type { TaskInfo, TaskState } from "@taskqueue/sdk";
import type { Command } from "commander";
import { LIMITS } from "../domain/limits.js";
import { TASK_STATES } from "../domain/states.js";
import { type BrokerOptions, state, topic, wholeNumber, withBroker } from "./argument.js";
import { withClient } from "./client.js";
import type { BrokerClient, Context } from "./context.js";
import { UsageError } from "./exit-code.js";
import { type Column, printRows } from "./output.js";
import { type Act, examples } from "./program-form.js";
import { TASK_COLUMNS, taskJson } from "./task-view.js";

export interface ListOptions extends BrokerOptions {
  readonly state?: TaskState;
  readonly externalId?: string;
  readonly limit: number;
}

/** Adds `--limit`. */
export function withLimit(command: Command): Command {
  return command.option("--limit <n>", "show so many at most; 0 for all", wholeNumber(0), 100);
}

export function addList(program: Command, context: Context, act: Act): void {
  const command = program
    .command("list")
    .summary("list tasks by state or external id")
    .description(
      "Lists the tasks of a topic: ready ones in the order they will run, scheduled ones by due time, leased ones " +
        "by session, ended ones oldest first.",
    )
    .argument("<topic>", "their topic", topic)
    .option("--state <state>", `${TASK_STATES.join(", ")}; may be left out with --external-id`, state)
    .option("--external-id <id>", "only tasks with this external id");
  examples(withBroker(withLimit(command), context.environment), [
    "taskqueue list clicks --state ready",
    "taskqueue list orders --external-id order-4711 --json",
    "taskqueue list clicks --state scheduled --limit 0 --json | wc -l",
  ]).action(
    act(async (topicName: string, options: ListOptions) => {
      if (options.state === undefined && options.externalId === undefined) {
        throw new UsageError(`--state or --external-id must say which tasks; states are ${TASK_STATES.join(", ")}`);
      }
      await withClient(context, options, (client) => printTasks(context, client, topicName, options, TASK_COLUMNS));
    }),
  );
}

/** Prints the tasks, and on standard error whether there are more. */
export async function printTasks(
  context: Context,
  client: BrokerClient,
  topicName: string,
  options: ListOptions,
  columns: readonly Column<TaskInfo>[],
): Promise<void> {
  const tasks = client.admin.listTasks({
    topic: topicName,
    ...(options.state === undefined ? {} : { state: options.state }),
    ...(options.externalId === undefined ? {} : { externalId: options.externalId }),
    pageSize: options.limit === 0 ? LIMITS.pageSizeMax : Math.min(options.limit + 1, LIMITS.pageSizeMax),
  });
  await printLimited(context, tasks, { ...options, columns, toJson: taskJson });
}

/** Prints up to `limit` rows, and on standard error whether there are more. */
export async function printLimited<Row>(
  context: Context,
  rows: AsyncIterable<Row>,
  form: {
    readonly limit: number;
    readonly json?: boolean | undefined;
    readonly columns: readonly Column<Row>[];
    readonly toJson: (row: Row) => unknown;
  },
): Promise<void> {
  let more = false;
  async function* limited() {
    let count = 0;
    for await (const row of rows) {
      if (form.limit > 0 && count === form.limit) {
        more = true;
        return;
      }
      count += 1;
      yield row;
    }
  }
  await printRows(context, limited(), form);
  if (more) await context.stderr.write(`there are more; --limit 0 shows all\n`);
}
