/** docs/redis.md against keys.ts, the scripts, and the version of the layout. */
import { describe, expect, test } from "vitest";
import { Keys, SCOPE_KEYS, TOPIC_KEYS } from "../../server/store/redis/keys.js";
import { files, read } from "../support/source.js";
import { rowsUnder, unquoted } from "./markdown.js";

const text = read("docs/redis.md");
const ofTopic = rowsUnder(text, "Keys of a topic");
const ofScope = rowsUnder(text, "Keys of a scope");
const ofNamespace = rowsUnder(text, "Keys of the namespace");
const scripts = files("server/store/redis/scripts", ".lua")
  .filter((path) => !path.includes("/fragments/"))
  .map((path) => path.replace(/^.*\/|\.lua$/g, ""));

test("every key of a topic and of a scope has its row, in their order", () => {
  expect(ofTopic.map(([key = ""]) => unquoted(key))).toEqual([...TOPIC_KEYS]);
  expect(ofScope.map(([key = ""]) => unquoted(key))).toEqual([...SCOPE_KEYS]);
});

test("every key of a namespace has its row, in their order", () => {
  const keys = Object.values(new Keys("namespace")).filter((key) => typeof key === "string");
  const names = keys.filter((key) => key !== "namespace").map((key) => key.replace(/^.*:/, ""));
  expect(ofNamespace.map(([key = ""]) => unquoted(key))).toEqual(names);
});

test("the content of each is what keys.ts says: the type, at least", () => {
  const types = new Map(
    [...read("server/store/redis/keys.ts").matchAll(/^ {2}"([a-z:]+)", \/\/ (?:prefix; )?(hash|zset|list)/gm)].map(
      ([, name = "", type = ""]) => [name, type],
    ),
  );
  expect(types.size).toBe(TOPIC_KEYS.length + SCOPE_KEYS.length);
  for (const [key = "", type] of [...ofTopic, ...ofScope]) expect(type, key).toBe(types.get(unquoted(key)));
});

describe.each([...ofTopic, ...ofScope, ...ofNamespace])("%s", (_, __, ...cells) => {
  test("names scripts that there are", () => {
    const named = cells.slice(1, 3).flatMap((cell) => cell.match(/\b[a-z]+-[a-z]+\b/g) ?? []);
    for (const name of named) expect(scripts).toContain(name);
  });

  test("every cell but the last is filled", () => {
    for (const cell of cells.slice(0, -1)) expect(cell).not.toBe("");
  });
});

test("the version of the layout is that of the code", () => {
  const version = /const LAYOUT_VERSION = "(\d+)"/.exec(read("server/store/redis/check-server.ts"))?.[1];
  expect(text).toContain(`holds the version of all this: \`${version}\``);
});
