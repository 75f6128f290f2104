/**
 * The text of a script that Redis is given: that of its file, and what it uses of
 * the fragments. A line `-- use: name` stands for scripts/fragments/name.lua, which
 * comes once however often it is named.
 *
 * Redis carries out the whole text at each call, and so makes all its functions
 * anew, which cost more than the commands of a call about one task. Therefore a text has only
 * those that the script comes to use, and constants are written where they are used:
 * what a function uses of the text around it is looked for, each time it is made,
 * among all that any function uses of it.
 */
import { readFileSync } from "node:fs";
import { SCOPE_KEYS, TOPIC_KEYS } from "./keys.js";

const FOLDER = new URL("./scripts/", import.meta.url);

const USE = /^-- use: (\S+)$/gm;

/** What names keys: nearly all functions use it, and find it sooner one level further out. */
const OUTER = new Set(["topic", "scope"]);

export function scriptText(name: string): string {
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
  /** Each behind those that it uses, and without what nobody uses of it. */
  readonly fragments: readonly Fragment[];
}

interface Fragment {
  readonly name: string;
  readonly text: string;
}

export function scriptParts(name: string): ScriptParts {
  const own = readFileSync(new URL(`${name}.lua`, FOLDER), "utf8");
  const fragments: Fragment[] = [];
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
  return withoutConstants(own, withoutUnused(own, fragments));
}

/** A definition of a fragment, from its line on to the next one that begins with a word; statements define nothing. */
const DEFINITION = /^(?=[a-z])(?!end\b)/m;
const DEFINED = /^local (?:function )?([\w, ]+?)(?: =|\(|$)/;

/** Leaves out what neither the script uses nor what it uses. */
function withoutUnused(own: string, fragments: readonly Fragment[]): Fragment[] {
  const used = wordsOf(own);
  const kept = fragments.map(({ name, text }) => ({
    name,
    parts: text.split(DEFINITION).map((part) => ({ part: withoutComments(part), isUsed: false })),
  }));
  // What stands later uses what stands before.
  for (const { parts } of kept.toReversed()) {
    for (const one of parts.toReversed()) {
      const names = DEFINED.exec(one.part)?.[1]?.split(", ");
      one.isUsed = names === undefined || names.some((name) => used.has(name));
      if (one.isUsed) for (const word of wordsOf(one.part)) used.add(word);
    }
  }
  return kept.map(({ name, parts }) => ({
    name,
    text: parts.flatMap(({ part, isUsed }) => (isUsed ? [part] : [])).join(""),
  }));
}

const CONSTANT = /^local ([A-Z_]+) = (-?\d+|"[^"\\\n]*")\n/gm;

/** Writes the constants of the fragments where they are used; not those that tests set: see `withUnshardedMax`. */
function withoutConstants(own: string, fragments: readonly Fragment[]): ScriptParts {
  const values = new Map<string, string>();
  const rest = fragments.map(({ name, text }) => ({
    name,
    text: text.replace(CONSTANT, (line, constant: string, value: string) => {
      if (constant.endsWith("UNSHARDED_MAX")) return line;
      values.set(constant, value);
      return "";
    }),
  }));
  const spelled = (text: string) => text.replace(WORD, (word) => values.get(word) ?? word);
  return { own: spelled(own), fragments: rest.map(({ name, text }) => ({ name, text: spelled(text) })) };
}

const WORD = /\b\w+\b/g;

function wordsOf(text: string): Set<string> {
  return new Set(withoutComments(text).match(WORD));
}

function withoutComments(text: string): string {
  return text.replace(/^ *--.*\n/gm, "");
}
