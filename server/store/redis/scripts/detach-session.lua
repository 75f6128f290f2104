-- detach-session: notes that a session's stream is lost.
--
-- KEYS  1 session_states  2 session_expiry
-- ARGV  1 expires_at_ms  2 id  3 epoch  4 undelivered
--       undelivered is JSON
-- Reply {"detached"} | {"moved"}
-- use: session

local expires_at_ms, id, epoch, undelivered = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local text = call("HGET", KEYS[1], id)
local state = text and parse_state(text)
if not state or state.epoch ~= epoch or state.expiring == "1" then return { "moved" } end

state.attached, state.undelivered = "0", undelivered
call("HSET", KEYS[1], id, format_state(state))
call("ZADD", KEYS[2], expires_at_ms, id)
return { "detached" }
