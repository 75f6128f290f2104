/** Reads options and arguments of commands. Each parser names the rule that a value breaks. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { ADDRESS, type Environment } from "../config.js";
import { parseTaskId, parseTopicName, TASK_ID_RULE, TOPIC_RULE } from "../domain/ids.js";
import { TASK_STATES, type TaskState } from "../domain/states.js";
import { formatDuration, parseDuration } from "../lib/quantity.js";

/** A whole number within bounds. */
export function wholeNumber(min: number, max: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d+$/.test(text) || value < min || value > max) {
      const bounds = max === Number.MAX_SAFE_INTEGER ? `, ${min} or more` : ` from ${min} to ${max}`;
      throw new InvalidArgumentError(`It must be a whole number${bounds}.`);
    }
    return value;
  };
}

/** A number from 0 to 1. */
export function rate(text: string): number {
  const value = Number(text);
  if (!/^\d*\.?\d+(e-?\d+)?$/i.test(text) || value > 1)
    throw new InvalidArgumentError("It must be a number from 0 to 1.");
  return value;
}

/** A number within bounds. */
export function decimal(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= min && value <= max)) {
      throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** Milliseconds, 0 or more. */
export function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms < 0)
    throw new InvalidArgumentError("It must be a duration such as 500ms, 2s or 1h, or 0.");
  return ms;
}

/** Milliseconds, 1 or more. */
export function interval(text: string): number {
  const ms = duration(text);
  if (ms === 0) throw new InvalidArgumentError("It must be a duration above 0, such as 500ms or 2s.");
  return ms;
}

/** Milliseconds; negative values mean something to the option. */
export function signedDuration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError("It must be a duration such as 500ms, 2s or -1s.");
  return ms;
}

export function topic(text: string): string {
  if (parseTopicName(text) === undefined) throw new InvalidArgumentError(`It ${TOPIC_RULE}.`);
  return text;
}

export function taskId(text: string): string {
  if (parseTaskId(text) === undefined) throw new InvalidArgumentError(`It ${TASK_ID_RULE}.`);
  return text;
}

/** For arguments that may be given many times. */
export function collect<Value>(parse: (text: string) => Value): (text: string, before?: Value[]) => Value[] {
  return (text, before = []) => [...before, parse(text)];
}

/** `a,b` and repeated options alike. */
export function collectList<Value>(parse: (text: string) => Value): (text: string, before?: Value[]) => Value[] {
  return (text, before = []) => [...before, ...text.split(",").map((part) => parse(part.trim()))];
}

export function state(text: string): TaskState {
  const found = TASK_STATES.find((each) => each === text);
  if (found === undefined) throw new InvalidArgumentError(`It must be one of ${TASK_STATES.join(", ")}.`);
  return found;
}

/** `key=value`, gathered into an object. */
export function keyValue(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("It must be key=value.");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** A moment: ISO 8601, in local time unless it ends in Z or an offset. */
export function moment(text: string): Date {
  const at = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/.test(text)
    ? new Date(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00` : text)
    : undefined;
  if (at === undefined || Number.isNaN(at.getTime())) {
    throw new InvalidArgumentError("It must be a moment such as 2030-01-31T12:00:00Z, or without the Z in local time.");
  }
  return at;
}

/** What every command that speaks to a broker can be told. */
export interface BrokerOptions {
  readonly address: string;
  readonly retryFor: number;
  readonly json?: boolean | undefined;
}

/** Adds `--address`, `--retry-for` and `--json`. */
export function withBroker(command: Command, environment: Environment, { retryForMs = 5_000 } = {}): Command {
  return command
    .addOption(
      new Option(
        "--address <address>",
        `host:port or unix:/path of a broker, or several with commas [env ${ADDRESS.env}]`,
      ).default(environment[ADDRESS.env] || ADDRESS.default),
    )
    .addOption(
      new Option("--retry-for <duration>", "how long to try while brokers are away or full")
        .argParser(duration)
        .default(retryForMs, formatDuration(retryForMs)),
    )
    .option("--json", "print JSON for programs");
}
