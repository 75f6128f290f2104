/** `taskqueue get`: one task in full. */
import type { Command } from "commander";
import { type BrokerOptions, taskId, topic, withBroker } from "./argument.js";
import { withClient } from "./client.js";
import type { Context } from "./context.js";
import type { ExitCode } from "./exit-code.js";
import { jsonLine } from "./output.js";
import { type Act, examples } from "./program-form.js";
import { taskJson, taskText } from "./task-view.js";

export function addGet(program: Command, context: Context, act: Act): void {
  const command = program
    .command("get")
    .summary("show one task")
    .description("Shows everything known about a task. Exits with 4 when there is none.")
    .argument("<topic>", "its topic", topic)
    .argument("<id>", "its id", taskId);
  examples(withBroker(command, context.environment), [
    "taskqueue get clicks 01J9ZK5Y",
    "taskqueue get clicks 01J9ZK5Y --json | jq .lastError",
  ]).action(act((topicName: string, id: string, options: BrokerOptions) => get(context, topicName, id, options)));
}

async function get(context: Context, topicName: string, id: string, options: BrokerOptions): Promise<ExitCode> {
  const task = await withClient(context, options, (client) => client.admin.getTask(topicName, id));
  if (task === undefined) {
    await context.stderr.write(`there is no task ${id} in topic ${topicName}, or its retention is over\n`);
    return 4;
  }
  await context.stdout.write(options.json ? jsonLine(taskJson(task)) : taskText(task));
  return 0;
}
