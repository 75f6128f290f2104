/**
 * The README's quickstart, run as a new user would paste it: its shell lines,
 * its gRPC call and its TypeScript, against a broker on the embedded store. Only
 * the port is another one.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client, defineTopic } from "@taskqueue/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Subprocess, taskqueue } from "../support/process.js";
import { until } from "../support/until.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FROM_SOURCE = `node --conditions=taskqueue-source --import tsx ${join(ROOT, "server/main.ts")}`;

let readme: string;
let broker: Subprocess;
let address: string;

beforeAll(async () => {
  readme = await readFile(join(ROOT, "README.md"), "utf8");
  broker = await taskqueue([
    "serve",
    "--data",
    ":memory:",
    "--listen",
    "127.0.0.1:0",
    "--http",
    "off",
    "--log-format",
    "json",
  ]);
  address = (await broker.waitForLine(/"address":"([^"]+)"/))[1] ?? "";
});

afterAll(async () => {
  await broker?.kill();
});

function blocks(language: string): string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))].map((match) => match[1] ?? "");
}

/** A shell line of the README, against this test's broker and from source. */
function adapted(line: string): string {
  return line
    .replaceAll("node server/dist/main.js", FROM_SOURCE)
    .replaceAll("localhost:50051", address)
    .replace(/^npx buf /, `${join(ROOT, "node_modules/.bin/buf")} `);
}

async function shell(line: string): Promise<Subprocess> {
  return Subprocess.start("sh", ["-c", `exec ${adapted(line)}`], { cwd: ROOT, env: { TASKQUEUE_ADDRESS: address } });
}

test("the README is short enough to be read", () => {
  expect(readme.split("\n").length).toBeLessThanOrEqual(150);
});

test("the README's commands enqueue, its worker works off all tasks, and stats and watch tell so", async () => {
  const lines = blocks("sh").flatMap((block) => block.trim().split("\n"));
  const enqueues = lines.filter((line) => /enqueue clicks|BrokerService\/Enqueue/.test(line));
  expect(enqueues).toHaveLength(2);
  const watchLine = lines.find((line) => line.includes(" watch ")) ?? "";
  await using watch = await shell(watchLine);
  const client = new Client({ address });
  // Events are kept only while somebody watches: the line of a first task shows that the watcher is there.
  const warmUp = async () => {
    await client.enqueue(defineTopic<[number, number]>("clicks"), [0, 0]);
    return watch.output.includes("TASK_ENQUEUE");
  };
  await until("the watcher sees events", warmUp, { timeoutMs: 20_000 });
  for (const line of enqueues) {
    await using command = await shell(line);
    expect(await command.exited, command.output).toEqual({ code: 0, signal: null });
  }
  const { stats: before } = await client.stats();
  expect(before.inputQueueSize).toBe(before.enqueued);

  const code = blocks("ts")[0] ?? "";
  const folder = await mkdtemp(join(ROOT, "test/docs/.quickstart-"));
  try {
    const file = join(folder, "quickstart.ts");
    await writeFile(file, code.replaceAll("localhost:50051", address));
    await using worker = await Subprocess.start("node", ["--conditions=taskqueue-source", "--import", "tsx", file], {
      cwd: ROOT,
    });
    await until(
      "the quickstart's worker has done all tasks",
      async () => {
        const { stats } = await client.stats();
        return stats.completed === stats.enqueued && stats.enqueued === before.enqueued + 1;
      },
      { timeoutMs: 20_000 },
    );
    expect(worker.output.match(/attempt 1: a click at 640, 480/g)).toHaveLength(3);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  await until("the watcher saw the completions", () => (watch.output.match(/TASK_COMPLETION/g)?.length ?? 0) >= 3);
  await using stats = await shell(lines.find((line) => line.endsWith(" stats")) ?? "");
  expect(await stats.exited).toEqual({ code: 0, signal: null });
  expect(stats.output).toMatch(/completed +\d+/);
  await client.close();
});
