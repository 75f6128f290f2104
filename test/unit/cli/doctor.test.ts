import { expect, test } from "vitest";
import { runWith } from "./fake-context.js";

const PROBLEM = { topic: "clicks", kind: "stray_task", taskId: "x", detail: "in no state", repaired: true };

function admin(problems: readonly object[], asked: unknown[] = []) {
  return {
    async *scrub(options: unknown) {
      asked.push(options);
      yield { checked: 1_000, problems: [] };
      yield { checked: 1, problems };
    },
  };
}

test("all is well: exit code 0, and nothing was to be repaired", async () => {
  const asked: unknown[] = [];
  const outcome = await runWith(["doctor"], { client: { admin: admin([], asked) } });
  expect(outcome).toMatchObject({ code: 0, stdout: "checked 1001 things: all is well\n" });
  expect(asked).toEqual([{ repair: false }]);
});

test("problems are shown, and the exit code is 1 even when they were repaired", async () => {
  const asked: unknown[] = [];
  const outcome = await runWith(["doctor", "clicks", "--repair"], { client: { admin: admin([PROBLEM], asked) } });
  expect(outcome.code).toBe(1);
  expect(outcome.stdout).toContain("clicks  stray_task  x     yes       in no state\n");
  expect(outcome.stdout).toContain("checked 1001 things: 1 problem, all repaired\n");
  expect(asked).toEqual([{ topic: "clicks", repair: true }]);
});

test("with --json each problem is a document, and the sum is the last", async () => {
  const outcome = await runWith(["doctor", "--json"], {
    client: { admin: admin([{ ...PROBLEM, taskId: undefined, repaired: false }]) },
  });
  expect(outcome.code).toBe(1);
  expect(outcome.json()).toEqual([
    { problem: { ...PROBLEM, taskId: null, repaired: false } },
    { checked: 1_001, problems: 1, repaired: 0 },
  ]);
});
