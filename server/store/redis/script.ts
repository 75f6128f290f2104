/**
 * Lua scripts as typed functions. A script is a pair of files: `verb.lua`, whose
 * header states KEYS, ARGV and replies, and `verb.ts` beside it, which says how
 * a call becomes ARGV and a reply becomes an answer. A test compares the two.
 *
 * A script is about one topic, whose keys fragments/topic.lua names, about any
 * topics of a scope, as fragments/scope.lua has it, or about none. Of what else
 * its text is made, script-text.ts tells.
 */
import assert from "node:assert";
import { createHash } from "node:crypto";
import type { TopicName } from "../../domain/ids.js";
import type { Keys } from "./keys.js";
import { scriptText } from "./script-text.js";

export type Argument = string | number | Buffer;
/** What Redis answers: strings as bytes, or as text if they are short and ASCII. */
export type Reply = null | number | string | Buffer | readonly Reply[];

/** How each argument comes from a call, in the order of ARGV; a list stands for as many as it holds, and comes last. */
export type Arguments<Call> = Record<string, (call: Call) => Argument | readonly Argument[]>;

/** What can be sent to Redis. */
export interface Source {
  readonly source: string;
  readonly sha: string;
}

export interface Script<Call, Answer> extends Source {
  readonly name: string;
  readonly argv: Arguments<Call>;
  /** Of scripts whose calls may travel with those of other topics: the topic, and how many tasks a call deals with at most. */
  readonly merges?: { readonly topic: (call: Call) => TopicName; readonly tasks: (call: Call) => number };
  keys(keys: Keys, call: Call): readonly string[];
  args(call: Call, keys: Keys): Argument[];
  reply(word: string, rest: readonly Reply[], call: Call): Answer;
}

interface Definition<Call, Answer> {
  readonly name: string;
  readonly keys: (keys: Keys, call: Call) => readonly string[];
  readonly argv: Arguments<Call>;
  readonly reply: (word: string, rest: readonly Reply[], call: Call) => Answer;
}

export function defineScript<Call, Answer>(definition: Definition<Call, Answer>): Script<Call, Answer> {
  const values = Object.values(definition.argv);
  return { ...definition, ...sourceOf(scriptText(definition.name)), args: (call) => argsOf(values, call, []) };
}

export function sourceOf(source: string): Source {
  return { source, sha: createHash("sha1").update(source).digest("hex") };
}

/** What every script of a topic is told. */
export interface TopicCall {
  readonly topic: TopicName;
  /** Unset for verbs that do not depend on time. */
  readonly now?: number;
}

/** A script over the keys of one topic. */
export function defineTopicScript<Call extends TopicCall, Answer>(
  definition: Omit<Definition<Call, Answer>, "keys"> & {
    /** How many tasks a call deals with at most; unset when its calls always travel alone. */
    readonly tasks?: (call: Call) => number;
  },
): Script<Call, Answer> {
  const { name, reply, tasks } = definition;
  const values = Object.values(definition.argv);
  const script = defineScript<Call, Answer>({
    name,
    keys: (keys, call) => keys.topic(call.topic),
    argv: { now_ms: (call) => call.now ?? 0, channel: () => "", topic: (call) => call.topic, ...definition.argv },
    reply,
  });
  return {
    ...script,
    ...(tasks === undefined ? {} : { merges: { topic: (call) => call.topic, tasks } }),
    args: (call, keys) => argsOf(values, call, [call.now ?? 0, keys.wake, call.topic]),
  };
}

const UNSHARDED_MAX = /^local ([A-Z_]*UNSHARDED_MAX) = \d+$/gm;

/** The same script, for which hashes become large sooner. */
export function withUnshardedMax(script: Source, max: number): Source {
  return sourceOf(script.source.replace(UNSHARDED_MAX, `local $1 = ${max}`));
}

/** A reply that the wrapper does not know is a bug, in one of the two files or in a version that they disagree on. */
export function unexpected(script: string, word: string): never {
  assert.fail(`${script}.lua replied ${JSON.stringify(word)}, which its wrapper does not know`);
}

function argsOf<Call>(values: readonly Arguments<Call>[string][], call: Call, args: Argument[]): Argument[] {
  for (const argument of values) {
    const value = argument(call);
    if (typeof value === "object" && !Buffer.isBuffer(value)) {
      for (const item of value) args.push(item);
    } else {
      args.push(value);
    }
  }
  return args;
}
