import { expect, test } from "vitest";
import { beforeNextInput } from "../../../sdk/clock.js";

test("what is to be done before the next input comes after the promises under way, and before an immediate", async () => {
  const order: string[] = [];
  const over = new Promise<void>((resolve) => {
    setImmediate(() => {
      order.push("immediate");
      resolve();
    });
  });
  beforeNextInput(() => order.push("action"));
  void (async () => {
    for (let step = 1; step <= 5; step += 1) {
      await Promise.resolve();
      order.push(`promise ${step}`);
    }
  })();
  await over;
  expect(order).toEqual(["promise 1", "promise 2", "promise 3", "promise 4", "promise 5", "action", "immediate"]);
});
