/** What is told of processes is measured on real ones: a leak, a death, and an end that does not come. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Subprocess } from "../support/process.js";
import { until } from "../support/until.js";
import { check } from "./checker.js";
import { Recorder, readHistory } from "./history.js";
import { Member } from "./member.js";

let folder = "";
let fate: Recorder;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "taskqueue-chaos-member-"));
  fate = new Recorder(folder, "fate");
});

afterEach(() => {
  fate.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A process that runs this script, and is at work when it says so. */
function member(script: string): Member {
  const launch = async () => {
    const child = await Subprocess.start(process.execPath, [
      "-e",
      `${script}; setInterval(() => {}, 1000); console.log("up")`,
    ]);
    await child.waitForLine(/up/);
    return child;
  };
  return new Member({ name: "it", folder, fate, launch });
}

/** The names of the invariants that are violated by what was recorded, and its processes. */
function violated(): string[] {
  fate.record({ kind: "snapshot", tasks: [], topics: {} });
  return check(readHistory(folder)).violations.map(({ invariant, message }) => `${invariant}: ${message}`);
}

test("a process that leaves well is well spoken of", async () => {
  const it = member('process.on("SIGTERM", () => process.exit(0))');
  await it.start();
  await it.recordEnd();
  await it.stop();
  expect(violated()).toEqual([]);
});

test.runIf(process.platform === "linux")("files that a process keeps open are found", async () => {
  const it = member(
    'process.on("SIGUSR2", () => { for (let i = 0; i < 9; i++) fs.openSync("/dev/null"); console.log("open") })',
  );
  await it.start();
  it.signal("SIGUSR2");
  await until("the files are open", async () => {
    await it.recordEnd();
    return violated().length > 0;
  });
  expect(violated()[0]).toMatch(/^nothing-leaks: it#1 has \d+ files open at rest/);
  await it.kill();
});

test("a process that does not listen to SIGTERM is found, and killed", async () => {
  const it = member('process.on("SIGTERM", () => {})');
  await it.start();
  await it.stop(100);
  expect(it.isUp).toBe(false);
  expect(violated()).toEqual([expect.stringMatching(/^nothing-leaks: it#1 did not exit on SIGTERM/)]);
});

test("a process that dies by itself is found, one that is killed is not", async () => {
  const it = member('process.on("SIGUSR2", () => process.exit(7))');
  await it.start();
  await it.kill();
  await it.start();
  const ended = it.ended();
  it.signal("SIGUSR2");
  await ended;
  expect(violated()).toEqual(["nobody-dies: it#2 ended by itself with code 7"]);
});
