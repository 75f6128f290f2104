-- sessions: a page of sessions, by id.
--
-- KEYS  1 sessions  2 session_states  3 session_expiry  4 session_ids
-- ARGV  1 after  2 limit
-- Reply {"sessions", rows, more}
--       a row is {session, state, expires_at_ms}

local call = redis.call
local from = ARGV[1] == "" and "-" or "(" .. ARGV[1]
local limit = tonumber(ARGV[2])
local ids = call("ZRANGEBYLEX", KEYS[4], from, "+", "LIMIT", 0, limit + 1)
local more = #ids > limit
ids[limit + 1] = nil
local rows = {}
for i, id in ipairs(ids) do
  rows[i] = { call("HGET", KEYS[1], id), call("HGET", KEYS[2], id), call("ZSCORE", KEYS[3], id) }
end
return { "sessions", rows, more and 1 or 0 }
