/** `taskqueue dead`: the dead queue of a topic; look, put back, delete. */
import type { TaskResult } from "@taskqueue/sdk";
import type { Command } from "commander";
import { type BrokerOptions, taskId, topic, withBroker } from "./argument.js";
import { withClient } from "./client.js";
import type { BrokerClient, Context } from "./context.js";
import { type ExitCode, UsageError } from "./exit-code.js";
import { type ListOptions, printTasks, withLimit } from "./list.js";
import { jsonLine } from "./output.js";
import { type Act, examples } from "./program-form.js";
import { DEAD_COLUMNS, plural, showResults, taskJson, taskText } from "./task-view.js";

/** Tasks looked at at once before they are deleted. */
const LOOKS_MAX = 50;

interface ManyOptions extends BrokerOptions {
  readonly all?: boolean;
}

export function addDead(program: Command, context: Context, act: Act): void {
  const dead = program
    .command("dead")
    .summary("look at the dead queue and repair")
    .description(
      "The dead queue of a topic: tasks given up on. They wait for a person to put them back or delete them.",
    );

  const list = dead
    .command("list")
    .description("lists the dead tasks of a topic, oldest first")
    .argument("<topic>", "its topic", topic);
  examples(withBroker(withLimit(list), context.environment), ["taskqueue dead list clicks"]).action(
    act((topicName: string, options: ListOptions) =>
      withClient(context, options, (client) =>
        printTasks(context, client, topicName, { ...options, state: "dead" }, DEAD_COLUMNS),
      ),
    ),
  );

  const show = dead
    .command("show")
    .description("shows one dead task")
    .argument("<topic>", "its topic", topic)
    .argument("<id>", "its id", taskId);
  examples(withBroker(show, context.environment), ["taskqueue dead show clicks 01J9ZK5Y"]).action(
    act((topicName: string, id: string, options: BrokerOptions) => showDead(context, topicName, id, options)),
  );

  const requeue = dead
    .command("requeue")
    .description("puts dead or cancelled tasks back into the input queue, at their old place, with all their retries");
  examples(many(requeue, context), [
    "taskqueue dead requeue clicks 01J9ZK5Y 01J9ZK60",
    "taskqueue dead requeue clicks --all",
  ]).action(
    act((topicName: string, ids: string[], options: ManyOptions) => requeueDead(context, topicName, ids, options)),
  );

  const remove = dead.command("delete").description("removes dead tasks for good");
  examples(many(remove, context), [
    "taskqueue dead delete clicks 01J9ZK5Y",
    "taskqueue dead delete clicks --all",
  ]).action(
    act((topicName: string, ids: string[], options: ManyOptions) => deleteDead(context, topicName, ids, options)),
  );
}

function many(command: Command, context: Context): Command {
  return withBroker(
    command
      .argument("<topic>", "their topic", topic)
      .argument("[ids...]", "their ids")
      .option("--all", "all dead tasks of the topic"),
    context.environment,
  );
}

async function showDead(context: Context, topicName: string, id: string, options: BrokerOptions): Promise<ExitCode> {
  const task = await withClient(context, options, (client) => client.admin.getTask(topicName, id));
  if (task?.state !== "dead") {
    const found = task === undefined ? "there is no such task" : `it is ${task.state}`;
    await context.stderr.write(`task ${id} of topic ${topicName} is not dead: ${found}\n`);
    return task === undefined ? 4 : 1;
  }
  await context.stdout.write(options.json ? jsonLine(taskJson(task)) : taskText(task));
  return 0;
}

async function requeueDead(
  context: Context,
  topicName: string,
  ids: readonly string[],
  options: ManyOptions,
): Promise<ExitCode> {
  refuseUnclear(ids, options);
  return await withClient(context, options, async (client) => {
    if (!options.all) return await showResults(context, options, await client.admin.requeue(topicName, ids));
    const requeued = await client.admin.requeueAllDead(topicName);
    await context.stdout.write(options.json ? jsonLine({ requeued }) : `requeued ${plural(requeued, "task")}\n`);
    return 0;
  });
}

async function deleteDead(
  context: Context,
  topicName: string,
  ids: readonly string[],
  options: ManyOptions,
): Promise<ExitCode> {
  refuseUnclear(ids, options);
  return await withClient(context, options, async (client) => {
    if (!options.all) return await showResults(context, options, await deleteIfDead(client, topicName, ids));
    const { deleted } = await client.admin.purge(topicName, "dead");
    await context.stdout.write(options.json ? jsonLine({ deleted }) : `deleted ${plural(deleted, "task")}\n`);
    return 0;
  });
}

/** A broker deletes waiting tasks as well, so each is looked at first. Somebody who requeues it meanwhile may lose it. */
async function deleteIfDead(client: BrokerClient, topicName: string, ids: readonly string[]): Promise<TaskResult[]> {
  const results: TaskResult[] = [];
  for (let at = 0; at < ids.length; at += LOOKS_MAX) {
    const batch = ids.slice(at, at + LOOKS_MAX);
    const tasks = await Promise.all(batch.map((id) => client.admin.getTask(topicName, id)));
    const dead = batch.filter((_, i) => tasks[i]?.state === "dead");
    const deleted = new Map(
      dead.length === 0 ? [] : (await client.admin.delete(topicName, dead)).map((result) => [result.id, result]),
    );
    results.push(
      ...batch.map((id, i): TaskResult => {
        const state = tasks[i]?.state;
        return deleted.get(id) ?? { id, outcome: state === undefined ? "not_found" : "wrong_state", state };
      }),
    );
  }
  return results;
}

function refuseUnclear(ids: readonly string[], { all = false }: ManyOptions): void {
  if (all === ids.length > 0) throw new UsageError("name the tasks by their ids, or all of them by --all");
}
