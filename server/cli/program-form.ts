/** What commands share with the program: how an action reports its exit code, and how help shows examples. */
import type { Command } from "commander";

/**
 * Makes an action out of a function that resolves with its ExitCode, or with
 * nothing for 0. What it throws is turned into an exit code by program.ts.
 */
// biome-ignore lint/suspicious/noExplicitAny: commander hands actions arguments it does not type.
export type Act = (fn: (...args: any[]) => Promise<unknown>) => (...args: any[]) => Promise<void>;

export function examples(command: Command, texts: readonly string[]): Command {
  return command.addHelpText("after", `\nExamples:\n${texts.map((text) => `  ${text}\n`).join("")}`.trimEnd());
}
