/**
 * The programs of a cluster: run from source, or from a bundle that is made
 * once for many runs.
 *
 * From source, a process takes longer to load and compile its files than many a
 * fault lasts. A bundle starts in a third of that time, and stays what it is
 * when somebody edits a file while hours of runs are under way.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { runSource, type SpawnOptions, Subprocess, taskqueue } from "../support/process.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BROKER = "server/main.ts";
const CHILDREN = ["child-broker", "child-producer", "child-stubborn-worker", "child-worker"];
/** What the server reads from beside its modules. */
const ASSETS = { "server/store/redis/scripts": "scripts", "server/grpc/descriptor.binpb": "descriptor.binpb" };

export interface Programs {
  readonly broker: (args: readonly string[]) => Promise<Subprocess>;
  /** One of this folder's own, by its name without extension. */
  readonly child: (name: string, args: readonly string[], options?: SpawnOptions) => Promise<Subprocess>;
}

export const fromSource: Programs = {
  broker: (args) => taskqueue(["serve", ...args]),
  child: (name, args, options) => runSource(`test/chaos/${name}.ts`, args, options),
};

export interface Bundle extends Programs, Disposable {}

export async function bundlePrograms(): Promise<Bundle> {
  // In the repository, so that packages are found.
  const cache = join(ROOT, "node_modules", ".cache");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "taskqueue-chaos-"));
  await build({
    root: ROOT,
    configFile: false,
    logLevel: "error",
    resolve: { conditions: ["taskqueue-source", "module", "node"] },
    ssr: {
      noExternal: true,
      external: ["lmdb", "pino"],
      resolve: { conditions: ["taskqueue-source", "module", "node"] },
    },
    build: {
      ssr: true,
      outDir: folder,
      emptyOutDir: false,
      target: "node20",
      rolldownOptions: {
        input: [BROKER, ...CHILDREN.map((name) => `test/chaos/${name}.ts`)].map((file) => join(ROOT, file)),
        // Flat, as the assets' places are relative to the modules that read them.
        output: { entryFileNames: "[name].js", chunkFileNames: "[name]-[hash].js" },
      },
    },
  });
  for (const [from, to] of Object.entries(ASSETS)) cpSync(join(ROOT, from), join(folder, to), { recursive: true });
  const run = (file: string, args: readonly string[], options?: SpawnOptions) =>
    Subprocess.start(process.execPath, [join(folder, file), ...args], options);
  return {
    broker: (args) => run(`${basename(BROKER, ".ts")}.js`, ["serve", ...args]),
    child: (name, args, options) => run(`${name}.js`, args, options),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
