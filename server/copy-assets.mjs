// Copies into dist what the compiler does not know of: Lua scripts, the
// descriptor set that reflection answers from, and the built console page.
// Runs after every compile, with the server folder as the working directory.
import { cpSync, readdirSync } from "node:fs";

const ASSET = /(\.lua|\.binpb|^console\/public\/.*)$/;
const SKIPPED = /^(dist|node_modules)\//;

for (const entry of readdirSync(".", { recursive: true, withFileTypes: true })) {
  const path = `${entry.parentPath}/${entry.name}`.replaceAll("\\", "/").replace(/^\.\//, "");
  if (entry.isFile() && ASSET.test(path) && !SKIPPED.test(path)) cpSync(path, `dist/${path}`);
}
