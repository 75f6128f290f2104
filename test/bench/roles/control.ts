/** The role's end of the conversation described in role.ts. */
import { createInterface } from "node:readline";

type Answer = object | undefined;

/** One handler for each command, by name; what it returns, or resolves with, is the answer. */
export type Handlers<Commands> = {
  readonly [Name in keyof Commands]: (argument: Commands[Name]) => Answer | Promise<Answer>;
};

/** The configuration on the command line. */
export function roleConfig<Config>(): Config {
  return JSON.parse(process.argv.at(-1) ?? "{}") as Config;
}

/** Ends the role, and with it the whole run. */
export function fatal(error: unknown): never {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stdout.write(`${JSON.stringify({ fatal: text })}\n`, () => process.exit(1));
  throw error;
}

/** Says that the role is ready, and serves its driver. `close` is called when the driver has left; then the role ends. */
export function serve<Commands>(handlers: Handlers<Commands>, close: () => unknown): void {
  const send = (message: object) => process.stdout.write(`${JSON.stringify(message)}\n`);
  const lines = createInterface(process.stdin);
  lines.on("line", (line) => {
    const { id, do: what, ...argument } = JSON.parse(line) as { id: number; do: keyof Commands };
    const answer = async () => {
      if (!Object.hasOwn(handlers, what)) throw new Error(`there is no command "${String(what)}"`);
      send({ id, ...(await handlers[what](argument as Commands[keyof Commands])) });
    };
    answer().catch(fatal);
  });
  lines.on("close", () => {
    // Even when a connection refuses to close.
    setTimeout(() => process.exit(0), 5_000).unref();
    Promise.resolve(close())
      .catch(() => {})
      .finally(() => process.exit(0));
  });
  process.on("unhandledRejection", fatal);
  send({ ready: true });
}
