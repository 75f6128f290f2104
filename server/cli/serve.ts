/**
 * `taskqueue serve`: reads the configuration, starts a broker, and stops it on
 * SIGINT or SIGTERM. What a broker is made of, it does not know: `startBroker`
 * is handed in.
 */
import { type Command, Option } from "commander";
import { type Config, OPTIONS, readConfig, unknownVariables } from "../config.js";
import type { Context, RunningBroker } from "./context.js";
import { CommandError, isCodedError } from "./exit-code.js";
import { type Act, examples } from "./program-form.js";

export function addServe(program: Command, context: Context, act: Act): void {
  const command = program
    .command("serve")
    .summary("run a broker")
    .description(
      "Runs a broker. Without --redis its tasks are kept in a folder of this machine. The first SIGINT or SIGTERM " +
        "drains it, the second one ends it at once. A flag wins over its variable, which is in [brackets].",
    );
  for (const row of Object.values(OPTIONS)) {
    const byDefault = row.placeholder === "" || row.default === "" ? "" : `; default ${row.default}`;
    command.addOption(new Option(`${row.flag} ${row.placeholder}`.trim(), `${row.help}${byDefault} [${row.env}]`));
  }
  examples(command, [
    "taskqueue serve",
    "taskqueue serve --redis redis://localhost:6379 --namespace shop",
    "taskqueue serve --data :memory: --listen 127.0.0.1:0 --http off",
    "TASKQUEUE_REDIS=redis://:secret@redis:6379 taskqueue serve --listen 0.0.0.0:50051 --insecure",
  ]).action(act((options: Readonly<Record<string, unknown>>) => serve(context, options)));
}

async function serve(context: Context, options: Readonly<Record<string, unknown>>): Promise<void> {
  const config = readConfig(flagsOf(options), context.environment);
  for (const name of unknownVariables(context.environment)) {
    await context.stderr.write(`warning: ${name} is not a variable that taskqueue knows\n`);
  }
  const broker = await start(context, config);
  const signalled = new Promise<void>((resolve) => {
    let signals = 0;
    context.onSignal((signal) => {
      signals += 1;
      if (signals > 1) context.exit(signal === "SIGINT" ? 130 : 143);
      resolve();
    });
  });
  try {
    await Promise.race([signalled, broker.failed]);
  } finally {
    await broker.stop();
  }
}

/** Starts a broker; what the system refuses (a port in use, a folder without rights) is told without a stack. */
export async function start(context: Pick<Context, "startBroker">, config: Config): Promise<RunningBroker> {
  try {
    return await context.startBroker(config);
  } catch (error) {
    const refused = isCodedError(error) && error.code === "INVALID_ARGUMENT";
    if (refused || (error instanceof Error && "syscall" in error))
      throw new CommandError(`cannot start: ${error.message}`);
    throw error;
  }
}

/** What commander parsed, under the names that readConfig takes. */
function flagsOf(options: Readonly<Record<string, unknown>>): ReadonlyMap<string, string> {
  const flags = new Map<string, string>();
  for (const { flag } of Object.values(OPTIONS)) {
    const name = flag.slice(2);
    const value = options[name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())];
    if (value !== undefined) flags.set(name, String(value));
  }
  return flags;
}
