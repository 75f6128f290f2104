/**
 * The repository's own source, as data: for tidy.test.ts, which judges it.
 *
 * Reads syntax trees rather than text, so that a word in a comment or a string
 * is never taken for code. Knows no rule itself.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { type ESTree, parseSync, Visitor } from "vite";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const SKIPPED = /(^|\/)(node_modules|dist)(\/|$)|^sdk\/gen(\/|$)/;

export interface Import {
  /** As written: `./x.js`, `ioredis`, `node:fs`. */
  specifier: string;
  /** The file meant, from the repository's root, when the specifier is relative. */
  file: string | undefined;
  /** Whether nothing of it is left when the program runs. */
  typeOnly: boolean;
}

export interface SourceFile {
  /** From the repository's root. */
  path: string;
  text: string;
  lines: number;
  imports: Import[];
  functions: { name: string; lines: number; line: number }[];
  /** `as` and angle-bracket casts, without `as const`. */
  casts: { line: number }[];
  /** What is read from the global scope or from a global object: `setTimeout`, `Date.now`, `process.env`. */
  globals: { name: string; line: number }[];
  exportsAll: boolean;
}

export function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

export function exists(path: string): boolean {
  return existsSync(join(ROOT, path));
}

/** All files under `folder` whose name ends in `extension`, without generated and built ones. */
export function files(folder: string, extension: string): string[] {
  if (!exists(folder)) return [];
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(extension))
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length).replaceAll("\\", "/"))
    .filter((path) => !SKIPPED.test(path) && !path.endsWith(".d.ts"))
    .sort();
}

export function countLines(text: string): number {
  return text.replace(/\n$/, "").split("\n").length;
}

export function parseSource(path: string, text: string = read(path)): SourceFile {
  const { program, module, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path} does not parse: ${errors[0]?.message}`);
  const lineOf = (offset: number) => text.slice(0, offset).split("\n").length;
  const source: SourceFile = {
    path,
    text,
    lines: countLines(text),
    imports: [],
    functions: [],
    casts: [],
    globals: [],
    exportsAll: false,
  };

  const addImport = (quoted: string, typeOnly = false) => {
    const specifier = quoted.replace(/^['"`]|['"`]$/g, "");
    source.imports.push({ specifier, file: resolveRelative(path, specifier), typeOnly });
  };
  for (const { moduleRequest, entries } of module.staticImports) {
    addImport(moduleRequest.value, entries.length > 0 && entries.every((entry) => entry.isType));
  }
  for (const { moduleRequest } of module.dynamicImports) addImport(text.slice(moduleRequest.start, moduleRequest.end));
  for (const { entries } of module.staticExports) {
    for (const { moduleRequest, importName } of entries) {
      if (moduleRequest === null) continue;
      addImport(moduleRequest.value);
      if (String(importName.kind).startsWith("All")) source.exportsAll = true;
    }
  }

  const addFunction = (node: { start: number; end: number }) => {
    const before = (text.slice(0, node.start).split("\n").at(-1) ?? "").replace(/^export (default )?/, "");
    const named = /(?:function\*?\s+|async\s+|\b)([\w#]+)\s*(?:[:=(<]|$)/;
    const name =
      named.exec(before.trim() === "" ? text.slice(node.start, node.start + 80) : before)?.[1] ?? "anonymous";
    source.functions.push({ name, lines: countLines(text.slice(node.start, node.end)), line: lineOf(node.start) });
  };
  const addCast = (node: { start: number; typeAnnotation: ESTree.TSType }) => {
    const { typeAnnotation } = node;
    if (text.slice(typeAnnotation.start, typeAnnotation.end) !== "const")
      source.casts.push({ line: lineOf(node.start) });
  };
  const addGlobal = (node: { start: number }, name: string) => {
    source.globals.push({ name, line: lineOf(node.start) });
  };
  new Visitor({
    FunctionDeclaration: addFunction,
    FunctionExpression: addFunction,
    ArrowFunctionExpression: addFunction,
    TSAsExpression: addCast,
    TSTypeAssertion: addCast,
    CallExpression: ({ callee }) => {
      if (callee.type === "Identifier") addGlobal(callee, callee.name);
    },
    NewExpression: ({ callee, arguments: args }) => {
      if (callee.type === "Identifier" && callee.name === "Date" && args.length === 0) addGlobal(callee, "new Date()");
    },
    MemberExpression: (node) => {
      if (node.object.type !== "Identifier") return;
      addGlobal(node, node.object.name);
      if (node.property.type === "Identifier") addGlobal(node, `${node.object.name}.${node.property.name}`);
    },
  }).visit(program);
  return source;
}

function resolveRelative(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return posix.join(posix.dirname(from), specifier).replace(/\.js$/, ".ts");
}
