-- open-session: notes a new session, at epoch 1 and attached.
--
-- KEYS  1 sessions        hash  id -> what the session was opened with, JSON
--       2 session_states  hash  id -> epoch and whatever else changes
--       3 session_expiry  zset  id -> moment, ms
--       4 session_ids     zset  ids, in order
-- ARGV  1 expires_at_ms  2 id  3 session  4 broker  5 address
-- Reply {"opened"}
-- use: session

local expires_at_ms, id, session, broker, address = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
call("HSET", KEYS[1], id, session)
call("HSET", KEYS[2], id, format_state({
  epoch = 1, attached = "1", expiring = "0", broker = broker, address = address, undelivered = "[]",
}))
call("ZADD", KEYS[3], expires_at_ms, id)
call("ZADD", KEYS[4], 0, id)
return { "opened" }
