/**
 * The house style that no tool checks. Each message says how to put things
 * right. A limit here is a question, not a wall: where there is a good answer,
 * write it beside the file's name in one of the tables below.
 *
 * `any`, `.only`, unused code and floating promises are Biome's, in biome.json.
 */
import { describe, expect, test } from "vitest";
import { countLines, exists, files, parseSource, read, type SourceFile } from "./support/source.js";

const LINES_MAX = { source: 400, test: 500, function: 60, script: 80 };

/** Files over the limit, and why they are better whole. */
const LONG_FILES: Record<string, string> = {
  "server/store/store.ts": "the contract of every verb, most of it comment; read from top to bottom",
  "server/engine/broker.ts":
    "every use case in one place, a few lines each; what they are made of has files of its own",
  "server/engine/lane.ts": "what one topic's enqueues, reports and demands have to know of each other",
  "server/engine/worker-session.ts": "the states of one session, and every way from one to the next",
};

/** `file#function` over the limit, and why. */
const LONG_FUNCTIONS: Record<string, string> = {
  "server/grpc/admin-service.ts#adminService": "a table of handlers, each of which is a few lines",
};

/** Files, besides ids.ts and codec.ts, that need `as`, and what makes the cast true. */
const CASTS: Record<string, string> = {};

/** What may be used in one place only, so that a test can put something else there. A folder ends in "/". */
const GLOBALS: { names: readonly string[]; allowed: readonly string[]; instead: string }[] = [
  {
    names: ["Date.now", "new Date()", "setTimeout", "setInterval", "node:timers", "node:timers/promises"],
    allowed: ["server/lib/clock.ts", "sdk/clock.ts"],
    instead: "take the time and the timers from the Clock that is passed in",
  },
  {
    names: ["Math.random"],
    allowed: ["server/lib/random.ts", "sdk/random.ts"],
    instead: "take a `random` argument; server/lib/random.ts and sdk/random.ts make it",
  },
  {
    names: ["process.env"],
    allowed: ["server/config.ts"],
    instead: "add a row to the table in server/config.ts; the SDK takes options, not variables",
  },
  { names: ["console"], allowed: [], instead: "use the logger; a command prints with process.stdout" },
];

/**
 * Who may import whom. A layer is a folder of server/; what stands directly in
 * server/ is the composition, `main`, but for config.ts. `types` are files of
 * other layers of which only types may be imported; `packages` are the npm
 * packages that belong to the layer alone.
 */
const LAYERS: Record<string, { layers: readonly string[]; types?: readonly string[]; packages: readonly string[] }> = {
  lib: { layers: [], packages: ["@taskqueue/sdk/char-code.js", "@taskqueue/sdk/table.js", "pino"] },
  domain: { layers: [], packages: [] },
  config: { layers: ["domain", "lib"], packages: [] },
  metrics: { layers: ["domain", "lib"], packages: ["prom-client"] },
  store: { layers: ["domain", "lib", "metrics"], packages: [] },
  "store/redis": { layers: ["domain", "lib", "store"], packages: ["ioredis"] },
  "store/embedded": { layers: ["domain", "lib", "store"], packages: ["lmdb"] },
  engine: { layers: ["domain", "lib", "metrics", "store"], packages: [] },
  grpc: {
    layers: ["domain", "lib", "metrics", "engine", "config"],
    // What the engine's answers are made of.
    types: ["server/store/store.ts"],
    packages: [
      "@bufbuild/protobuf",
      "@grpc/grpc-js",
      "@taskqueue/sdk/gen",
      "nice-grpc",
      "nice-grpc-common",
      "nice-grpc-error-details",
    ],
  },
  console: { layers: ["domain", "lib", "metrics", "engine", "config"], packages: [] },
  cli: { layers: ["domain", "lib", "config"], packages: ["@taskqueue/sdk", "commander"] },
  main: {
    layers: [
      "lib",
      "domain",
      "config",
      "metrics",
      "store",
      "store/redis",
      "store/embedded",
      "engine",
      "grpc",
      "console",
      "cli",
    ],
    packages: ["commander", "pino"],
  },
};

const SDK_PACKAGES = [
  "@bufbuild/protobuf",
  "@grpc/grpc-js",
  "nice-grpc",
  "nice-grpc-common",
  "nice-grpc-error-details",
] as const;

const server = files("server", ".ts").map((path) => parseSource(path));
const sdk = files("sdk", ".ts").map((path) => parseSource(path));
const tests = files("test", ".ts").map((path) => parseSource(path));
const product = [...server, ...sdk];
/** Those that run. Fragments are parts of them: drift.test.ts sees to it that each is used. */
const scripts = files("server", ".lua").filter((path) => !path.includes("/scripts/fragments/"));

/** An empty list passes; anything else is shown line by line. */
function expectNone(complaints: readonly string[]): void {
  expect(complaints.join("\n")).toBe("");
}

function layerOf(path: string): string {
  const inside = path.replace(/^server\//, "").replace(/\.ts$/, "");
  const folders = inside.split("/").slice(0, -1);
  const nested = folders.slice(0, 2).join("/");
  if (nested in LAYERS) return nested;
  return folders[0] ?? (inside in LAYERS ? inside : "main");
}

function packageOf(specifier: string): string {
  if (specifier.startsWith("@taskqueue/sdk/gen/")) return "@taskqueue/sdk/gen";
  if (/^@taskqueue\/sdk\/(char-code|table)\.js$/.test(specifier)) return specifier;
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

describe("size", () => {
  test("files are short enough to be read at one go", () => {
    const limits = new Map([
      ...product.map((f) => [f, LINES_MAX.source] as const),
      ...tests.map((f) => [f, LINES_MAX.test] as const),
    ]);
    const long = [...limits].filter(([file, max]) => file.lines > max);
    expectNone([
      ...long
        .filter(([{ path }]) => !(path in LONG_FILES))
        .map(
          ([{ path, lines }, max]) =>
            `${path} has ${lines} lines, over ${max}: split it by subject, or say in LONG_FILES why not`,
        ),
      ...Object.keys(LONG_FILES)
        .filter((path) => !long.some(([file]) => file.path === path))
        .map((path) => `${path} is in LONG_FILES and is not long: remove the row`),
    ]);
  });

  test("functions are short enough to be held in the head", () => {
    const long = product.flatMap(({ path, functions }) =>
      functions
        .filter(({ lines }) => lines > LINES_MAX.function)
        .map((f) => ({ ...f, key: `${path}#${f.name}`, path })),
    );
    expectNone([
      ...long
        .filter(({ key }) => !(key in LONG_FUNCTIONS))
        .map(
          ({ key, path, line, lines }) =>
            `${path}:${line} ${lines} lines, over ${LINES_MAX.function}: split it, or say in LONG_FUNCTIONS why not ("${key}")`,
        ),
      ...Object.keys(LONG_FUNCTIONS)
        .filter((key) => !long.some((f) => f.key === key))
        .map((key) => `${key} is in LONG_FUNCTIONS and is not long: remove the row`),
    ]);
  });
});

describe("layers", () => {
  test("imports follow the arrows: domain <- store <- engine <- grpc, console <- main", () => {
    const complaints: string[] = [];
    for (const { path, imports } of server) {
      const layer = layerOf(path);
      const rule = LAYERS[layer];
      if (rule === undefined) {
        complaints.push(`${path}: there is no layer "${layer}"; put the file where it belongs, or add a row to LAYERS`);
        continue;
      }
      for (const { specifier, file, typeOnly } of imports) {
        if (typeOnly && file !== undefined && rule.types?.includes(file)) continue;
        const target = file === undefined ? undefined : layerOf(file);
        if (file !== undefined && !file.startsWith("server/")) {
          complaints.push(`${path} imports ${file}: name the package instead, e.g. @taskqueue/sdk`);
        } else if (target !== undefined && target !== layer && !rule.layers.includes(target)) {
          complaints.push(
            `${path} imports ${file}: ${layer} may import ${rule.layers.join(", ") || "nothing"}; pass it in, or move the code`,
          );
        } else if (
          target === undefined &&
          !specifier.startsWith("node:") &&
          !rule.packages.includes(packageOf(specifier))
        ) {
          complaints.push(`${path} imports ${specifier}: ${layer} may use ${rule.packages.join(", ") || "no package"}`);
        }
      }
    }
    expectNone(complaints);
  });

  test("the domain is pure: of Node it uses assert, and nothing else", () => {
    const impure = server.filter(({ path }) => path.startsWith("server/domain/"));
    expectNone(
      impure.flatMap(({ path, imports }) =>
        imports
          .filter(({ specifier, file }) => file === undefined && specifier !== "node:assert")
          .map(({ specifier }) => `${path} imports ${specifier}: take what it gives as an argument`),
      ),
    );
  });

  test("the SDK knows the proto only", () => {
    expectNone(
      sdk.flatMap(({ path, imports }) =>
        imports
          .filter(({ specifier, file }) =>
            file === undefined
              ? !specifier.startsWith("node:") && !SDK_PACKAGES.some((name) => name === packageOf(specifier))
              : !file.startsWith("sdk/"),
          )
          .map(({ specifier }) => `${path} imports ${specifier}: the SDK must install and run without the server`),
      ),
    );
  });

  test("there is no barrel but the SDK's public surface", () => {
    expectNone(
      product
        .filter(
          ({ path, exportsAll }) =>
            !/^sdk\/(testing\/)?index\.ts$/.test(path) && (exportsAll || path.endsWith("/index.ts")),
        )
        .map(({ path }) => `${path}: import from the file that defines a thing, and remove the barrel`),
    );
  });
});

describe("one place for each effect", () => {
  test.each(GLOBALS)("$names.0 and its kin", ({ names, allowed, instead }) => {
    expectNone(
      product
        .filter(({ path }) => !allowed.some((place) => (place.endsWith("/") ? path.startsWith(place) : path === place)))
        .flatMap((file) => uses(file, names).map((use) => `${use}: ${instead}`)),
    );
  });

  test("tests wait for facts, not for time", () => {
    expectNone(
      tests
        .filter(({ path }) => !/^test\/(support|bench)\//.test(path))
        .flatMap((file) =>
          uses(file, ["setTimeout", "setInterval", "node:timers", "node:timers/promises"]).map(
            (use) => `${use}: await an event, advance the clock, or use until() from test/support/until.ts`,
          ),
        ),
    );
  });

  test("casts are made where values are parsed", () => {
    expectNone([
      ...product
        .filter(({ path }) => !/(^|[/-])(ids|codec)\.ts$/.test(path) && !(path in CASTS))
        .flatMap(({ path, casts }) =>
          casts.map(
            ({ line }) =>
              `${path}:${line} uses \`as\`: narrow the type, use satisfies, or say in CASTS what makes it true`,
          ),
        ),
      ...Object.keys(CASTS)
        .filter((path) => !product.some((file) => file.path === path && file.casts.length > 0))
        .map((path) => `${path} is in CASTS and has none: remove the row`),
    ]);
  });
});

describe("form", () => {
  test("every module says first what it is for", () => {
    expectNone(
      [...product, ...tests.filter(({ path }) => path.startsWith("test/support/"))]
        .filter(({ text }) => !/^(#!.*\n)?(\/\*\*|\/\/)/.test(text))
        .map(({ path }) => `${path} begins without a comment: say what it is for and what a changer must keep true`),
    );
  });

  test("file names are kebab-case, and folders are subjects, not kinds", () => {
    expectNone(
      [...product, ...tests].flatMap(({ path }) => {
        const name = path.split("/").at(-1) ?? "";
        return [
          ...(/^[a-z0-9]+(-[a-z0-9]+)*(\.(test|config))?\.ts$/.test(name) ? [] : [`${path}: rename it to kebab-case`]),
          ...(/\/(utils?|helpers?|types|interfaces|common|misc)(\/|\.ts$)/.test(path)
            ? [`${path}: name it after its subject`]
            : []),
        ];
      }),
    );
  });

  test("every script states its contract, is short, and has its wrapper beside it", () => {
    expectNone(
      scripts.flatMap((path) => {
        const text = read(path);
        const name = path.replace(/^.*\//, "").replace(/\.lua$/, "");
        const header = text.split(/^(?!--)/m)[0] ?? "";
        const missing = [`-- ${name}: `, "-- KEYS ", "-- ARGV ", "-- Reply "].filter(
          (start) => !header.split("\n").some((line) => line.startsWith(start)),
        );
        const lines = countLines(text);
        return [
          ...missing.map((start) => `${path}: its header has no line that begins with "${start}"`),
          ...(exists(path.replace(/\.lua$/, ".ts")) ? [] : [`${path}: write its wrapper, ${name}.ts, beside it`]),
          ...(lines > LINES_MAX.script && !(path in LONG_FILES)
            ? [`${path} has ${lines} lines, over ${LINES_MAX.script}: split the verb, or say in LONG_FILES why not`]
            : []),
        ];
      }),
    );
  });

  test("the changelog keeps its form", () => {
    const headings = read("CHANGELOG.md")
      .split("\n")
      .filter((line) => /^#{2,3} /.test(line));
    expect(headings[0], "CHANGELOG.md begins with an Unreleased section").toBe("## [Unreleased]");
    expectNone(
      headings
        .slice(1)
        .filter(
          (line) =>
            !/^## \[\d+\.\d+\.\d+(-[\w.]+)?\] - \d{4}-\d{2}-\d{2}$/.test(line) &&
            !/^### (Added|Changed|Deprecated|Removed|Fixed|Security)$/.test(line),
        )
        .map(
          (line) =>
            `CHANGELOG.md: "${line}" is neither "## [1.2.3] - 2026-01-31" nor one of Keep a Changelog's sections`,
        ),
    );
  });

  test("the lockfile holds no registry's address", () => {
    const addresses = read("package-lock.json").match(/"resolved": "https?:[^"]*"/g) ?? [];
    expect(addresses, "run npm in this repository, whose .npmrc leaves them out").toEqual([]);
  });
});

function uses({ path, imports, globals }: SourceFile, names: readonly string[]): string[] {
  return [
    ...globals.filter(({ name }) => names.includes(name)).map(({ name, line }) => `${path}:${line} uses ${name}`),
    ...imports
      .filter(({ specifier }) => names.includes(specifier))
      .map(({ specifier }) => `${path} imports ${specifier}`),
  ];
}
