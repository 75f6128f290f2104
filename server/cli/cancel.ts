/** `taskqueue cancel` and `taskqueue delete`: stop tasks, or remove them for good. */
import type { Command } from "commander";
import { type BrokerOptions, taskId, topic, withBroker } from "./argument.js";
import { withClient } from "./client.js";
import type { Context } from "./context.js";
import { type Act, examples } from "./program-form.js";
import { showResults } from "./task-view.js";

const ids = (text: string, before: string[] = []) => [...before, taskId(text)];

export function addCancel(program: Command, context: Context, act: Act): void {
  const command = program
    .command("cancel")
    .summary("cancel tasks")
    .description("Cancels tasks: those that wait will not run, and workers that run one are asked to stop.")
    .argument("<topic>", "their topic", topic)
    .argument("<ids...>", "their ids", ids);
  examples(withBroker(command, context.environment), ["taskqueue cancel clicks 01J9ZK5Y 01J9ZK60"]).action(
    act((topicName: string, taskIds: string[], options: BrokerOptions) =>
      withClient(context, options, async (client) =>
        showResults(context, options, await client.admin.cancel(topicName, taskIds)),
      ),
    ),
  );
}

export function addDelete(program: Command, context: Context, act: Act): void {
  const command = program
    .command("delete")
    .summary("remove tasks for good")
    .description("Removes tasks for good, in any state but leased. To stop a leased task, cancel it.")
    .argument("<topic>", "their topic", topic)
    .argument("<ids...>", "their ids", ids);
  examples(withBroker(command, context.environment), ["taskqueue delete clicks 01J9ZK5Y"]).action(
    act((topicName: string, taskIds: string[], options: BrokerOptions) =>
      withClient(context, options, async (client) =>
        showResults(context, options, await client.admin.delete(topicName, taskIds)),
      ),
    ),
  );
}
