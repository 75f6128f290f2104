/** The header of each script, its wrapper, and what the script does must say the same. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { SCOPE_KEYS, TOPIC_KEYS } from "../../server/store/redis/keys.js";
import type { Script } from "../../server/store/redis/script.js";
import { scriptParts, scriptText } from "../../server/store/redis/script-text.js";

const FOLDER = new URL("../../server/store/redis/scripts/", import.meta.url);
const names = readdirSync(FOLDER)
  .filter((file) => file.endsWith(".lua"))
  .map((file) => file.slice(0, -".lua".length));

function isScript(value: unknown): value is Script<never, unknown> {
  return typeof value === "object" && value !== null && "argv" in value && "source" in value && "name" in value;
}

async function wrapperOf(name: string): Promise<Script<never, unknown>> {
  const module: Record<string, unknown> = await import(new URL(`${name}.ts`, FOLDER).href);
  const scripts = Object.values(module).filter(isScript);
  expect(scripts.map((script) => script.name)).toEqual([name]);
  const [script] = scripts;
  if (script === undefined) throw new Error(`${name}.ts exports no script`);
  return script;
}

function headerOf(text: string): string {
  return text.split(/^(?!--)/m)[0] ?? "";
}

/** Names of the numbered items of a header's section: `1 now_ms  2 channel`, `11.. demands`. */
function numbered(header: string, section: string): string[] {
  const lines = header.split("\n");
  const start = lines.findIndex((line) => line.startsWith(`-- ${section} `));
  const end = lines.findIndex((line, i) => i > start && /^-- (ARGV|Reply) /.test(line));
  const part = lines.slice(start, end).join("\n").replace(`-- ${section} `, "");
  return [...part.matchAll(/(?:^|\s)(?:\d+(?:\.\.)?|first_demand\.\.) ([a-z_]+)/g)].map(([, name = ""]) => name);
}

describe.each(names)("%s", (name) => {
  const text = readFileSync(new URL(`${name}.lua`, FOLDER), "utf8");
  const header = headerOf(text);

  test("takes the arguments that its header names", async () => {
    const { argv } = await wrapperOf(name);
    expect(Object.keys(argv)).toEqual(header.includes("-- ARGV  none") ? [] : numbered(header, "ARGV"));
  });

  test("replies with the words that its header names", () => {
    const promised = [...header.matchAll(/\{"([a-z_]+)"/g)].map(([, word]) => word);
    const section = header.slice(header.indexOf("-- Reply "));
    const own = text.slice(header.length);
    for (const [, word = ""] of own.matchAll(/return (?:reply_with\()?\{ "([a-z_]+)"/g))
      expect(promised).toContain(word);
    expect(section).toMatch(/^-- Reply \{"/);
  });

  test("uses no argument behind those that its header names", () => {
    const body = text.slice(header.length);
    const used = [...body.matchAll(/(?:ARGV|holding|open_demands)[[(](\d+)[\])]/g)].map(([, number]) => Number(number));
    const highest = Math.max(0, ...[...header.matchAll(/(\d+)(?:\.\.)? [a-z_]/g)].map(([, number]) => Number(number)));
    for (const number of used) expect(number).toBeLessThanOrEqual(highest);
  });

  test("names keys only by way of KEYS", () => {
    expect(text).not.toMatch(/"\{|\}:/);
  });
});

test.each([
  { fragment: "topic", keys: [...TOPIC_KEYS, ...SCOPE_KEYS] },
  { fragment: "scope", keys: [...SCOPE_KEYS, "topic"] },
])("the keys of a script of a $fragment are named in the order of keys.ts", ({ fragment, keys }) => {
  const text = readFileSync(new URL(`fragments/${fragment}.lua`, FOLDER), "utf8");
  const named = /^local ([A-Z]+, [^=]*)=\s+unpack\(KEYS\)/m.exec(text)?.[1]?.trim().toLowerCase().split(", ");
  expect(named).toEqual(keys.map((key) => key.replace(":", "")));
});

test("no fragment is left that nobody uses", () => {
  const fragments = readdirSync(new URL("fragments/", FOLDER));
  const texts = [
    ...names.map((name) => readFileSync(new URL(`${name}.lua`, FOLDER), "utf8")),
    ...fragments.map((file) => readFileSync(new URL(`fragments/${file}`, FOLDER), "utf8")),
  ].join("\n");
  for (const file of fragments) expect(texts).toMatch(new RegExp(`^-- use: ${file.replace(".lua", "")}$`, "m"));
});

test("every script of a topic unfolds it first, but those that need not", () => {
  const ofTopics = names.filter((name) => scriptParts(name).fragments.some((fragment) => fragment.name === "topic"));
  expect(ofTopics.length).toBeGreaterThan(20);
  const late = ofTopics.filter((name) => {
    const text = readFileSync(new URL(`${name}.lua`, FOLDER), "utf8");
    return !/^unfold\(\)/.test(text.replace(/^(?:--.*)?\n/gm, ""));
  });
  // These look at no task, or only when they must; describe reads both forms.
  expect(late).toEqual(["describe", "hold", "prune"]);
});

const functionsIn = (text: string) => [...text.matchAll(/^local function (\w+)/gm)].map(([, name = ""]) => name);

test.each(names)("%s has each function that it uses, and no other", (name) => {
  const text = scriptText(name).replace(/--.*$/gm, "");
  const words: readonly string[] = text.match(/\b\w+\b/g) ?? [];
  const isUsed = (word: string) => words.indexOf(word) < words.lastIndexOf(word);
  const defined = functionsIn(
    scriptParts(name)
      .fragments.map((fragment) => fragment.text)
      .join("\n"),
  );
  expect(defined.filter((word) => word !== "enter" && !isUsed(word))).toEqual([]);
  const ofFragments = readdirSync(new URL("fragments/", FOLDER)).flatMap((file) =>
    functionsIn(readFileSync(new URL(`fragments/${file}`, FOLDER), "utf8")),
  );
  const called = new Set([...text.matchAll(/(?<![.:\w])(\w+)\(/g)].map(([, word = ""]) => word));
  const anywhere = new Set(functionsIn(text.replace(/^ +/gm, "")));
  expect(ofFragments.filter((word) => called.has(word) && !anywhere.has(word))).toEqual([]);
});
