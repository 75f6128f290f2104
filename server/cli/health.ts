/** `taskqueue health`: whether a broker answers, and its store does. For health checks of containers. */
import type { Command } from "commander";
import { type BrokerOptions, withBroker } from "./argument.js";
import { withClient } from "./client.js";
import type { Context } from "./context.js";
import { type ExitCode, exitCodeOf, isCodedError } from "./exit-code.js";
import { jsonLine } from "./output.js";
import { type Act, examples } from "./program-form.js";

export function addHealth(program: Command, context: Context, act: Act): void {
  const command = program
    .command("health")
    .summary("ask whether a broker serves")
    .description(
      "Asks a broker for something that its store has to answer. Exits with 0 when it does, with 3 when not.",
    );
  examples(withBroker(command, context.environment, { retryForMs: 0 }), [
    "taskqueue health",
    "taskqueue health --address 127.0.0.1:50051 --json",
  ]).action(act((options: BrokerOptions) => health(context, options)));
}

async function health(context: Context, options: BrokerOptions): Promise<ExitCode> {
  const startedAtMs = context.clock.monotonic();
  try {
    await withClient(context, options, (client) => client.admin.listWorkers({ pageSize: 1 }).page());
  } catch (error) {
    if (!isCodedError(error)) throw error;
    const text = options.json
      ? jsonLine({ status: "not_serving", code: error.code, message: error.message })
      : "not serving\n";
    await context.stdout.write(text);
    if (!options.json) await context.stderr.write(`${error.message}\n`);
    return exitCodeOf(error) === 2 ? 1 : exitCodeOf(error);
  }
  const ms = Math.round(context.clock.monotonic() - startedAtMs);
  await context.stdout.write(options.json ? jsonLine({ status: "serving", ms }) : `serving (answered in ${ms} ms)\n`);
  return 0;
}
