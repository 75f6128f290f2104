/** `taskqueue purge`: removes all tasks of a topic in one state. */
import type { TaskState } from "@taskqueue/sdk";
import { type Command, InvalidArgumentError } from "commander";
import { DELETABLE_STATES } from "../domain/states.js";
import { type BrokerOptions, state, topic, wholeNumber, withBroker } from "./argument.js";
import { withClient } from "./client.js";
import type { Context } from "./context.js";
import { jsonLine } from "./output.js";
import { type Act, examples } from "./program-form.js";
import { plural } from "./task-view.js";

type PurgeState = Exclude<TaskState, "leased">;

interface Options extends BrokerOptions {
  readonly state: PurgeState;
  readonly limit?: number;
}

export function addPurge(program: Command, context: Context, act: Act): void {
  const command = program
    .command("purge")
    .summary("remove all tasks of a topic in one state")
    .description("Removes the tasks of a topic in one state for good. Says how many, and whether some are left.")
    .argument("<topic>", "their topic", topic)
    .requiredOption("--state <state>", DELETABLE_STATES.join(", "), purgeable)
    .option("--limit <n>", "remove so many at most; all by default", wholeNumber(1));
  examples(withBroker(command, context.environment), [
    "taskqueue purge clicks --state dead",
    "taskqueue purge clicks --state ready --limit 1000",
  ]).action(
    act(async (topicName: string, options: Options) => {
      const { deleted, more } = await withClient(context, options, (client) =>
        client.admin.purge(topicName, options.state, options.limit === undefined ? {} : { limit: options.limit }),
      );
      const text = `deleted ${plural(deleted, "task")}${more ? "; there are more" : ""}\n`;
      await context.stdout.write(options.json ? jsonLine({ deleted, more }) : text);
    }),
  );
}

function purgeable(text: string): PurgeState {
  const found = state(text);
  if (found === "leased") throw new InvalidArgumentError("Workers hold leased tasks: cancel them instead.");
  return found;
}
