/**
 * Lua scripts as typed functions. A script is a pair of files: `verb.lua`, whose
 * header states KEYS, ARGV and replies, and `verb.ts` beside it, which says how
 * a call becomes ARGV and a reply becomes an answer. A test compares the two.
 *
 * A line `-- use: name` in a script stands for scripts/fragments/name.lua, which
 * comes once however often it is named. A script is about one topic, whose keys
 * fragments/topic.lua names, about any topics of a scope, as fragments/scope.lua
 * has it, or about none.
 */
import assert from "node:assert";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { TopicName } from "../../domain/ids.js";
import { type Keys, SCOPE_KEYS, TOPIC_KEYS } from "./keys.js";

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
  return { ...definition, ...sourceOf(load(definition.name)), args: (call) => argsOf(values, call, []) };
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

const FOLDER = new URL("./scripts/", import.meta.url);

const USE = /^-- use: (\S+)$/gm;

/** What names keys: nearly all functions use it. */
const OUTER = new Set(["topic", "scope"]);

/**
 * Redis carries out the whole text at each call, and so defines some fifty functions anew. What a function uses of the
 * text around it is looked for among all that any function uses of it: with the names that nearly all use one level
 * further out than the functions, sixty functions take 3 µs instead of 11.
 */
function load(name: string): string {
  const { own, fragments } = scriptParts(name);
  const outer = fragments.filter((fragment) => OUTER.has(fragment.name));
  const inner = fragments.filter((fragment) => !OUTER.has(fragment.name)).map(({ text }) => text);
  const text = ["local function script()", ...inner, own, "end", "return script()"].join("\n");
  const isOfScope = outer.some((fragment) => fragment.name === "scope");
  return [...outer.map((fragment) => fragment.text), isOfScope ? spellTopicKeys(text) : text].join("\n");
}

const luaName = (key: string) => key.replace(":", "").toUpperCase();
const TOPIC_NAMES = new Map(TOPIC_KEYS.map((key) => [luaName(key), key]));
const TOPIC_NAME = new RegExp(`\\b(?:${[...TOPIC_NAMES.keys()].join("|")})\\b`, "g");
const SCOPE_NAMES = new Map(SCOPE_KEYS.map((key) => [luaName(key), key]));
const SCOPE_NAME = new RegExp(`\\b(?:${[...SCOPE_NAMES.keys()].join("|")})\\b`, "g");

/** Keys of a topic are made of `PREFIX` where they are used: of many topics, few are. */
export function spellTopicKeys(text: string): string {
  return text.replace(TOPIC_NAME, (name) => `(PREFIX .. "${TOPIC_NAMES.get(name)}")`);
}

/** Those of the scope are made of `SCOPE`. */
export function spellScopeKeys(text: string): string {
  return text.replace(SCOPE_NAME, (name) => `(SCOPE .. "${SCOPE_NAMES.get(name)}")`);
}

export interface ScriptParts {
  /** The script's own text. */
  readonly own: string;
  /** Each behind those that it uses. */
  readonly fragments: readonly { readonly name: string; readonly text: string }[];
}

export function scriptParts(name: string): ScriptParts {
  const own = readFileSync(new URL(`${name}.lua`, FOLDER), "utf8");
  const fragments: { name: string; text: string }[] = [];
  const seen = new Set<string>();
  const collect = (part: string) => {
    for (const [, fragment = ""] of part.matchAll(USE)) {
      if (seen.has(fragment)) continue;
      seen.add(fragment);
      const text = readFileSync(new URL(`fragments/${fragment}.lua`, FOLDER), "utf8");
      collect(text);
      fragments.push({ name: fragment, text });
    }
  };
  collect(own);
  return { own, fragments };
}
