/**
 * The command line: which commands there are, and what becomes of their errors.
 *
 * Every way out of a command ends here, as an exit code from exit-code.ts. The
 * commands speak to a broker through the SDK only; `serve` and `simulate` are
 * handed a function that starts one.
 */
import { Command, CommanderError } from "commander";
import { addCancel, addDelete } from "./cancel.js";
import type { Context } from "./context.js";
import { addDead } from "./dead.js";
import { addDoctor } from "./doctor.js";
import { addEnqueue } from "./enqueue.js";
import { EXIT_CODES, exitCodeOf, isCodedError } from "./exit-code.js";
import { addGet } from "./get.js";
import { addHealth } from "./health.js";
import { addList } from "./list.js";
import { jsonLine } from "./output.js";
import type { Act } from "./program-form.js";
import { addPurge } from "./purge.js";
import { addServe } from "./serve.js";
import { addSimulate, addSimulateChild, inGnuForm } from "./simulate.js";
import { addStats } from "./stats.js";
import { addTopics } from "./topics.js";
import { addWatch } from "./watch.js";
import { addWorkers } from "./workers.js";

/** Runs the command line and resolves with the exit code. Never rejects. */
export async function run(argv: readonly string[], context: Context): Promise<number> {
  const outcome: { code: number } = { code: 0 };
  const act: Act =
    (fn) =>
    async (...args) => {
      const code = await fn(...args);
      if (typeof code === "number") outcome.code = code;
    };
  try {
    await buildProgram(context, act).parseAsync(inGnuForm(argv), { from: "user" });
    return outcome.code;
  } catch (error) {
    return await report(error, context, argv.includes("--json"));
  }
}

export function buildProgram(context: Context, act: Act): Command {
  const program = new Command("taskqueue")
    .description("A gRPC broker for background tasks, and what it takes to use and look after one.")
    .version(context.version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .helpCommand("help [command]", "print help for a command")
    .exitOverride()
    .showHelpAfterError("(add --help to see what there is)")
    .configureOutput({
      writeOut: (text) => void context.stdout.write(text),
      writeErr: (text) => void context.stderr.write(text),
    });
  program.commandsGroup("Run:");
  addServe(program, context, act);
  addSimulate(program, context, act);
  addSimulateChild(program, context, act);
  program.commandsGroup("Produce:");
  addEnqueue(program, context, act);
  program.commandsGroup("Look:");
  addStats(program, context, act);
  addWatch(program, context, act);
  addGet(program, context, act);
  addList(program, context, act);
  addWorkers(program, context, act);
  addHealth(program, context, act);
  program.commandsGroup("Repair:");
  addDead(program, context, act);
  addCancel(program, context, act);
  addDelete(program, context, act);
  addPurge(program, context, act);
  addTopics(program, context, act);
  addDoctor(program, context, act);
  return program.addHelpText("after", epilogue());
}

function epilogue(): string {
  const codes = Object.values(EXIT_CODES).map(({ code, meaning }) => `  ${code}  ${meaning}\n`);
  return `\nExit codes:\n${codes.join("")}`;
}

/** Says what went wrong, on standard error, and tells the exit code. */
async function report(error: unknown, context: Context, json: boolean): Promise<number> {
  if (error instanceof CommanderError) {
    // Commander has said it already. Help and version that were asked for have code 0.
    return error.exitCode === 0 ? 0 : EXIT_CODES.usage.code;
  }
  const code = isCodedError(error) ? error.code : undefined;
  const message = error instanceof Error ? error.message : String(error);
  if (json) {
    const field = isCodedError(error) ? error.field : undefined;
    await context.stderr.write(jsonLine({ error: { code, message, field } }));
  } else if (code !== undefined || isExpected(error)) {
    const texts = message.split("\n").map((line) => `error: ${line}\n`);
    await context.stderr.write(texts.join(""));
  } else {
    await context.stderr.write(`error: ${error instanceof Error ? (error.stack ?? message) : message}\n`);
  }
  return exitCodeOf(error);
}

function isExpected(error: unknown): boolean {
  return error instanceof Error && ["UsageError", "CommandError", "ConfigError"].includes(error.name);
}
