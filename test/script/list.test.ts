import { expect, test } from "vitest";
import { enqueue, enqueueCall } from "../../server/store/redis/scripts/enqueue.js";
import { list, listCall } from "../../server/store/redis/scripts/list.js";
import { NOW, newTasks } from "../support/task-factory.js";
import { ScriptFixture, TOPIC } from "./script-fixture.js";

test("a page goes on behind a task that is gone, among many of the same moment", async () => {
  using f = await ScriptFixture.open();
  const options = { topic: TOPIC, now: NOW, endedWindowMs: 0, tasksMax: 0, bytesMax: 0 };
  await f.run(enqueue, enqueueCall({ ...options, tasks: newTasks(300, { dueAtMs: NOW + 5 }) }));
  const call = { topic: TOPIC, state: "scheduled", limit: 100 } as const;
  const first = await f.run(list, listCall({ ...call, after: undefined }));
  const last = (await f.redis.zrangeBuffer(f.key("scheduled"), "99", "99"))[0];
  await f.redis.zrem(f.key("scheduled"), last ?? "");
  const second = await f.run(list, listCall({ ...call, after: first.next }));
  expect(second.rows.map(({ id }) => id)).toEqual(
    newTasks(300)
      .slice(100, 200)
      .map(({ id }) => id),
  );
});

test.each(["", "!", "bm90IGpzb24", Buffer.from('["clicks scheduled","x",1]').toString("base64url")])(
  "the cursor %j is refused",
  (after) => {
    expect(() => listCall({ topic: TOPIC, state: "scheduled", limit: 1, after })).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", field: "page_token" }),
    );
  },
);
