import { expect, test } from "vitest";
import { expiredSessions } from "../../server/store/redis/scripts/expired-sessions.js";
import { openSession } from "../../server/store/redis/scripts/open-session.js";
import { NOW, newSession } from "../support/task-factory.js";
import { ScriptFixture, TOPIC } from "./script-fixture.js";

test("an expiry without a session is removed, and holds up no other", async () => {
  using f = await ScriptFixture.open();
  const session = newSession("worker-1", [TOPIC], { expiresAtMs: NOW - 1 });
  await f.run(openSession, session);
  await f.redis.zadd(f.keys.sessionExpiry, NOW - 2, "stray");
  await f.redis.zadd(f.keys.sessionExpiry, NOW + 1_000, "another");

  const { sessions, nextMs } = await f.run(expiredSessions, { now: NOW, limit: 10 });

  expect(sessions.map(({ id }) => id)).toEqual([session.id]);
  expect(nextMs).toBeUndefined();
  expect(await f.redis.zrange(f.keys.sessionExpiry, "0", "-1")).toEqual([session.id, "another"]);
});
