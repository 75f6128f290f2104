import { expect, test } from "vitest";
import { TestEngine } from "../support/engine.js";

test("leases that may have been made by calls whose answers were lost are looked for once, however many calls failed", async () => {
  await using engine = await TestEngine.start({ options: { scrubMs: 0 } });
  const worker = await engine.attach();
  engine.rig.goAway("enqueue", "enqueueStraight", "held");
  for (let call = 0; call < 200; call += 1) {
    await expect(engine.enqueue([`t-${call}`])).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  }
  const before = engine.rig.calls("held");
  await engine.clock.advance(8_000);
  expect(engine.rig.calls("held") - before).toBeLessThan(20);
  engine.rig.comeBack();
  await engine.enqueue(["last"]);
  await engine.clock.advance(5_000);
  expect((await worker.read()).delivered).toEqual(["last"]);
});
